"""CPU time and memory of one process, as the operating system counts them."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PROC = Path("/proc")


def cpu_seconds(pid: int) -> float | None:
    """CPU time of a process's living threads, seconds; None where that cannot be known.

    The scheduler's own count is exact; where it is not kept, the one in clock ticks must do.
    """
    exact = 0
    for file in _PROC.glob(f"{pid}/task/*/schedstat"):
        try:
            exact += int(file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            continue
    if exact:
        return exact / 1e9
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cores_used(before_s: float | None, after_s: float | None, took_s: float) -> float | None:
    """Cores that a process kept busy between two readings of its CPU time; None if not known."""
    if before_s is None or after_s is None:
        return None
    return (after_s - before_s) / took_s


def memory_bytes(pid: int) -> int | None:
    """Resident memory of a process; None where that cannot be known."""
    try:
        found = re.search(r"^VmRSS:\s*(\d+) kB", (_PROC / str(pid) / "status").read_text(), re.M)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
