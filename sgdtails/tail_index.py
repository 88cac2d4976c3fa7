"""Tail index of multivariate stable samples: Mohammadi, Mohammadpour and Ogata (2015), cited as MMO15.

For N = K1*K2 observations X and the K2 sums Y of K1 consecutive ones,
1/alpha = (mean log||Y|| - mean log||X||) / log K1  (MMO15, Corollary 2.4; Corollary 2.2 for scalars).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import layers

BLOCK_LENGTHS = (2, 5, 10, 20, 50, 100, 500, 1000)  # beside the square root of N, as published
PERMUTATIONS = 5
CLIP = 2.0  # a stable law has alpha <= 2: the published values stop there
ESTIMATORS = {"mmo_multivariate": "multivariate", "mmo_univariate": "univariate"}


def block_lengths(n: int) -> list[int]:
    """The published K1 for n observations, ascending and distinct; ValueError if there is none.

    They are sqrt(n) and BLOCK_LENGTHS, each lowered to the nearest divisor of n, with 1 < K1 <= n/2.
    """
    small = [k for k in range(1, math.isqrt(max(n, 0)) + 1) if n % k == 0]
    divisors = np.array(sorted({*small, *(n // k for k in small)}))
    targets = (math.isqrt(max(n, 0)), *BLOCK_LENGTHS)
    lowered = {int(divisors[divisors <= target].max()) for target in targets if n > 0}
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
    return float(_contrasts(sample, log_norms(sample), k1).mean())


def log_norms(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """log of the Euclidean norm of each observation, (N,); see inverse_alpha for zeros and errors."""
    norms = np.abs(sample) if sample.ndim == 1 else np.sqrt(np.einsum("ij,ij->i", sample, sample))
    if not np.isfinite(norms).all():
        raise ValueError("the observations are not all finite")
    zero = norms == 0
    if zero.any():
        if 2 * np.count_nonzero(zero) > len(norms):
            raise ValueError("more than half of the observations are zero: they have no tail index")
        norms[zero] = norms[~zero].min()
    return np.log(norms)


def _contrasts(sample: NDArray, logs: NDArray, k1: int) -> NDArray[np.float64]:
    """One estimate of 1/alpha per block, (N/K1,): independent and identically distributed; their mean is 1/alpha."""
    sums = sample.reshape(-1, k1, *sample.shape[1:]).sum(axis=1)
    return (log_norms(sums) - logs.reshape(-1, k1).mean(axis=1)) / math.log(k1)


def profile(
    observations: NDArray, *, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]]:
    """K1s, and 1/alpha with its standard error for each random permutation and K1: both (permutations, len(K1s)).

    The standard error is that of a mean over independent blocks, exact in the limit of many blocks.
    """
    sample = np.asarray(observations, dtype=np.float64)
    lengths = block_lengths(len(sample))
    logs = log_norms(sample)
    estimates = np.empty((2, permutations, len(lengths)))
    for row in range(permutations):
        order = rng.permutation(len(sample))
        shuffled, shuffled_logs = sample[order], logs[order]
        for column, k1 in enumerate(lengths):
            blocks = _contrasts(shuffled, shuffled_logs, k1)
            estimates[:, row, column] = blocks.mean(), blocks.std(ddof=1) / math.sqrt(len(blocks))
    return lengths, estimates[0], estimates[1]


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


def per_layer(weights: Mapping[str, NDArray], *, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of the table ``tails`` (less run and weights) for layers in order, the last one being the head.

    Layer l and estimator e draw their permutations from the seed (seed, l, e), the same for every network.
    """
    for index, (name, weight) in enumerate(weights.items()):
        head = index == len(weights) - 1
        for number, (estimator, purpose) in enumerate(ESTIMATORS.items()):
            sample = layers.centre(layers.observations(weight, purpose, head=head))  # type: ignore[arg-type]
            common = {"layer": index, "layer_name": name, "estimator": estimator}
            yield from (common | row for row in _rows(sample, np.random.default_rng([seed, index, number])))


def _rows(sample: NDArray[np.float64], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    from scipy.special import stdtrit  # scipy takes a while to import: only here

    n = len(sample)
    lengths, inverse, error = profile(sample, rng=rng)
    common = {
        "observations": n,
        "dimension": 1 if sample.ndim == 1 else sample.shape[1],
        "log_norm_dispersion": float(log_norms(sample).std()),
    }
    for column, k1 in enumerate(lengths):
        middle, half = np.median(inverse[:, column]), np.median(error[:, column]) * stdtrit(n // k1 - 1, 0.975)
        low, alpha, high = alpha_of(np.array([middle + half, middle, middle - half])).tolist()
        yield common | {"k1": k1, "alpha": alpha, "alpha_published": None, "alpha_low": low, "alpha_high": high}
    alpha = aggregate(inverse)
    yield common | {
        "k1": None,
        "alpha": alpha,
        "alpha_published": min(alpha, CLIP),
        "alpha_low": None,
        "alpha_high": None,
    }
