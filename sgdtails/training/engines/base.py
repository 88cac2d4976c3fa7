"""The interface of engines, which train networks of one architecture side by side on one device.

Each network is a replica, with weights and a step size of its own. ``stacked_mlp.StackedMLPEngine`` stacks the weights of its
replicas; ``module.ModuleEngine`` takes any torch module, as its one replica. On a GPU both replay their steps as a CUDA graph
(``cuda_graph``); on a CPU they call the same functions step by step.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdtails.training.evaluation import Network

R = TypeVar("R")
Array = NDArray[Any]
State = dict[str, Array]  # arrays by name
Prepare = Callable[[Tensor], Tensor]  # images as they are stored to inputs of the network


class Engine(Protocol):
    """The interface of an engine. Replicas 0 to k-1 are in use."""

    replicas: int
    stride: int  # steps that run without coming back to Python
    device: torch.device

    def put(self, replica: int, state: Mapping[str, Array], step_size: float, seed: int | Sequence[int] = 0) -> None:
        """Load a network into a replica.

        Parameters
        ----------
        replica : int
            Which replica.
        state : mapping of str to ndarray
            The network's weights, or what ``get`` has returned.
        step_size : float
            The step size eta.
        seed : int or sequence of int
            Seed of the noise, unless ``state`` says how the noise goes on.
        """

    def get(self, replica: int) -> State:
        """Return a copy, on the CPU, of all that a replica needs to go on: weights, velocities, state of the noise."""

    def weights(self, replica: int) -> dict[str, Tensor]:
        """Return a replica's weights and buffers by name, on its device, not copied: the next step changes them."""

    def move(self, source: int, target: int) -> None:
        """Copy all that a replica holds to another one, on the device. The caller then clears ``source`` or refills it."""

    def clear(self, replica: int) -> None:
        """Set weights and step size of an unused replica to zero, so that no infinite numbers stay in it."""

    def finite(self, replica: int) -> Tensor:
        """Return whether all weights of a replica are finite, as a bool on the device."""

    def advance(self, indices: Tensor) -> None:
        """Take SGD steps.

        Parameters
        ----------
        indices : Tensor, shape (steps, k, batch size), int64
            Images of each step and replica, on the engine's device.
        """

    def network(self, replica: int) -> Network:
        """Return a replica's network, in evaluation mode and without gradients."""

    def accumulate(self, on: bool) -> None:
        """Start to add every iterate to sums in float64, from zero; or stop."""

    def sum_of(self, replica: int) -> State:
        """Return a copy of a replica's sums, on the CPU."""

    def put_sums(self, replica: int, sums: Mapping[str, Array]) -> None:
        """Set a replica's sums."""

    def lipschitz_bound(self, replica: int) -> Tensor | None:
        """Return a bound on ||logits||/||image|| of a replica's network, a float64 scalar; None if none is known."""

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which the engine's work is queued: on a GPU, a stream of its own."""


def interleave(work: Iterable[tuple[Engine, Tensor]], stopped: Callable[[], bool]) -> list[int]:
    """Let engines take steps, a few of each in turn, so that engines with streams of their own run at the same time.

    Parameters
    ----------
    work : iterable of (Engine, Tensor)
        Engines, each with its images as ``Engine.advance`` takes them, on any device.
    stopped : callable
        Asked before each turn; after True no more steps are taken.

    Returns
    -------
    list of int
        Steps that each engine has taken.
    """
    pieces = []
    for engine, indices in work:
        with engine.scope():  # memory belongs to the stream on which it is allocated
            pieces.append((engine, deque(indices.to(engine.device).split(engine.stride))))
    done = [0] * len(pieces)
    while any(left for _, left in pieces) and not stopped():
        for number, (engine, left) in enumerate(pieces):
            if left:
                piece = left.popleft()
                with engine.scope():
                    engine.advance(piece)
                done[number] += len(piece)
    return done


def close_up(engine: Engine, runs: list[R], stays: Callable[[R], bool]) -> None:
    """Move the runs that stay to an engine's first replicas, in their order, and clear the other replicas.

    Parameters
    ----------
    engine : Engine
        The engine.
    runs : list
        The run of each replica in use; runs that do not stay are removed from the list.
    stays : callable
        Whether a run stays.
    """
    staying = [replica for replica, run in enumerate(runs) if stays(run)]
    with engine.scope():
        for target, source in enumerate(staying):
            if source != target:
                engine.move(source, target)
        for replica in range(len(staying), len(runs)):
            engine.clear(replica)
    runs[:] = [runs[replica] for replica in staying]


def unchanged(images: Tensor) -> Tensor:
    """Return the images: the ``Prepare`` of images that are stored as inputs."""
    return images


def is_finite(state: Mapping[str, Array]) -> bool:
    """Return whether all numbers of a state are finite.

    Parameters
    ----------
    state : mapping of str to ndarray
        Arrays by name.

    Returns
    -------
    bool
        True if they all are.

    Examples
    --------
    >>> is_finite({"w": np.ones(2)}), is_finite({"w": np.array([1.0, np.nan])})
    (True, False)
    """
    return all(bool(np.isfinite(value).all()) for value in state.values())


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Return whether all numbers are finite, as a bool on the tensors' device: the caller need not wait for it.

    Parameters
    ----------
    tensors : iterable of Tensor
        Tensors of one device.

    Returns
    -------
    Tensor, shape (), bool
        True if they all are.

    Examples
    --------
    >>> all_finite([torch.ones(2), torch.tensor([torch.inf])])
    tensor(False)
    """
    return torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all()


def product(factors: list[Tensor]) -> Tensor:
    """Multiply scalars in float64, such as the norms of an engine's layers for ``lipschitz_bound``.

    Parameters
    ----------
    factors : list of Tensor, shape ()
        Scalars of one device.

    Returns
    -------
    Tensor, shape (), float64
        Their product.

    Examples
    --------
    >>> product([torch.tensor(2.0), torch.tensor(3.0)])
    tensor(6., dtype=torch.float64)
    """
    return torch.stack(factors).double().prod()
