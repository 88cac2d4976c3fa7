"""A wide matrix of weights on a CPU: its products with a batch and its update, with its rows divided among threads."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

BLOCK = 2**18  # weights, 1 MB of float32: a block of this size stays in a core's cache between two products
ROWS = 128  # fewest rows per thread: work on fewer takes less time than starting it


class WideMatrix:
    """Weights whose rows belong to threads, which multiply and update their own.

    Torch's BLAS divides products of a batch badly: with two threads, products of blocks that fit in a cache take half as much
    processor time again (``python -m benchmarks.wide``). Use it within ``one_thread_each``. The results' bytes depend on the
    number of threads, and on nothing else that differs between runs.

    Parameters
    ----------
    weight : Tensor, shape (out, in), float32
        The matrix, which is updated in place.
    threads : int
        Most threads.

    Examples
    --------
    >>> matrix = WideMatrix(torch.ones(2, 3), threads=1)
    >>> delta = torch.tensor([[1.0, 2.0]])
    >>> matrix.backward_update(delta, torch.ones(1, 3))  # with the weights before their update
    tensor([[3., 3., 3.]])
    >>> matrix.forward(torch.ones(1, 3))
    tensor([[6., 9.]])
    """

    def __init__(self, weight: Tensor, threads: int) -> None:
        self._shares = weight.chunk(max(1, min(threads, len(weight) // ROWS)))
        self._sizes = [len(share) for share in self._shares]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs W^T: (batch size, in) to (batch size, out)."""
        found: list[Tensor] = _each(partial(linear, inputs=inputs), self._shares)
        return torch.cat(found, dim=1) if len(found) > 1 else found[0]

    def backward_update(self, delta: Tensor, inputs: Tensor) -> Tensor:
        """Return delta W, (batch size, in), and then update W <- W + delta^T inputs; delta is (batch size, out)."""
        parts: list[Tensor] = _each(partial(_backward_update, inputs), self._shares, delta.split(self._sizes, dim=1))
        below, *others = parts
        for other in others:
            below += other
        return below

    def update(self, delta: Tensor, inputs: Tensor) -> None:
        """Update W <- W + delta^T inputs."""
        _each(partial(_update, inputs), self._shares, delta.split(self._sizes, dim=1))

    def add_to(self, total: Tensor) -> None:
        """Add W to ``total``, (out, in)."""
        _each(Tensor.add_, total.split(self._sizes), self._shares)


def linear(rows: Tensor, inputs: Tensor) -> Tensor:
    """Multiply a batch by a matrix with oneDNN, which is faster at that than torch's BLAS.

    Parameters
    ----------
    rows : Tensor, shape (out, in), float32
        The matrix.
    inputs : Tensor, shape (batch size, in), float32
        The batch.

    Returns
    -------
    Tensor, shape (batch size, out)
        inputs rows^T.

    Examples
    --------
    >>> linear(torch.tensor([[1.0, 2.0]]), torch.ones(3, 2)).flatten()
    tensor([3., 3., 3.])
    """
    found: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, rows, None, "none", [], "")
    return found


def _backward_update(inputs: Tensor, rows: Tensor, delta: Tensor) -> Tensor:
    """Multiply and update one thread's rows in blocks: the product leaves a block in the cache for its update."""
    below = inputs.new_zeros(inputs.shape)
    size = max(1, BLOCK // rows.shape[1])
    for block, part in zip(rows.split(size), delta.split(size, dim=1), strict=True):
        below.addmm_(part, block)
        block.addmm_(part.T, inputs)
    return below


def _update(inputs: Tensor, rows: Tensor, delta: Tensor) -> None:
    rows.addmm_(delta.T, inputs)


def _each(function: Callable[..., Any], *shares: Sequence[Tensor]) -> list[Any]:
    """Call the function with each share, in a thread each; in this thread if there is one share only."""
    threads = len(shares[0])
    return list((_pool(threads).map if threads > 1 else map)(function, *shares))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let torch use one thread in each thread that calls it: its own threads would compete with these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
