"""Symmetric alpha-stable laws in the convention ch.f. exp(-|scale*t|^alpha): alpha = 2 is N(0, 2 scale^2), alpha = 1 Cauchy."""

import numpy as np
from numpy.typing import NDArray

from sgdtails.arrays import Floats


def sample(alpha: float, size: int | tuple[int, ...], *, scale: float = 1.0, rng: np.random.Generator) -> Floats:
    """Draw independent symmetric alpha-stable numbers.

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    size : int or tuple of int
        Shape of the result.
    scale : float
        Scale, above 0.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    numpy.ndarray
        Draws of SaS(scale), float64.

    Raises
    ------
    ValueError
        Unless 0 < alpha <= 2 and scale > 0.

    References
    ----------
    Chambers, Mallows and Stuck (1976).

    Examples
    --------
    >>> values = sample(2.0, 100_000, rng=np.random.default_rng(0))  # N(0, 2)
    >>> round(float(values.var()), 1)
    2.0
    """
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha must lie in (0, 2], got {alpha}")
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    angle = rng.uniform(-np.pi / 2, np.pi / 2, size)
    if alpha == 1:
        return scale * np.tan(angle)
    exponential = rng.standard_exponential(size)
    stretch = (np.cos((1 - alpha) * angle) / exponential) ** ((1 - alpha) / alpha)
    return scale * np.sin(alpha * angle) / np.cos(angle) ** (1 / alpha) * stretch


def elliptical(alpha: float, size: int, dimension: int, *, scale: float = 1.0, rng: np.random.Generator) -> Floats:
    """Draw independent elliptical SaS vectors, ch.f. exp(-||scale*u||^alpha): sqrt(2A)*G with A positive stable and G normal.

    A, with Laplace transform exp(-s^(alpha/2)), is drawn by Kanter's method.

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    size : int
        Number of vectors.
    dimension : int
        Numbers in each.
    scale : float
        Scale, above 0.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    numpy.ndarray
        Vectors, float64 (size, dimension).

    Raises
    ------
    ValueError
        Unless 0 < alpha <= 2 and scale > 0.

    References
    ----------
    Kanter (1975).

    Examples
    --------
    >>> elliptical(1.5, 100, 3, rng=np.random.default_rng(0)).shape
    (100, 3)
    """
    if not 0 < alpha <= 2:
        raise ValueError(f"alpha must lie in (0, 2], got {alpha}")
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    half = alpha / 2
    angle = rng.uniform(0, np.pi, size)
    exponential = rng.standard_exponential(size)
    stretch = (np.sin((1 - half) * angle) / exponential) ** ((1 - half) / half)
    squared = 2 * np.sin(half * angle) / np.sin(angle) ** (1 / half) * stretch
    return scale * np.sqrt(squared)[:, None] * rng.standard_normal((size, dimension))


def log_moments(alpha: float, scale: float = 1.0) -> tuple[float, float]:
    """Compute the mean and variance of log|X| for X ~ SaS(scale).

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    scale : float
        Scale, above 0.

    Returns
    -------
    mean, variance : float
        The moments.

    Examples
    --------
    >>> mean, variance = log_moments(1.0)
    >>> mean, round(variance, 3)  # Cauchy: pi^2/4
    (0.0, 2.467)
    """
    mean = np.euler_gamma * (1 / alpha - 1) + np.log(scale)
    variance = np.pi**2 / 6 * (1 / alpha**2 + 1 / 2)
    return float(mean), float(variance)


def scale_of(values: NDArray[np.floating], alpha: float) -> float:
    """Find the scale at which SaS(scale) has the mean of log|x| of a sample; zeros are left out.

    Parameters
    ----------
    values : numpy.ndarray
        The sample, of any shape.
    alpha : float
        Tail index, in (0, 2].

    Returns
    -------
    float
        The scale.

    Raises
    ------
    ValueError
        If every value is zero.

    Examples
    --------
    >>> values = sample(1.5, 100_000, scale=3.0, rng=np.random.default_rng(0))
    >>> round(scale_of(values, 1.5), 1)
    3.0
    """
    magnitudes = np.abs(values[values != 0])
    if magnitudes.size == 0:
        raise ValueError("a sample of zeros has no scale")
    return float(np.exp(np.log(magnitudes).mean() - log_moments(alpha)[0]))
