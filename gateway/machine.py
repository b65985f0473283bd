"""What the operating system tells about this machine; best effort outside Linux."""

from __future__ import annotations

import os
import re
import resource
from contextlib import suppress
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
"""Of the container that this process is in, where it is in one (version 2 of the interface)."""


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
    quota = re.match(r"(\d+) (\d+)", _read(_CGROUP / "cpu.max"))
    if quota:
        count = min(count, int(quota[1]) // int(quota[2]))
    return max(1, count)


def cpu_features() -> frozenset[str]:
    """Instruction set names as Linux spells them ("avx2", "asimd"); empty when not known."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", _read(_CPUINFO), re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def available_memory() -> int | None:
    """Bytes of memory that can be had without swapping, a container's limit respected; None when
    not known."""
    match = re.search(r"^MemAvailable:\s*(\d+) kB", _read(_MEMINFO), re.MULTILINE)
    known = [int(match[1]) * 1024] if match else []
    limit, used = _read(_CGROUP / "memory.max").strip(), _read(_CGROUP / "memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        # Files that were read and are not in use count as used, but give way.
        spare = re.search(r"^inactive_file (\d+)$", _read(_CGROUP / "memory.stat"), re.MULTILINE)
        known.append(max(0, int(limit) - int(used) + (int(spare[1]) if spare else 0)))
    return min(known, default=None)


def files_allowed(wanted: int) -> int:
    """How many files this process may have open: ``wanted`` are asked for if it is fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    if soft != endless and soft < wanted:
        most = wanted if hard == endless else min(wanted, hard)
        with suppress(OSError, ValueError):  # macOS has another limit, which is not told
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return wanted if soft == endless else soft


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
