"""A wide matrix of weights on a CPU: its products with a batch, and its update, its rows shared out among threads."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

BLOCK = 2**18  # weights, 1 MB of float32: so much of a matrix stays in a core's cache between two products
ROWS = 128  # the fewest of a share: the work on fewer is shorter than handing it over


class WideMatrix:
    """Weights (out, in), changed in place; each of at most so many threads has its own rows.

    Torch's BLAS shares products of a batch out badly: with two threads, those of blocks that lie in a cache take half as much
    processor time again (``python -m benchmarks.wide``). To be used within ``one_thread_each``. The bytes depend on the number
    of threads, and on nothing else that differs from run to run.

    >>> matrix = WideMatrix(torch.ones(2, 3), threads=1)
    >>> matrix.back(torch.tensor([[1.0, 2.0]]), torch.ones(1, 3))  # by the weights before the update
    tensor([[3., 3., 3.]])
    """

    def __init__(self, weight: Tensor, threads: int) -> None:
        self._shares = weight.chunk(max(1, min(threads, len(weight) // ROWS)))
        self._sizes = [len(share) for share in self._shares]

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs W^T: (batch size, in) to (batch size, out)."""
        found = _each(partial(linear, inputs=inputs), self._shares)
        return torch.cat(found, dim=1) if len(found) > 1 else found[0]

    def back(self, delta: Tensor, inputs: Tensor) -> Tensor:
        """delta W, (batch size, in), of the weights before W <- W + delta^T inputs; delta (batch size, out)."""
        first, *others = _each(partial(_back, inputs), self._shares, delta.split(self._sizes, dim=1))
        for other in others:
            first += other
        return first

    def update(self, delta: Tensor, inputs: Tensor) -> None:
        """W <- W + delta^T inputs."""
        _each(partial(_update, inputs), self._shares, delta.split(self._sizes, dim=1))

    def add_to(self, total: Tensor) -> None:
        """total += W."""
        _each(Tensor.add_, total.split(self._sizes), self._shares)


def linear(rows: Tensor, inputs: Tensor) -> Tensor:
    """inputs rows^T by oneDNN, whose product of a batch and a matrix is faster than that of torch's BLAS."""
    return torch.ops.mkldnn._linear_pointwise(inputs, rows, None, "none", [], "")


def _back(inputs: Tensor, rows: Tensor, delta: Tensor) -> Tensor:
    """A share of ``WideMatrix.back``, block by block: the update finds in a cache what the product has read."""
    below = inputs.new_zeros(inputs.shape)
    size = max(1, BLOCK // rows.shape[1])
    for block, part in zip(rows.split(size), delta.split(size, dim=1), strict=True):
        below.addmm_(part, block)
        block.addmm_(part.T, inputs)
    return below


def _update(inputs: Tensor, rows: Tensor, delta: Tensor) -> None:
    rows.addmm_(delta.T, inputs)


def _each(function: Callable[..., Any], *shares: Sequence[Tensor]) -> list[Any]:
    """The function of each share, at the same time; in this thread if there is one only."""
    threads = len(shares[0])
    return list((_pool(threads).map if threads > 1 else map)(function, *shares))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Torch uses one thread in each thread that calls it: its own would compete with them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
