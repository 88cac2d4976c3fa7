"""Random orders with random signs, in which blocks of observations are independent, and intervals of means.

Centring on the sample's median ties the observations together: the sum of K1 of N centred Gaussian ones is smaller than
that of free ones by a factor of about 1 - 0.43*K1/N in its square, which in high dimensions moves 1/alpha by more than
its spread. A random sign for each observation undoes this: signed residuals of a symmetric law are as good as free ones.
So estimates with an interval are made from random orders with random signs (``signed_means``).
"""

import math

import numpy as np

from sgdtails.arrays import Array, like, mean
from sgdtails.tail_index.permutations import permuted

LEVEL = 0.95


def signed_permutation(sample: Array, *, rng: np.random.Generator) -> Array:
    """Copy observations in random order, each with a random sign.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, d) or (N,).
    rng : numpy.random.Generator
        Source of order and signs.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The observations, of the same shape.

    Examples
    --------
    >>> sorted(abs(signed_permutation(np.arange(4.0), rng=np.random.default_rng(0))).tolist())
    [0.0, 1.0, 2.0, 3.0]
    """
    shuffled = permuted(sample, rng)
    change_signs(shuffled, rng)
    return shuffled


def change_signs(sample: Array, rng: np.random.Generator) -> None:
    """Give each observation a random sign, in place.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, d) or (N,); they are overwritten.
    rng : numpy.random.Generator
        Source of the signs.

    Examples
    --------
    >>> values = np.ones(1000)
    >>> change_signs(values, np.random.default_rng(0))
    >>> sorted(set(values.tolist()))
    [-1.0, 1.0]
    """
    signs = rng.integers(0, 2, len(sample), dtype=np.int8) * 2 - 1
    sample *= like(signs, sample).reshape(-1, *[1] * (sample.ndim - 1))


def mean_interval(values: Array) -> tuple[float, float, float]:
    """Compute the mean of independent values and its 95% interval by Student's t.

    Parameters
    ----------
    values : numpy.ndarray or torch.Tensor
        Independent values, (n,).

    Returns
    -------
    mean, low, high : float
        The mean and the ends of its interval.

    Examples
    --------
    >>> [round(each, 2) for each in mean_interval(np.array([1.0, 2.0, 3.0]))]
    [2.0, -0.48, 4.48]
    """
    from scipy.special import stdtrit  # scipy takes a while to import: only here

    middle, error = mean_and_error(values)
    half = error * float(stdtrit(len(values) - 1, (1 + LEVEL) / 2))
    return middle, middle - half, middle + half


def mean_and_error(values: Array) -> tuple[float, float]:
    """Compute the mean of independent values and its standard error.

    Only one array of the values' size and precision is made beside them.

    Parameters
    ----------
    values : numpy.ndarray or torch.Tensor
        Independent values, (n,).

    Returns
    -------
    mean, error : float
        The mean and its standard error.

    Examples
    --------
    >>> mean_and_error(np.array([1.0, 3.0]))
    (2.0, 1.0)
    """
    middle, spread = mean_and_spread(values)
    return middle, spread / math.sqrt(len(values) - 1)


def mean_and_spread(values: Array) -> tuple[float, float]:
    """Compute the mean and standard deviation of values, summed in double precision.

    Parameters
    ----------
    values : numpy.ndarray or torch.Tensor
        Values, (n,).

    Returns
    -------
    mean, spread : float
        The mean, and the standard deviation with n as its divisor.

    Examples
    --------
    >>> mean_and_spread(np.array([1.0, 3.0]))
    (2.0, 1.0)
    """
    middle = mean(values)
    deviations = values - middle
    deviations *= deviations
    return middle, math.sqrt(mean(deviations))
