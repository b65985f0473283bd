"""Several trainings of one model beside one another, each on a core of its own."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.multiprocessing as mp
from torch import nn


@dataclass(frozen=True)
class Training:
    """What every training is told. ``init`` is what to start from: an exported model, or a
    checkpoint with its inventory beside it; None to start from scratch. ``draw`` chooses the data.

    ``peer`` is the ``work`` of another training that starts from the same weights and draws other
    batches. At each checkpoint this one goes halfway to it.
    """

    work: Path
    minutes: float
    init: Path | None = None
    device: str = "cpu"
    draw: int = 0
    peer: Path | None = None
    log_every: int = 100


def holds_checkpoint(plan: Training) -> bool:
    """Whether ``plan.work`` holds one, of this training or of a process of it, to which the
    inventory there belongs. What a start left that came to no checkpoint may belong to another
    ``init``.
    """
    begins_here = plan.init is not None and plan.init.parent == plan.work
    return begins_here or bool(checkpoints(plan.work))


def checkpoints(work: Path) -> list[Path]:
    """Those with which the training in ``work`` goes on: its own, and one of each process."""
    several = sorted(folder for folder in work.glob("*") if folder.name.isdecimal())
    return [last for folder in (work, *several) if (last := folder / "last.pt").exists()]


Planned = TypeVar("Planned", bound=Training)


class Peer:
    """Another training, of which ``checkpoint`` is the last state."""

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        self._met = self._written()

    def _written(self) -> int:
        return self._checkpoint.stat().st_mtime_ns if self._checkpoint.exists() else 0

    @torch.no_grad()
    def approach(self, model: nn.Module) -> None:
        """Move ``model`` halfway to the peer, unless that has not gone on since the last time."""
        if (written := self._written()) == self._met:
            return
        self._met = written
        found = torch.load(self._checkpoint, map_location="cpu", weights_only=True)["model"]
        for name, value in model.state_dict().items():
            value.lerp_(found[name].to(value.device), 0.5)


def save_checkpoint(content: dict[str, Any], last: Path) -> None:
    """Replace ``last`` at once, so that neither a peer nor a later start reads half a file."""
    partial = last.with_name("partial.pt")
    torch.save(content, partial)
    os.replace(partial, last)


def require_same_processes(work: Path, processes: int) -> None:
    """A training that was stopped goes on with as many processes as it began with.

    Raises:
        ValueError: ``work`` holds one with another number.
    """
    several = sum(path.name.isdecimal() for path in work.glob("*"))
    found = several or int((work / "last.pt").exists())
    if found not in (0, processes):
        raise ValueError(f"{work} holds a training by {found} processes, expected {processes}")


def draws_of(draw: int, processes: int) -> range:
    """What the processes of a training draw, of which nothing is the draw of one alone."""
    return range(1000 * (1 + draw), 1000 * (1 + draw) + processes)


def train_together(
    train: Callable[[Planned], Path], plan: Planned, processes: int, inventory: list[str]
) -> Path:
    """As ``train(plan)``, by several processes of one thread each, that follow one another in a
    ring; the checkpoint is their mean. One training gains less from a second core: 1.4 times the
    steps (the recogniser's; AMD Zen 3, two threads).

    ``inventory`` names the files in ``plan.work`` that all of them need.
    """
    works = [plan.work / str(number) for number in range(1, processes + 1)]
    plans, draws = [], draws_of(plan.draw, processes)
    for number, work in enumerate(works):
        work.mkdir(parents=True, exist_ok=True)
        for name in inventory:
            (work / name).write_bytes((plan.work / name).read_bytes())
        # works[number - 2] is the one before, and the last one for the first.
        plans.append(replace(plan, work=work, draw=draws[number], peer=works[number - 2]))
    trainings = mp.spawn(_train_alone, args=(train, plans), nprocs=processes, join=False)
    try:
        while not trainings.join():  # ends all when one fails
            pass
    finally:  # an interrupt that only this process was told of
        for process in trainings.processes:
            process.terminate()
    found = [torch.load(work / "last.pt", weights_only=True) for work in works]
    mean = {
        name: torch.stack([state["ema"][name] for state in found]).mean(0)
        for name in found[0]["ema"]
    }
    last = plan.work / "last.pt"
    save_checkpoint(found[0] | {"model": mean, "ema": mean, "opts": []}, last)
    return last


def _train_alone(number: int, train: Callable[[Planned], Path], plans: list[Planned]) -> None:
    # torch ends a process by this signal when its parent is gone, but background jobs ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    train(plans[number])
