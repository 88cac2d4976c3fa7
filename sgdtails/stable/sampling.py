"""Symmetric alpha-stable laws in the convention ch.f. exp(-|scale*t|^alpha): alpha = 2 is N(0, 2 scale^2), alpha = 1 Cauchy."""

import numpy as np
from numpy.typing import NDArray


def sample(
    alpha: float, size: int | tuple[int, ...], *, scale: float = 1.0, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Independent draws of SaS(scale), by Chambers, Mallows and Stuck (1976).

    ValueError unless 0 < alpha <= 2 and scale > 0.
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


def elliptical(
    alpha: float, size: int, dimension: int, *, scale: float = 1.0, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Independent elliptical SaS vectors (size, dimension), ch.f. exp(-||scale*u||^alpha): sqrt(2A)*G with A positive stable.

    A, with Laplace transform exp(-s^(alpha/2)), by Kanter (1975). ValueError unless 0 < alpha <= 2 and scale > 0.
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
    """Mean and variance of log|X| for X ~ SaS(scale)."""
    mean = np.euler_gamma * (1 / alpha - 1) + np.log(scale)
    variance = np.pi**2 / 6 * (1 / alpha**2 + 1 / 2)
    return float(mean), float(variance)


def scale_of(values: NDArray[np.floating], alpha: float) -> float:
    """Scale at which SaS(scale) has the mean of log|x| seen in ``values``; zeros are left out.

    ValueError if every value is zero.
    """
    magnitudes = np.abs(values[values != 0])
    if magnitudes.size == 0:
        raise ValueError("a sample of zeros has no scale")
    return float(np.exp(np.log(magnitudes).mean() - log_moments(alpha)[0]))
