"""Running averages of weights: what gets exported is steadier than any single step."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def follow(average: dict[str, Tensor], model: nn.Module, step: int, keep: float) -> None:
    """Move the average towards the model; ``keep`` is reached after a short start."""
    share = 1 - min(keep, step / (step + 30))
    for name, value in model.state_dict().items():
        average[name].lerp_(value, share)
