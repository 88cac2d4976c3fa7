"""How well a tail index is known: intervals from independent blocks.

Centring on the sample's median ties the observations together: the sum of K1 of N centred Gaussian ones is smaller than
that of free ones by a factor of about 1 - 0.43*K1/N in its square, which in high dimensions moves 1/alpha by more than
its spread. A random sign for each observation undoes this: signed residuals of a symmetric law are as good as free ones.
So intervals are taken from one random permutation with random signs, in which blocks are independent.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sgdtails import tail_index
from sgdtails.permutations import permuted

LEVEL = 0.95
_DRAWS = 2000  # of the aggregate's error
_PREFIX = 2**17  # observations from which correlations between K1s are taken


def signed_permutation(sample: NDArray, *, rng: np.random.Generator) -> NDArray:
    """The observations (N, d) or (N,) in random order, each with a random sign."""
    shuffled = permuted(sample, rng)
    signs = rng.integers(0, 2, len(sample), dtype=np.int8) * 2 - 1
    shuffled *= signs.reshape(-1, *[1] * (sample.ndim - 1))
    return shuffled


def mean_interval(values: NDArray[np.floating]) -> tuple[float, float, float]:
    """Mean of independent values (n,) and the ends of its 95% interval, by Student's t."""
    from scipy.special import stdtrit  # scipy takes a while to import: only here

    middle, error = _mean_and_error(values)
    half = error * float(stdtrit(len(values) - 1, (1 + LEVEL) / 2))
    return middle, middle - half, middle + half


def intervals(sample: NDArray, *, rng: np.random.Generator) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """95% intervals of 1/alpha for a centred sample (N, d) or (N,): one for each K1, and one for the aggregate.

    The aggregate, a median over K1, has the errors of correlated Student variables, one for each K1, whose correlations
    are those of overlapping blocks; its interval is for stable data, whose 1/alpha is the same at each K1.
    """
    from scipy.special import stdtrit

    lengths = tail_index.block_lengths(len(sample))
    contrasts = tail_index.block_contrasts(signed_permutation(sample, rng=rng), lengths)
    means, errors = np.array([_mean_and_error(values) for values in contrasts]).T
    freedom = np.array([len(values) - 1 for values in contrasts])
    half = errors * stdtrit(freedom, (1 + LEVEL) / 2)
    draws = np.median(_student(contrasts, lengths, freedom, rng) * errors, axis=1)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    middle = float(np.median(means))
    single = list(zip((means - half).tolist(), (means + half).tolist(), strict=True))
    return single, (middle - float(high), middle - float(low))


def _mean_and_error(values: NDArray[np.floating]) -> tuple[float, float]:
    """Mean of independent values (n,) and its standard error."""
    error = float(values.std(ddof=1, dtype=np.float64)) / math.sqrt(len(values))
    return float(values.mean(dtype=np.float64)), error


def _student(
    contrasts: list[NDArray], lengths: Sequence[int], freedom: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws of the errors of 1/alpha at every K1 in standard errors, (draws, K1s)."""
    from scipy.special import ndtr, stdtrit

    values, vectors = np.linalg.eigh(_correlations(contrasts, lengths))
    root = vectors * np.sqrt(np.maximum(values, 0))
    normal = rng.standard_normal((_DRAWS, len(lengths))) @ root.T / np.linalg.norm(root, axis=1)
    # Margins of Student's t, since few blocks know little of their own spread.
    return stdtrit(freedom, np.clip(ndtr(normal), 1e-12, 1 - 1e-12))


def _correlations(contrasts: list[NDArray], lengths: Sequence[int]) -> NDArray[np.float64]:
    """Correlations of the means of blocks of different lengths over one sequence of observations, (K1s, K1s)."""
    end = min(len(contrasts[0]) * lengths[0], max(_PREFIX, 8 * lengths[-1]))
    centred = [values[: end // k1] - values.mean() for values, k1 in zip(contrasts, lengths, strict=True)]
    result = np.eye(len(lengths))
    for i, short in enumerate(lengths):
        for j in range(i + 1, len(lengths)):
            long = lengths[j]
            # Each overlap of a short and a long block starts where one of them does.
            starts = np.union1d(np.arange(0, end, short), np.arange(0, end, long))
            inside = starts[(starts // short < len(centred[i])) & (starts // long < len(centred[j]))]
            product = np.sum(centred[i][inside // short] * centred[j][inside // long], dtype=np.float64)
            norm = math.sqrt(float(np.sum(centred[i] ** 2)) * float(np.sum(centred[j] ** 2)))
            result[i, j] = result[j, i] = np.clip(product / norm, -1, 1) if norm > 0 else 0.0
    return result
