"""Zeros, dead rows and small norms: what is left out before a tail index is estimated, and what drives the index."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.arrays import array_namespace
from sgdtails.tail_index import classify, mmo

Array = Any  # numpy.ndarray or torch.Tensor
GAP = 10.0  # factor between neighbours in the sorted norms of rows: nothing lies between dead rows and the others
SMALL = 100.0  # the median norm of the others, over the largest of dead rows, at least
FEWEST_ALIVE = 4  # rows, and a quarter of them: gaps among the largest norms are what heavy tails have
LARGEST = 1e30  # magnitude of a weight: sums of a layer's rows stay within single precision
FEW_VALUES = 16  # different ones at most, of weights that were quantised: they have no tail
_GAP_VALUES = 3  # other than zero in each row: of fewer, small norms and wide gaps are common by chance
_LOST = 1e-30  # a sum of squares that single precision may have lost parts of
_CHUNK = 2**24  # weights at a time


@dataclass(frozen=True)
class Scan:
    """What one pass over all weights of a layer has shown.

    Attributes
    ----------
    finite : bool
        Whether every weight is, and none exceeds ``LARGEST``.
    zeros : int
        Number of weights that are exactly zero.
    log_norms : numpy.ndarray
        Natural logarithms of the norms of all observations, (N,); minus infinity for one of zeros.
    fewest : int
        Smallest number of weights other than zero in an observation that has any.
    """

    finite: bool
    zeros: int
    log_norms: NDArray[np.float64]
    fewest: int


def scan(tensor: Array) -> Scan:
    """Count zeros and take norms of rows, or of kernels, some rows at a time.

    Parameters
    ----------
    tensor : numpy.ndarray or torch.Tensor
        (N, d), or (out, in, *kernel) of a convolution, whose kernels are observations.

    Returns
    -------
    Scan
        If not all weights are finite, ``log_norms`` is empty.

    Examples
    --------
    >>> found = scan(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    >>> found.zeros, found.log_norms.round(3).tolist()
    (2, [1.609, -inf])
    """
    dimension = math.prod(tensor.shape[2:]) if tensor.ndim > 2 else tensor.shape[1]
    zeros, fewest, norms = 0, dimension, []
    for part in parts(tensor):
        xp = array_namespace(part)
        with np.errstate(over="ignore"):  # said below
            rows = np.asarray(xp.astype(part, xp.float32)).reshape(-1, dimension)
        largest = float(np.abs(rows).max())
        if not largest <= LARGEST:
            return Scan(False, 0, np.empty(0), 0)
        with np.errstate(divide="ignore"):
            norms.append(np.log(_squares(rows, largest or 1.0)) / 2 + math.log(largest or 1.0))
        nothing = rows.size - int(np.count_nonzero(rows))
        zeros += nothing
        if nothing:
            held = np.count_nonzero(rows, axis=1)
            fewest = min(fewest, int(held[held > 0].min(initial=dimension)))
    return Scan(True, zeros, np.concatenate(norms), fewest)


def _squares(rows: NDArray[np.float32], unit: float) -> NDArray[np.float64]:
    """Sum the squares of rows in a unit that keeps them within single precision; those of much smaller rows in double precision."""
    scaled = rows / np.float32(unit)
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", scaled, scaled).astype(np.float64)
    few = squares < _LOST
    if few.any():
        exact = rows[few].astype(np.float64) / unit
        squares[few] = np.einsum("ij,ij->i", exact, exact)
    return squares


def parts(tensor: Array) -> Iterator[Array]:
    """Yield some rows at a time."""
    step = max(1, _CHUNK // math.prod(tensor.shape[1:]))
    return (tensor[start : start + step] for start in range(0, len(tensor), step))


def dead_rows(log_norms: NDArray[np.float64], fewest: int = _GAP_VALUES) -> NDArray[np.bool_]:
    """Find rows that are zero, or so small that they are dead.

    A row of zeros is dead. So are all rows below a gap in the sorted norms of the others if the gap is a factor of ten or more, if
    the largest norm below it is at most a hundredth of the median norm above it, and if a quarter of the rows, and four, lie above.
    By chance the smallest of N independent norms of d values lies a factor of ten below the next with probability 10^-d, so
    the factor is 10^(3/``fewest``) where rows have fewer than three values other than zero.

    Parameters
    ----------
    log_norms : numpy.ndarray
        Natural logarithms of the rows' norms, (N,).
    fewest : int
        Smallest number of values other than zero in a row that has any.

    Returns
    -------
    numpy.ndarray
        True for dead rows, (N,).

    Examples
    --------
    >>> dead_rows(np.log([1.0, 1e-5, 0.8, 1.2, 1.1, 2e-5])).tolist()
    [False, True, False, False, False, True]
    """
    zero: NDArray[np.bool_] = np.isneginf(log_norms)
    ordered = np.sort(log_norms[~zero])
    gap = math.log(GAP) * max(1.0, _GAP_VALUES / max(fewest, 1))
    last = len(ordered) - max(FEWEST_ALIVE, math.ceil(len(ordered) / 4))
    for below in reversed(np.flatnonzero(np.diff(ordered) >= gap).tolist()):  # the uppermost gap comes first
        if below < last and ordered[below] <= np.median(ordered[below + 1 :]) - math.log(SMALL):
            below_gap: NDArray[np.bool_] = log_norms <= ordered[below]
            return np.logical_or(zero, below_gap)
    return zero


def few_values(sample: NDArray[np.float32]) -> int | None:
    """How many different values weights have, zero included, if at most ``FEW_VALUES``; else None.

    >>> few_values(np.sign(np.arange(-50, 50, dtype=np.float32)))
    3
    """
    flat = sample.reshape(-1)
    if len(np.unique(flat[:: max(1, len(flat) // 4096)])) > FEW_VALUES or len(flat) < 4 * FEW_VALUES:
        return None
    count = len(np.unique(flat))
    return count if count <= FEW_VALUES else None


def driver(centred: NDArray[np.float32], alpha_high: float | None) -> str | None:
    """Say which norms put a tail index below that of a Gaussian law: the large or the small ones.

    The index falls with the distance from the mean log norm to the log of the root mean square. Large norms make the part of it
    above the median log norm, small ones the part below; of each the part that Gaussian rows of as many values have is
    taken off.

    Parameters
    ----------
    centred : numpy.ndarray
        Centred observations, (N, d) or (N,).
    alpha_high : float or None
        Upper end of the interval of their tail index.

    Returns
    -------
    str or None
        ``large norms`` or ``small norms``; None where the interval reaches ``classify.LIGHT`` or there is none.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((400, 9)).astype(np.float32)
    >>> driver(np.where(np.arange(400)[:, None] < 100, 0.02 * rows, rows), alpha_high=1.2)
    'small norms'
    """
    from scipy.special import digamma, gammaincinv

    if alpha_high is None or alpha_high >= classify.LIGHT:
        return None
    logs = np.asarray(mmo.log_norms(centred), np.float64)
    half = (1 if centred.ndim == 1 else centred.shape[1]) / 2
    middle = float(np.median(logs))
    usual = math.log(2 * float(gammaincinv(half, 0.5))) / 2  # median log norm of Gaussian rows
    large = _log_root_mean_square(logs) - middle - (math.log(2 * half) / 2 - usual)
    small = middle - float(logs.mean()) - (usual - (float(digamma(half)) + math.log(2)) / 2)
    return "small norms" if small > large else "large norms"


def _log_root_mean_square(logs: NDArray[np.float64]) -> float:
    top = float(logs.max())
    return top + math.log(float(np.mean(np.exp(2 * (logs - top))))) / 2


def names(dead: NDArray[np.bool_], shape: tuple[int, ...]) -> dict[str, Any]:
    """Columns of table ``audit``: how many observations are dead, and the numbers of rows, or of filters, with nothing else.

    >>> names(np.array([True, True, False, True]), (2, 2, 3, 3))
    {'dead': 3, 'dead_rows': [0]}
    """
    whole = dead.reshape(shape[0], -1).all(axis=1)
    return {"dead": int(dead.sum()), "dead_rows": np.flatnonzero(whole).tolist()}
