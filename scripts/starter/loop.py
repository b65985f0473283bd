"""The loop that every training runs: pace, averages, checkpoints, a log, and a peer."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn
from torch.optim import Optimizer

from .averaging import follow
from .clock import Budget
from .together import Peer, Training, save_checkpoint

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Pace:
    """The ``rates`` of the optimisers and how they change (``schedule``, one of ``clock.py``, with
    its ``warm_up``). A gradient's norm is cut to ``longest``; the running mean of the weights keeps
    the share ``average`` of itself at each step.
    """

    rates: tuple[float, ...]
    schedule: Callable[[float, int, int], float]
    warm_up: int
    average: float
    longest: float


class Loop:
    """A training of ``model`` until ``plan.minutes`` are spent, and its checkpoint ``last``, which
    is written every two and a half minutes. It holds the ``config`` of the model.

    ``state`` is that checkpoint when a training that was stopped goes on, or else what this one
    starts from, of which the step and the optimisers are taken where it has them.
    """

    def __init__(
        self,
        plan: Training,
        model: nn.Module,
        optimisers: Sequence[Optimizer],
        pace: Pace,
        state: Mapping[str, Any],
        config: Mapping[str, float] | None = None,
    ) -> None:
        self.last = plan.work / "last.pt"
        self.step = int(state.get("step", 0))
        self._plan, self._model, self._optimisers, self._pace = plan, model, optimisers, pace
        self._config = dict(config or {})
        self._first, self._used, average = self.step, 0.0, model.state_dict()
        if self.last.exists():
            self._first, self._used = int(state["first"]), float(state["used"])
            average = state["ema"]
            minutes = f"{self._used / 60:.1f} of {plan.minutes:g} minutes"
            print(f"{self.last}: goes on at step {self.step}, after {minutes}", flush=True)
        self._average = {name: value.to(plan.device, copy=True) for name, value in average.items()}
        for optimiser, saved in zip(optimisers, state.get("opts", []), strict=False):
            optimiser.load_state_dict(saved)

    @property
    def spent(self) -> float:
        """The share of the budget that earlier runs of this training have spent."""
        return self._used / (60 * self._plan.minutes)

    def run(
        self,
        descend: Callable[[float], Figures],
        mend: Callable[[], None] | None = None,
        report: Callable[[], Figures] | None = None,
    ) -> None:
        """``descend`` computes gradients, given the share of the budget that is spent; what it
        gives is logged, as means. ``mend`` is called after each step, ``report`` before each line
        of the log.
        """
        plan, pace, seen = self._plan, self._pace, list[Figures]()
        peer = Peer(plan.peer / self.last.name) if plan.peer else None
        budget = Budget(plan.minutes, self._used)
        while (spent := budget.tick()) < 1.0:
            factor = pace.schedule(spent, self.step - self._first, pace.warm_up)
            seen.append(descend(spent))
            self._take_step(factor)
            if mend is not None:
                mend()
            self.step += 1
            follow(self._average, self._model, self.step - self._first, pace.average)
            if self.step % plan.log_every == 0:
                line = {"step": self.step, "minutes": budget.used / 60}
                line |= {name: float(np.mean([f[name] for f in seen])) for name in seen[0]}
                line |= report() if report is not None else {}
                print(json.dumps({k: round(v, 4) for k, v in line.items()}), flush=True)
                seen.clear()
            if budget.time_to_save():
                self._save(budget.used)
                if peer is not None:
                    peer.approach(self._model)
        self._save(budget.used)

    def _take_step(self, factor: float) -> None:
        nn.utils.clip_grad_norm_(self._model.parameters(), self._pace.longest)
        for optimiser, rate in zip(self._optimisers, self._pace.rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def _save(self, used: float) -> None:
        content = {"model": self._model.state_dict(), "ema": self._average}
        content["opts"] = [optimiser.state_dict() for optimiser in self._optimisers]
        content |= {"config": self._config, "step": self.step, "first": self._first, "used": used}
        save_checkpoint(content, self.last)
