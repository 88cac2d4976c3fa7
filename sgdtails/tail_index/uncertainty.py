"""Random orders with random signs, in which blocks of observations are independent, and intervals of means.

Centring on the sample's median ties the observations together: the sum of K1 of N centred Gaussian ones is smaller than
that of free ones by a factor of about 1 - 0.43*K1/N in its square, which in high dimensions moves 1/alpha by more than
its spread. A random sign for each observation undoes this: signed residuals of a symmetric law are as good as free ones.
So estimates with an interval are taken from random orders with random signs (``signed_means``).
"""

import math
from typing import Any

import numpy as np

from sgdtails.arrays import like, mean
from sgdtails.tail_index.permutations import permuted

LEVEL = 0.95


def signed_permutation(sample: Any, *, rng: np.random.Generator) -> Any:
    """The observations (N, d) or (N,), of numpy or torch, in random order, each with a random sign."""
    shuffled = permuted(sample, rng)
    change_signs(shuffled, rng)
    return shuffled


def change_signs(sample: Any, rng: np.random.Generator) -> None:
    """Give each observation of (N, d) or (N,) a random sign, in place."""
    signs = rng.integers(0, 2, len(sample), dtype=np.int8) * 2 - 1
    sample *= like(signs, sample).reshape(-1, *[1] * (sample.ndim - 1))


def mean_interval(values: Any) -> tuple[float, float, float]:
    """Mean of independent values (n,) and the ends of its 95% interval, by Student's t."""
    from scipy.special import stdtrit  # scipy takes a while to import: only here

    middle, error = mean_and_error(values)
    half = error * float(stdtrit(len(values) - 1, (1 + LEVEL) / 2))
    return middle, middle - half, middle + half


def mean_and_error(values: Any) -> tuple[float, float]:
    """Mean of independent values (n,) and its standard error; one array of their size and precision beside them."""
    middle, spread = mean_and_spread(values)
    return middle, spread / math.sqrt(len(values) - 1)


def mean_and_spread(values: Any) -> tuple[float, float]:
    """Mean and standard deviation of values (n,), summed in double precision."""
    middle = mean(values)
    deviations = values - middle
    deviations *= deviations
    return middle, math.sqrt(mean(deviations))
