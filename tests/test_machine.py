"""What is read about the machine, from files as Linux writes them."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from gateway import machine

# Two cores with two threads each, and a CPU that this process may not use.
CPUINFO = "\n".join(
    f"processor\t: {cpu}\nphysical id\t: 0\ncore id\t\t: {core}\nflags\t\t: fpu avx2 fma\n"
    for cpu, core in enumerate([0, 1, 0, 1, 2])
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /proc and /sys/fs/cgroup; what a test does not write does not exist."""
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    monkeypatch.setattr(machine, "usable_cpus", lambda: frozenset(range(4)))
    return tmp_path


def test_hyper_threads_count_once_and_foreign_cpus_not_at_all(files: Path) -> None:
    (files / "cpuinfo").write_text(CPUINFO)
    assert machine.physical_cores() == 2
    assert machine.cpu_features() == {"fpu", "avx2", "fma"}


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 2), ("100000 100000", 1), ("50000 100000", 1)]
)
def test_a_container_quota_is_respected(files: Path, quota: str, cores: int) -> None:
    (files / "cpuinfo").write_text(CPUINFO)
    (files / "cpu.max").write_text(quota)
    assert machine.physical_cores() == cores


def test_without_the_files_every_usable_cpu_is_a_core(files: Path) -> None:
    assert machine.physical_cores() == 4
    assert machine.cpu_features() == frozenset()
    assert machine.available_memory() is None


def test_available_memory_is_in_bytes(files: Path) -> None:
    (files / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    2048 kB\n")
    assert machine.available_memory() == 2048 * 1024


def test_a_container_has_no_more_memory_than_its_limit(files: Path) -> None:
    (files / "meminfo").write_text("MemAvailable:    8192 kB\n")
    (files / "memory.max").write_text("max\n")
    (files / "memory.current").write_text("3145728\n")
    assert machine.available_memory() == 8192 * 1024
    (files / "memory.max").write_text("4194304\n")
    assert machine.available_memory() == 1024 * 1024
    (files / "memory.stat").write_text("anon 1\ninactive_file 524288\nactive_file 7\n")
    assert machine.available_memory() == 1536 * 1024
    (files / "memory.current").write_text("9999999\n")
    assert machine.available_memory() == 0


def test_this_machine_has_a_cpu() -> None:
    assert 1 <= machine.physical_cores() <= len(machine.usable_cpus())


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "allowed"),
    [
        (1024, 4096, 500, 1024),
        (1024, 4096, 2000, 2000),
        (1024, 1500, 2000, 1500),
        (256, resource.RLIM_INFINITY, 2000, 2000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2000, 2000),
    ],
)
def test_more_files_are_asked_for_where_there_are_too_few(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int, allowed: int
) -> None:
    limits = [soft, hard]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.__setitem__(0, new[0]))
    assert machine.files_allowed(wanted) == allowed
    assert limits == [soft if soft == resource.RLIM_INFINITY else allowed, hard]


def test_a_limit_of_files_that_cannot_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert machine.files_allowed(2000) == 256
