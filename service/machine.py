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
        lines = Path("/proc/cpuinfo").read_text().splitlines()
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
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        lines = []
    allowed = [_quota_of(groups), _quota_of(groups / "cpu")]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounts = [groups, groups / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [groups / "cpu", groups / controllers]
        else:
            continue
        group = Path(path.lstrip("/"))
        allowed += [_quota_of(mount / each) for mount in mounts for each in (group, *group.parents)]
    return min(allowed)


def _quota_of(group: Path) -> float:
    try:
        allowed, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            allowed, period = ((group / f"cpu.cfs_{word}_us").read_text().strip() for word in ("quota", "period"))
        except OSError:
            return sys.maxsize
    return sys.maxsize if allowed in ("max", "-1") else int(allowed) / int(period)


def free_memory_mb() -> float | None:
    """Memory that the machine has left, in MB; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values["MemAvailable"].split()[0]) * 1024 / 1e6
