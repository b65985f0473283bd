"""What every training does at each of its steps."""

from collections.abc import Iterable, Sequence

from torch import nn
from torch.optim import Optimizer


def set_rates(optimisers: Iterable[Optimizer], rates: Iterable[float], factor: float) -> None:
    """Give each optimiser its rate times ``factor``."""
    for optimiser, rate in zip(optimisers, rates, strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * factor


def take_step(model: nn.Module, optimisers: Sequence[Optimizer], longest: float) -> None:
    """Move along the gradients, whose norm is cut to ``longest``, and clear them."""
    nn.utils.clip_grad_norm_(model.parameters(), longest)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
