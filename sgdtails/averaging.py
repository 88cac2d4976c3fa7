"""Ergodic averages of SGD iterates, which converge to a multivariate stable law (paper, section 5)."""

from collections.abc import Iterator

import torch
from torch import nn


@torch.no_grad()
def ergodic_average(model: nn.Module, steps: Iterator[None], *, burn_in: int, length: int) -> None:
    """Take ``burn_in`` SGD steps, then ``length`` more whose iterates are averaged; the model ends as their mean.

    Sums are kept in float64. Buffers that are not floating point (counters) stay as the last iterate has them.
    """
    for _ in range(burn_in):
        _advance(steps)
    state = {name: value for name, value in model.state_dict(keep_vars=True).items() if value.is_floating_point()}
    sums = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in state.items()}
    for _ in range(length):
        _advance(steps)
        for name, value in state.items():
            sums[name] += value
    for name, value in state.items():
        value.copy_(sums[name] / length)


def _advance(steps: Iterator[None]) -> None:
    with torch.enable_grad():
        next(steps)
