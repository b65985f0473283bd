"""What the operating system tells about this machine; best effort outside Linux."""

from __future__ import annotations

import os
import re
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus() -> frozenset[int]:
    """Logical CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def physical_cores() -> int:
    """Cores this process may use: hyper-threads count once, a container's quota is respected."""
    usable = usable_cpus()
    cores = set()
    for block in _read(_CPUINFO).split("\n\n"):
        fields = dict(re.findall(r"^([\w ]+?)\s*:\s*(.*)$", block, re.MULTILINE))
        if "core id" in fields and int(fields.get("processor", -1)) in usable:
            cores.add((fields.get("physical id"), fields["core id"]))
    count = len(cores) or len(usable)
    quota = re.match(r"(\d+) (\d+)", _read(_CPU_QUOTA))
    if quota:
        count = min(count, int(quota[1]) // int(quota[2]))
    return max(1, count)


def cpu_features() -> frozenset[str]:
    """Instruction set names as Linux spells them ("avx2", "asimd"); empty when not known."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", _read(_CPUINFO), re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def available_memory() -> int | None:
    """Bytes of memory that can be had without swapping; None when not known."""
    match = re.search(r"^MemAvailable:\s*(\d+) kB", _read(_MEMINFO), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
