"""What a server's processes take of the machine, as Linux tells it under /proc."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> dict[int, int]:
    """A process and all that it started, each with the tick of its start, which tells it from a later namesake."""
    found: dict[int, int] = {}
    pending = [pid]
    while pending:
        each = pending.pop()
        try:
            fields = _fields(each)
            if fields[0] == "Z":
                continue
            found[each] = int(fields[19])
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                pending += [int(child) for child in children.read_text(encoding="utf-8").split()]
        except OSError:
            continue
    return found


def memory_mb(pid: int) -> float:
    """Memory of a process and of all that it started, in MB; pages that several share count once (PSS)."""
    return sum(_proportional_kb(each) for each in family(pid)) * 1024 / 1e6


def processor_seconds(pid: int) -> float:
    """Processor time that a process and all that it started have used."""
    used = 0
    for each in family(pid):
        try:
            used += sum(int(ticks) for ticks in _fields(each)[11:13])
        except OSError:
            continue
    return used / _TICKS


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third, the state, on; the second may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _proportional_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
