"""SGD with momentum, weight decay or injected noise: updates beyond w <- w - eta g, g the mean gradient over a batch.

v <- mu v - eta (g + lambda w + sigma Z), w <- w + v, where each entry of Z has a symmetric alpha-stable law with scale 1
(alpha = 2 is N(0, 2)); ``noise`` says what the entries share. Without noise these are the iterates of torch.optim.SGD.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from sgdtails.errors import InputError
from sgdtails.training.engines.base import Array, State
from sgdtails.training.engines.noise import draw_noise
from sgdtails.training.settings import SGDSettings

_VELOCITY = "velocity/"  # no name of a parameter of torch has a slash
_NOISE = "noise/generator"


class SGDUpdate:
    """Updates the weights of replicas in place, and keeps their velocities and random generators.

    Parameters
    ----------
    sgd : SGDSettings
        Momentum, weight decay and noise.
    weights : mapping of str to Tensor, shape (replicas, ...)
        Stacked parameters by name.

    Examples
    --------
    >>> weights = torch.zeros(1, 2)
    >>> update = SGDUpdate(SGDSettings(momentum=0.5), {"w": weights})
    >>> update.put(0, {}, step_size=0.1, seed=0)
    >>> for _ in range(2):
    ...     update.apply(0, torch.ones(1, 2))
    >>> weights
    tensor([[2.5000, 2.5000]])
    """

    def __init__(self, sgd: SGDSettings, weights: Mapping[str, Tensor]) -> None:
        self._sgd, self._names, self._weights = sgd, list(weights), list(weights.values())
        first = self._weights[0]
        self._step_sizes = torch.zeros(len(first), dtype=first.dtype, device=first.device)
        self._velocity = [torch.zeros_like(weight) for weight in self._weights] if sgd.momentum else []
        self._generators = [torch.Generator(first.device) for _ in range(len(first))] if sgd.noise_scale else []

    def put(self, replica: int, state: Mapping[str, Array], step_size: float, seed: int | Sequence[int]) -> None:
        """Start a replica, or let it go on from what ``get`` has returned; new noise starts from ``seed``."""
        self._step_sizes[replica] = step_size
        for name, velocity in zip(self._names, self._velocity, strict=False):
            saved = state.get(_VELOCITY + name)
            velocity[replica] = 0 if saved is None else torch.from_numpy(saved)
        if self._generators and _NOISE in state:
            self._restore(self._generators[replica], state[_NOISE])
        elif self._generators:
            self._generators[replica].manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))

    @staticmethod
    def _restore(generator: torch.Generator, saved: Array) -> None:
        if saved.shape != tuple(generator.get_state().shape):
            raise InputError(
                f"a checkpoint holds the noise of another kind of device than {generator.device.type}, which cannot go on here; "
                "start where the run began, or remove its checkpoints to begin anew."
            )
        generator.set_state(torch.from_numpy(saved.copy()))

    def get(self, replica: int) -> State:
        """Return what a replica needs beside its weights to go on as if it had not stopped."""
        named = zip(self._names, self._velocity, strict=False)
        state = {_VELOCITY + name: velocity[replica].cpu().numpy().copy() for name, velocity in named}
        if self._generators:
            state[_NOISE] = self._generators[replica].get_state().numpy().copy()
        return state

    def move(self, source: int, target: int) -> None:
        """Copy velocity, noise and step size of a replica to another one, on the device."""
        for stacked in (self._step_sizes, *self._velocity):
            stacked[target].copy_(stacked[source])
        if self._generators:  # they swap, because on a GPU a generator's state lies on the CPU
            generators = self._generators
            generators[target], generators[source] = generators[source], generators[target]

    def clear(self, replica: int) -> None:
        """Set a replica's step size and velocity to zero."""
        for stacked in (self._step_sizes, *self._velocity):
            stacked[replica].zero_()

    @torch.no_grad()
    def apply(self, index: int, change: Tensor) -> None:
        """Update one parameter of the first replicas.

        Parameters
        ----------
        index : int
            Which parameter, in the order of ``weights``.
        change : Tensor, shape (k, ...)
            The gradient step -eta g of the first k replicas.
        """
        used, sgd = len(change), self._sgd
        weight = self._weights[index][:used]
        rates = self._step_sizes[:used].view(used, *[1] * (weight.ndim - 1))
        if sgd.weight_decay:
            change = torch.addcmul(change, weight, rates, value=-sgd.weight_decay)
        if sgd.noise_scale:
            noise = [
                draw_noise(sgd.noise_kind, weight.shape[1:], sgd.noise_alpha, generator)
                for generator in self._generators[:used]
            ]
            change = torch.addcmul(change, torch.stack(noise).to(weight.dtype), rates, value=-sgd.noise_scale)
        if sgd.momentum:
            change = self._velocity[index][:used].mul_(sgd.momentum).add_(change)
        weight.add_(change)


def weights_only(state: Mapping[str, Array]) -> State:
    """Return a state without what ``SGDUpdate.get`` has added to it.

    Parameters
    ----------
    state : mapping of str to ndarray
        State of a replica.

    Returns
    -------
    dict of ndarray
        Its weights by name.

    Examples
    --------
    >>> weights_only({"w": np.zeros(1), "velocity/w": np.ones(1)})
    {'w': array([0.])}
    """
    return {name: array for name, array in state.items() if not name.startswith((_VELOCITY, _NOISE))}
