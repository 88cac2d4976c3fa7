"""Generalisation bounds of the paper, as numbers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def binary_entropy(kappa: ArrayLike) -> NDArray[np.float64]:
    """h_b(kappa) = -kappa*log(kappa) - (1-kappa)*log(1-kappa) in nats, 0 at both ends."""
    from scipy.special import entr

    kappa = np.asarray(kappa, dtype=np.float64)
    return entr(kappa) + entr(1 - kappa)


def p_epsilon(kappa: ArrayLike, epsilon: float) -> NDArray[np.float64]:
    """min(epsilon^(1-kappa)*exp(3/2*h_b(kappa)), 1): the factor of Theorem 7 where d and kappa*d are even."""
    kappa = np.asarray(kappa, dtype=np.float64)
    return np.minimum(epsilon ** (1 - kappa) * np.exp(1.5 * binary_entropy(kappa)), 1.0)


def p_epsilon_bound(kappa: ArrayLike, epsilon: float) -> NDArray[np.float64]:
    """min(3*epsilon^(1-kappa), 1), above ``p_epsilon``."""
    return np.minimum(3 * epsilon ** (1 - np.asarray(kappa, dtype=np.float64)), 1.0)


def grid(*, epsilon: Sequence[float], points: int) -> Iterator[dict[str, Any]]:
    """Rows of table ``theory``: both on ``points`` values of kappa from 0 to 1 (paper, figure 11)."""
    kappa = np.linspace(0, 1, points)
    for level in epsilon:
        for values in zip(kappa.tolist(), p_epsilon(kappa, level), p_epsilon_bound(kappa, level), strict=True):
            row = dict(zip(("kappa", "p_epsilon", "bound"), map(float, values), strict=True))
            yield {"epsilon": level} | row
