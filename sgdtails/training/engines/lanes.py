"""Networks of one architecture that train side by side on one device, in slots with a network and a step size each.

``fully_connected.FullyConnected`` stacks the weights of its slots, ``modules.Module`` takes any torch module, in one slot.
On a GPU both replay their steps as a CUDA graph (``sgdtails.training.engines.graphs``); on a CPU the same functions are called one by one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from sgdtails.training.evaluation import Network

R = TypeVar("R")
State = dict[str, NDArray]
Prepare = Callable[[Tensor], Tensor]


class Lane(Protocol):
    """What training and averaging need of a lane. Slots 0 .. k-1 are in use; iterates are called weights."""

    slots: int
    stride: int  # steps that run without coming back to Python
    device: torch.device

    def put(self, slot: int, state: Mapping[str, NDArray], step_size: float, seed: int | Sequence[int] = 0) -> None:
        """Load a network into a slot: its weights, or what ``get`` gave. ``seed``: of noise that begins."""

    def get(self, slot: int) -> State:
        """A copy of a slot's state, by name, on the CPU: its weights, and what else is needed to go on (``updates``)."""

    def move(self, source: int, target: int) -> None:
        """All that a slot holds to another, on the device; what is left in ``source`` is to be cleared, or put anew."""

    def clear(self, slot: int) -> None:
        """Weights of zero that stand still, so that nothing infinite lingers in a slot that is not in use."""

    def finite(self, slot: int) -> Tensor:
        """Whether every number of a slot's weights is finite: a bool on the device, not yet waited for."""

    def advance(self, order: Tensor) -> None:
        """Steps of SGD with the images at ``order`` (steps, k, batch size), one row of it after the other."""

    def network(self, slot: int) -> Network:
        """A slot's network in evaluation mode, without gradients."""

    def accumulate(self, on: bool) -> None:
        """From now on, add every iterate to sums in float64, which start at zero; or stop that."""

    def sum_of(self, slot: int) -> State:
        """A copy of a slot's sums."""

    def put_sums(self, slot: int, sums: Mapping[str, NDArray]) -> None:
        """Go on from these sums."""

    def growth(self, slot: int) -> Tensor | None:
        """A bound, float64 scalar, on ||logits||/||image|| of a slot's network; None where none is known."""

    def scope(self) -> AbstractContextManager[Any]:
        """Where this lane's work is to be queued: a stream of its own on a GPU."""


def interleave(work: Iterable[tuple[Lane, Tensor]], stopped: Callable[[], bool]) -> list[int]:
    """Advance lanes by their orders (steps, k, batch size), piece by piece in turn so that lanes on streams run at once.

    Returns the steps done in each: all of them unless ``stopped`` in between.
    """
    pieces = []
    for lane, order in work:
        with lane.scope():  # memory belongs to the stream on which it is taken
            pieces.append((lane, deque(order.to(lane.device).split(lane.stride))))
    done = [0] * len(pieces)
    while any(left for _, left in pieces) and not stopped():
        for number, (lane, left) in enumerate(pieces):
            if left:
                piece = left.popleft()
                with lane.scope():
                    lane.advance(piece)
                done[number] += len(piece)
    return done


def close_up(lane: Lane, runs: list[R], stays: Callable[[R], bool]) -> None:
    """Runs, by slot, that stay move to the first slots, in their order; others leave the list, and no slot holds them."""
    staying = [slot for slot, run in enumerate(runs) if stays(run)]
    with lane.scope():
        for target, source in enumerate(staying):
            if source != target:
                lane.move(source, target)
        for slot in range(len(staying), len(runs)):
            lane.clear(slot)
    runs[:] = [runs[slot] for slot in staying]


def as_they_are(images: Tensor) -> Tensor:
    """The ``Prepare`` of images that are inputs already."""
    return images


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether every number is finite: a bool on the tensors' device, not yet waited for."""
    return torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all()


def product(factors: list[Tensor]) -> Tensor:
    """Of scalars, float64: of a lane's norms, for ``growth``."""
    return torch.stack(factors).double().prod()
