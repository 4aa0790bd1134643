"""What this machine lets the process have: processor, cores, memory."""

import os
import platform
import sys
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")

_FEATURES: Final = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
"""The arithmetic that matters here, as Linux names it."""


def processor_name() -> str:
    """The processor's model and the arithmetic it has that matters here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    values = {key.strip(): value.strip() for key, value in values.items()}
    flags = set(values.get("flags", "").split())
    model = f"{values.get('model name', platform.processor())}, family {values.get('cpu family', '?')}"
    return f"{model} ({' '.join(name for name in _FEATURES if name in flags)})"


def usable_cores() -> int:
    """Processor cores that this process may use: its affinity, cut to the quota of its control groups; at least 1."""
    return max(1, min(affine_cores(), int(quota())))


def affine_cores() -> int:
    """Processor cores that the process may be put on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> float:
    """Cores' worth of time that the strictest of the process's control groups allows; no end of it without a limit.

    Both versions are read, and every group from the process's own up: a container sees its own as the root, a systemd
    service (`CPUQuota=`) does not.

    Args:
        groups: where the control groups are mounted.
        own_groups: the file that names those of the process.
    """
    return min(map(_quota_of, _groups_of("cpu", groups, own_groups)))


def _groups_of(controller: str, groups: Path, own_groups: Path) -> list[Path]:
    """The folders of the process's control groups for a controller, and of all groups above them."""
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    folders = [groups, groups / controller]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounts = [groups, groups / "unified"]
        elif controller in controllers.split(","):
            mounts = [groups / controller, groups / controllers]
        else:
            continue
        group = Path(path.lstrip("/"))
        folders += [mount / each for mount in mounts for each in (group, *group.parents)]
    return folders


def _quota_of(group: Path) -> float:
    try:
        allowed, period = (group / "cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        try:
            allowed, period = (
                (group / f"cpu.cfs_{word}_us").read_text(encoding="utf-8").strip() for word in ("quota", "period")
            )
        except OSError:
            return sys.maxsize
    return sys.maxsize if allowed in ("max", "-1") else int(allowed) / int(period)


def free_memory_mb(groups: Path = _GROUPS, own_groups: Path = _OWN_GROUPS) -> float | None:
    """Memory that is left to the process by the machine and its control groups, in MB; None where nothing says.

    Args:
        groups, own_groups: as `quota` takes them.
    """
    left = [bytes_left for group in _groups_of("memory", groups, own_groups) if (bytes_left := _memory_left(group))]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    if "MemAvailable" in values:
        left.append(int(values["MemAvailable"].split()[0]) * 1024)
    return min(left) / 1e6 if left else None


def _memory_left(group: Path) -> int | None:
    for most, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            return max(1, int((group / most).read_text()) - int((group / used).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return None
