"""Tail index of multivariate stable samples: Mohammadi, Mohammadpour and Ogata (2015), cited as MMO15.

For N = K1*K2 observations X and the K2 sums Y of K1 consecutive ones,
1/alpha = (mean log||Y|| - mean log||X||) / log K1  (MMO15, Corollary 2.4; Corollary 2.2 for scalars).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sgdtails.permutations import permuted

BLOCK_LENGTHS = (2, 5, 10, 20, 50, 100, 500, 1000)  # beside the square root of N, as published
PERMUTATIONS = 5
CLIP = 2.0  # a stable law has alpha <= 2: the published values stop there


def divisors(n: int) -> list[int]:
    """The divisors of n >= 1, ascending."""
    small = [k for k in range(1, math.isqrt(n) + 1) if n % k == 0]
    return sorted({*small, *(n // k for k in small)})


def block_lengths(n: int) -> list[int]:
    """The published K1 for n observations, ascending and distinct; ValueError if there is none.

    They are sqrt(n) and BLOCK_LENGTHS, each lowered to the nearest divisor of n, with 1 < K1 <= n/2.
    """
    targets = (math.isqrt(max(n, 0)), *BLOCK_LENGTHS)
    lowered = {max(k for k in divisors(n) if k <= target) for target in targets if target > 0 < n}
    lengths = sorted(k for k in lowered if 1 < k <= n // 2)
    if not lengths:
        raise ValueError(
            f"{n} observations have no admissible block length K1 (a divisor from 2 to 1000 and at most N/2)"
        )
    return lengths


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


def _norms(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Euclidean norms of (N, d), (N,), in the precision of the rows, also where their squares leave its range."""
    squares = np.einsum("ij,ij->i", rows, rows)
    range_ = np.finfo(rows.dtype)
    inexact = ~((squares > range_.tiny / range_.eps) & (squares <= range_.max))
    norms = np.sqrt(squares, out=squares)
    if inexact.any():
        exact = rows[inexact].astype(np.float64)
        largest = np.abs(exact).max(axis=1, keepdims=True)
        scale = np.where((largest > 0) & np.isfinite(largest), largest, 1)
        with np.errstate(over="ignore"):
            norms[inexact] = scale[:, 0] * np.linalg.norm(exact / scale, axis=1)
    return norms


def log_norms(sample: NDArray[np.floating]) -> NDArray[np.floating]:
    """log of the Euclidean norm of each observation, (N,); see inverse_alpha for zeros and errors."""
    norms = np.abs(sample) if sample.ndim == 1 else _norms(sample)
    if not np.isfinite(norms.max(initial=0)):
        raise ValueError("the observations are not all finite")
    zeros = len(norms) - np.count_nonzero(norms)
    if zeros:
        if 2 * zeros > len(norms):
            raise ValueError("more than half of the observations are zero: they have no tail index")
        norms[norms == 0] = norms[norms > 0].min()
    return np.log(norms, out=norms)


def _sums(sample: NDArray, lengths: Sequence[int]) -> Iterator[NDArray]:
    """Sums of each length of consecutive observations, from the sums of a shorter length that divides it."""
    bases = [max(k for k in (1, *lengths[:at]) if length % k == 0) for at, length in enumerate(lengths)]
    known = {1: sample}
    for at, (length, base) in enumerate(zip(lengths, bases, strict=True)):
        parts = known[base].reshape(-1, length // base, *sample.shape[1:])
        # A product with ones is many times faster than a sum over a short last axis.
        known[length] = parts.sum(axis=1) if sample.ndim > 1 else parts @ np.ones(length // base, sample.dtype)
        yield known[length]
        known = {k: sums for k, sums in known.items() if k in bases[at + 1 :]}


def block_contrasts(sample: NDArray, lengths: Sequence[int]) -> list[NDArray[np.floating]]:
    """For each ascending K1, one estimate of 1/alpha per block, (N/K1,), in the given order.

    On independent observations they are independent and identically distributed; their mean is 1/alpha.
    """
    logs = log_norms(sample)
    contrasts = [logs.reshape(-1, k1).mean(axis=1) for k1 in lengths]
    del logs  # as large as the sample
    for k1, values, sums in zip(lengths, contrasts, _sums(sample, lengths), strict=True):
        np.subtract(log_norms(sums), values, out=values)
        values /= math.log(k1)
    return contrasts


def profile(
    observations: NDArray, *, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[list[int], NDArray[np.float64]]:
    """K1s, and 1/alpha for each random permutation and K1, (permutations, len(K1s)). Works in the sample's precision."""
    lengths = block_lengths(len(observations))
    level = log_norms(observations).mean(dtype=np.float64)  # of any permutation
    estimates = np.empty((permutations, len(lengths)))
    for row in range(permutations):
        for column, sums in enumerate(_sums(permuted(observations, rng), lengths)):
            estimates[row, column] = (log_norms(sums).mean(dtype=np.float64) - level) / math.log(lengths[column])
    return lengths, estimates


def alpha_of(inverse: NDArray | float) -> NDArray[np.float64]:
    """alpha from 1/alpha; infinite where 1/alpha <= 0, which no stable law has."""
    inverse = np.asarray(inverse, dtype=np.float64)
    return np.divide(1.0, inverse, out=np.full_like(inverse, np.inf), where=inverse > 0)


def aggregate(inverse: NDArray[np.float64]) -> float:
    """Median over permutations of the median over K1 of alpha, unclipped, from 1/alpha (permutations, K1s)."""
    return float(np.median(np.median(alpha_of(inverse), axis=1)))


def published(observations: NDArray, *, rng: np.random.Generator) -> float:
    """The paper's value for centred observations (N, d) or (N,): ``aggregate`` of ``profile``, clipped at 2."""
    return min(aggregate(profile(observations, rng=rng)[1]), CLIP)
