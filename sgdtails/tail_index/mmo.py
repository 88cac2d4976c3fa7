"""Tail index of multivariate stable samples: Mohammadi, Mohammadpour and Ogata (2015), cited as MMO15.

For N = K1*K2 observations X and the K2 sums Y of K1 consecutive ones,
1/alpha = (mean log||Y|| - mean log||X||) / log K1  (MMO15, Corollary 2.4; Corollary 2.2 for scalars).
"""

import importlib
import math
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.arrays import array_namespace, is_torch_array, mean
from sgdtails.tail_index.permutations import permuted

if typing.TYPE_CHECKING:
    from sgdtails.audit.estimation import estimate as estimate

BLOCK_LENGTHS = (2, 5, 10, 20, 50, 100, 500, 1000)  # aimed at, beside the square root of N, as published
PERMUTATIONS = 5
CLIP = 2.0  # a stable law has alpha <= 2: the published values stop there
SQUARE_ROOT = "sqrt(N)"  # its name among the targets
_ESTIMATE: typing.Final = "sgdtails.audit.estimation"  # imports this module


def divisors(n: int) -> list[int]:
    """The divisors of n >= 1, ascending."""
    small = [k for k in range(1, math.isqrt(n) + 1) if n % k == 0]
    return sorted({*small, *(n // k for k in small)})


def block_lengths(n: int, targets: Sequence[int] = BLOCK_LENGTHS, *, square_root: bool = True) -> list[int]:
    """The K1 for n observations, ascending and distinct; ValueError if there is none.

    Targets up to n/2 are lowered to the nearest divisor of n, and so is the square root of n, whatever n is; 1 is left out.

    >>> block_lengths(192)
    [2, 4, 8, 12, 16, 48]
    """
    return list(lowered_targets(n, targets, square_root=square_root))


def lowered_targets(
    n: int, targets: Sequence[int] = BLOCK_LENGTHS, *, square_root: bool = True
) -> dict[int, list[int | str]]:
    """``block_lengths``, and for each the targets that were lowered to it."""
    aims: list[tuple[int, int | str]] = [(target, target) for target in targets if target <= n / 2]
    if square_root and n > 0:
        aims.append((math.isqrt(n), SQUARE_ROOT))
    found: dict[int, list[int | str]] = {}
    for target, name in aims:
        k1 = max(k for k in divisors(n) if k <= target)
        if k1 > 1:
            found.setdefault(k1, []).append(name)
    if not found:
        raise ValueError(f"{n} observations have no admissible block length K1 (a divisor from 2 to N/2 near a target)")
    return dict(sorted(found.items()))


def inverse_alpha(observations: NDArray, k1: int) -> float:
    """1/alpha of observations (N, d) or (N,) in the given order. MMO15, Corollaries 2.4 and 2.2.

    ValueError if k1 does not divide N or is not in 2...N/2, if a value is not finite, or if more than half of
    the norms are zero. A few zeros (a sample of odd size holds its own median) count as the smallest other norm.
    """
    n = len(observations)
    if not 2 <= k1 <= n // 2 or n % k1:
        raise ValueError(f"K1 = {k1} must divide the {n} observations and lie in 2...N/2")
    sample = np.asarray(observations, dtype=np.float64)
    (contrasts,) = block_contrasts(sample, [k1])
    return float(contrasts.mean())


def _norms(rows: Any) -> Any:
    """Euclidean norms of (N, d), (N,), in the precision of the rows, also where their squares leave its range."""
    xp = array_namespace(rows)
    squares = xp.sum(rows * rows, axis=1) if is_torch_array(rows) else np.einsum("ij,ij->i", rows, rows)
    range_ = xp.finfo(rows.dtype)
    inexact = ~((squares > float(range_.smallest_normal / range_.eps)) & (squares <= float(range_.max)))
    norms = xp.sqrt(squares, out=squares)
    if inexact.any():
        exact = xp.astype(rows[inexact], xp.float64)
        largest = xp.max(xp.abs(exact), axis=1, keepdims=True)
        scale = xp.where((largest > 0) & xp.isfinite(largest), largest, xp.ones_like(largest))
        with np.errstate(over="ignore"):
            norms[inexact] = xp.astype(scale[:, 0] * xp.linalg.vector_norm(exact / scale, axis=1), norms.dtype)
    return norms


def log_norms(sample: Any) -> Any:
    """log of the Euclidean norm of each observation of (N, d) or (N,), of numpy or torch, (N,).

    See inverse_alpha for zeros and errors.
    """
    xp = array_namespace(sample)
    norms = xp.abs(sample) if sample.ndim == 1 else _norms(sample)
    if not math.isfinite(float(norms.max())):
        raise ValueError("the observations are not all finite")
    if float(norms.min()) == 0:
        zero = norms == 0
        if 2 * int(zero.sum()) > len(norms):
            raise ValueError("more than half of the observations are zero: they have no tail index")
        norms[zero] = norms[~zero].min()
    return xp.log(norms, out=norms)


def nearest_divisors(lengths: Sequence[int]) -> list[int]:
    """For each ascending length the largest shorter one that divides it, or 1."""
    return [max(k for k in (1, *lengths[:at]) if length % k == 0) for at, length in enumerate(lengths)]


def block_sums(sample: Any, lengths: Sequence[int]) -> Iterator[Any]:
    """Sums of each length of consecutive observations, from the sums of a shorter length that divides it."""
    bases = nearest_divisors(lengths)
    known = {1: sample}
    for at, (length, base) in enumerate(zip(lengths, bases, strict=True)):
        known[length] = _sums(known[base].reshape(-1, length // base, *sample.shape[1:]))
        yield known[length]
        known = {k: sums for k, sums in known.items() if k in bases[at + 1 :]}


def _sums(parts: Any) -> Any:
    """Sums of each row of (n, k) or (n, k, d): (n,) or (n, d)."""
    if parts.ndim > 2 or is_torch_array(parts):
        return parts.sum(axis=1)
    return parts @ np.ones(parts.shape[1], parts.dtype)  # many times faster than a sum over a short last axis


def block_contrasts(sample: Any, lengths: Sequence[int]) -> list[Any]:
    """For each ascending K1, one estimate of 1/alpha per block, (N/K1,), in the given order.

    On independent observations they are independent and identically distributed; their mean is 1/alpha.
    """
    logs = log_norms(sample)
    contrasts = list(block_sums(logs, lengths))
    del logs  # as large as the sample
    for k1, values, sums in zip(lengths, contrasts, block_sums(sample, lengths), strict=True):
        values /= -k1
        values += log_norms(sums)
        values /= math.log(k1)
    return contrasts


class Profiles:
    """1/alpha at every K1 for each random order of a sample that it is shown.

    ``level``: mean log norm of the sample, which no order changes.
    """

    def __init__(self, level: float, lengths: Sequence[int]) -> None:
        self._level, self._lengths = level, lengths
        self._rows: list[list[float]] = []

    def add(self, shuffled: Any) -> None:
        """One more order; ``shuffled`` (N, d) or (N,) is the sample in it."""
        sums = zip(self._lengths, block_sums(shuffled, self._lengths), strict=True)
        self._rows.append([(mean(log_norms(each)) - self._level) / math.log(k1) for k1, each in sums])

    @property
    def inverse(self) -> NDArray[np.float64]:
        """1/alpha (orders, K1s)."""
        return np.array(self._rows)


def profile(
    observations: Any, *, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[list[int], NDArray[np.float64]]:
    """K1s, and 1/alpha for each random order and K1, (permutations, len(K1s)). Works in the sample's precision."""
    lengths = block_lengths(len(observations))
    found = Profiles(mean(log_norms(observations)), lengths)
    for _ in range(permutations):
        found.add(permuted(observations, rng))
    return lengths, found.inverse


def alpha_of(inverse: NDArray | float) -> NDArray[np.float64]:
    """alpha from 1/alpha; infinite where 1/alpha <= 0, which no stable law has."""
    inverse = np.asarray(inverse, dtype=np.float64)
    return np.divide(1.0, inverse, out=np.full_like(inverse, np.inf), where=inverse > 0)


def aggregate(inverse: NDArray[np.float64]) -> float:
    """Median over orders of the median over K1 of alpha, unclipped, from 1/alpha (orders, K1s).

    As published, a negative 1/alpha is a negative alpha.
    """
    with np.errstate(divide="ignore"):
        return float(np.median(np.median(1 / np.asarray(inverse), axis=1)))


def published(observations: NDArray, *, rng: np.random.Generator) -> float:
    """The paper's value for centred observations (N, d) or (N,): ``aggregate`` of ``profile``, clipped at 2."""
    return min(aggregate(profile(observations, rng=rng)[1]), CLIP)


def __getattr__(name: str) -> object:
    """``estimate``, the function for other programs."""
    if name == "estimate":
        return importlib.import_module(_ESTIMATE).estimate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
