"""The Muon optimiser: momentum, then the nearest orthogonal matrix as the step.

After https://kellerjordan.github.io/posts/muon/.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .precision import fast_dtype


def orthogonalise(gradient: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration towards the nearest (semi-)orthogonal matrix."""
    x = gradient.to(fast_dtype(gradient.device.type))
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * (square @ square)) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """For matrices only. ``decay`` is the weight decay per unit of learning rate."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update; a closure is not supported."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "m" not in state:
                    state["m"] = torch.zeros_like(weight)
                state["m"].lerp_(weight.grad, 1 - group["momentum"])
                update = orthogonalise(weight.grad.lerp(state["m"], group["momentum"]))
                weight.mul_(1 - group["lr"] * group["decay"])
                scale = max(1, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.add_(update, alpha=-group["lr"] * scale)
