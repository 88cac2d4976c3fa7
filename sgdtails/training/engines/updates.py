"""SGD with momentum, weight decay or injected noise: what w <- w - eta g becomes for g the mean gradient over a batch.

v <- mu v - eta (g + lambda w + sigma Z), w <- w + v, where Z has independent entries of a symmetric alpha-stable law with
scale 1 (alpha = 2 is N(0, 2)); without noise these are the iterates of torch.optim.SGD.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_VELOCITY = "velocity/"  # no name of a parameter of torch has a slash
_NOISE = "noise/generator"


@dataclass(frozen=True)
class Sgd:
    """momentum mu, weight_decay lambda, noise_scale sigma and noise_alpha, the tail index of the noise."""

    momentum: float = 0.0
    weight_decay: float = 0.0
    noise_scale: float = 0.0
    noise_alpha: float = 2.0

    @property
    def plain(self) -> bool:
        """Whether it is the paper's: w <- w - eta g."""
        return self.momentum == self.weight_decay == self.noise_scale == 0


PLAIN = Sgd()


class Updates:
    """Updates of networks in slots: ``weights`` (slots, ...) by name, changed in place."""

    def __init__(self, sgd: Sgd, weights: Mapping[str, Tensor]) -> None:
        self._sgd, self._names, self._weights = sgd, list(weights), list(weights.values())
        first = self._weights[0]
        self._step_sizes = torch.zeros(len(first), dtype=first.dtype, device=first.device)
        self._velocity = [torch.zeros_like(weight) for weight in self._weights] if sgd.momentum else []
        self._generators = [torch.Generator(first.device) for _ in range(len(first))] if sgd.noise_scale else []

    def put(self, slot: int, state: Mapping[str, NDArray], step_size: float, seed: int | Sequence[int]) -> None:
        """Begin, or go on from what ``get`` gave; noise begins with ``seed``."""
        self._step_sizes[slot] = step_size
        for name, velocity in zip(self._names, self._velocity, strict=False):
            saved = state.get(_VELOCITY + name)
            velocity[slot] = 0 if saved is None else torch.from_numpy(saved)
        if self._generators and _NOISE in state:
            self._generators[slot].set_state(torch.from_numpy(state[_NOISE].copy()))
        elif self._generators:
            self._generators[slot].manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))

    def get(self, slot: int) -> dict[str, NDArray]:
        """What has to be kept beside a slot's weights to go on later as if nothing had happened."""
        named = zip(self._names, self._velocity, strict=False)
        state = {_VELOCITY + name: velocity[slot].cpu().numpy().copy() for name, velocity in named}
        if self._generators:
            state[_NOISE] = self._generators[slot].get_state().numpy().copy()
        return state

    def move(self, source: int, target: int) -> None:
        """All that belongs to one slot to another, on the device."""
        for stacked in (self._step_sizes, *self._velocity):
            stacked[target].copy_(stacked[source])
        if self._generators:  # changing places leaves both their states, which on a GPU lie on the CPU
            generators = self._generators
            generators[target], generators[source] = generators[source], generators[target]

    def clear(self, slot: int) -> None:
        """Let a slot stand still."""
        for stacked in (self._step_sizes, *self._velocity):
            stacked[slot].zero_()

    @torch.no_grad()
    def apply(self, index: int, change: Tensor) -> None:
        """Update the parameter at ``index`` by ``change`` = -eta g (k, ...), in the first k slots."""
        used, sgd = len(change), self._sgd
        weight = self._weights[index][:used]
        rates = self._step_sizes[:used].view(used, *[1] * (weight.ndim - 1))
        if sgd.weight_decay:
            change = torch.addcmul(change, weight, rates, value=-sgd.weight_decay)
        if sgd.noise_scale:
            noise = [
                stable_noise(weight.shape[1:], sgd.noise_alpha, generator) for generator in self._generators[:used]
            ]
            change = torch.addcmul(change, torch.stack(noise).to(weight.dtype), rates, value=-sgd.noise_scale)
        if sgd.momentum:
            change = self._velocity[index][:used].mul_(sgd.momentum).add_(change)
        weight.add_(change)


def weights(state: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """A state without what ``Updates.get`` has added to it."""
    return {name: array for name, array in state.items() if not name.startswith((_VELOCITY, _NOISE))}


def stable_noise(shape: Sequence[int], alpha: float, generator: torch.Generator) -> Tensor:
    """Draws as of ``sgdtails.stable.sample``, float64 on the generator's device: what training may import is not analysis."""
    new: dict[str, Any] = {"dtype": torch.float64, "device": generator.device}
    if alpha == 2:
        return torch.randn(tuple(shape), generator=generator, **new).mul_(math.sqrt(2))
    angle = torch.rand(tuple(shape), generator=generator, **new).sub_(0.5).mul_(math.pi)
    if alpha == 1:
        return angle.tan_()
    exponential = (
        torch.empty(tuple(shape), **new).exponential_(generator=generator).clamp_min_(torch.finfo(torch.float64).tiny)
    )
    stretch = torch.cos((1 - alpha) * angle).div_(exponential).pow_((1 - alpha) / alpha)
    return torch.sin(alpha * angle).div_(torch.cos(angle).pow_(1 / alpha)).mul_(stretch)
