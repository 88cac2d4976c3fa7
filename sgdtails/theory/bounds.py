"""Generalisation bounds of the paper, as numbers: Theorem 5, Theorem 7 and their constants (Corollary 1: ``corollary``).

The bounds hold for fully connected ReLU networks without biases. Most constants leave the range of float64, so these functions
return and take natural logarithms where a name says so.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sgdtails.arrays import Floats, Row
from sgdtails.errors import InputError


def binary_entropy(kappa: ArrayLike) -> Floats:
    """Compute h_b(kappa) = -kappa*log(kappa) - (1-kappa)*log(1-kappa) in nats, 0 at both ends.

    Parameters
    ----------
    kappa : array_like
        Shares, in [0, 1].

    Returns
    -------
    numpy.ndarray
        Entropies, of the same shape.

    Examples
    --------
    >>> binary_entropy([0.0, 0.5]).round(3)
    array([0.   , 0.693])
    """
    from scipy.special import entr

    kappa = np.asarray(kappa, dtype=np.float64)
    entropy: Floats = entr(kappa) + entr(1 - kappa)
    return entropy


def lattice_entropy(kappa: ArrayLike, d: int) -> Floats:
    """Compute h_b^(1)(kappa, d) of Theorem 7, in nats.

    With D = ceil(d/2) it is D/d times the larger h_b of floor(kappa*d/2)/D and ceil(kappa*d/2)/D: h_b(kappa)/2 where d and kappa*d are
    even, and never above log(2)*(1/2 + 1/(2*d)).

    Parameters
    ----------
    kappa : array_like
        Shares, in [0, 1].
    d : int
        Number of weights.

    Returns
    -------
    numpy.ndarray
        Entropies, of the shape of kappa.

    Examples
    --------
    >>> bool(np.isclose(lattice_entropy(0.5, 100), binary_entropy(0.5) / 2))
    True
    """
    half = -(-d // 2)
    pairs = np.round(np.asarray(kappa, dtype=np.float64) * d, 9) / 2  # kappa*d is a count: undo the rounding of kappa
    return half / d * np.maximum(binary_entropy(np.floor(pairs) / half), binary_entropy(np.ceil(pairs) / half))


def p_epsilon(kappa: ArrayLike, epsilon: float, d: int | None = None) -> Floats:
    """Compute p_epsilon(kappa, d) = min(epsilon^(1-kappa)*exp(h_b(kappa) + h_b^(1)(kappa, d)), 1), the factor of Theorem 7.

    Parameters
    ----------
    kappa : array_like
        Shares, in [0, 1].
    epsilon : float
        Relative error, in (0, 1].
    d : int, optional
        Number of weights; without it the form of any even d with kappa*d even, whose exponent is 3/2*h_b(kappa).

    Returns
    -------
    numpy.ndarray
        Factors, of the shape of kappa.

    Raises
    ------
    InputError
        For a kappa outside [0, 1], an epsilon outside (0, 1] or d < 1.

    Examples
    --------
    >>> p_epsilon([0.0, 1.0], 0.1)
    array([0.1, 1. ])
    """
    kappa = np.asarray(kappa, dtype=np.float64)
    if not (0 < epsilon <= 1 and ((kappa >= 0) & (kappa <= 1)).all() and (d is None or d >= 1)):
        raise InputError(f"p_epsilon needs kappa in [0, 1], epsilon in (0, 1] and d >= 1; got {kappa}, {epsilon}, {d}.")
    entropy = binary_entropy(kappa)
    exponent = entropy + (entropy / 2 if d is None else lattice_entropy(kappa, d))
    return np.minimum(epsilon ** (1 - kappa) * np.exp(exponent), 1.0)


def p_epsilon_bound(kappa: ArrayLike, epsilon: float) -> Floats:
    """Compute min(3*epsilon^(1-kappa), 1), above ``p_epsilon`` at every d (the paper claims it for d >= 12).

    Parameters
    ----------
    kappa : array_like
        Shares, in [0, 1].
    epsilon : float
        Relative error, in (0, 1].

    Returns
    -------
    numpy.ndarray
        Bounds, of the shape of kappa.

    Examples
    --------
    >>> p_epsilon_bound([0.0, 1.0], 0.1).round(3)
    array([0.3, 1. ])
    """
    return np.minimum(3 * epsilon ** (1 - np.asarray(kappa, dtype=np.float64)), 1.0)


def theory_rows(*, epsilon: Sequence[float], points: int) -> Iterator[Row]:
    """Make the rows of table ``theory``: ``p_epsilon`` and its bound on a grid of kappa (paper, figure 11).

    Parameters
    ----------
    epsilon : sequence of float
        Relative errors.
    points : int
        Values of kappa, from 0 to 1.

    Yields
    ------
    dict
        Columns of table ``theory``.

    Examples
    --------
    >>> [row["kappa"] for row in theory_rows(epsilon=[0.1], points=3)]
    [0.0, 0.5, 1.0]
    """
    kappa = np.linspace(0, 1, points)
    for level in epsilon:
        for values in zip(kappa.tolist(), p_epsilon(kappa, level), p_epsilon_bound(kappa, level), strict=True):
            row = dict(zip(("kappa", "p_epsilon", "bound"), map(float, values), strict=True))
            yield {"epsilon": level} | row


@dataclass(frozen=True)
class Setting:
    """What the bounds are evaluated for; logarithms are natural.

    Parameters
    ----------
    images : int
        Training images, n.
    sizes : tuple of int
        Weights d_l of each layer.
    kappas : tuple of float
        Kept fraction kappa_l of each layer.
    reach : float
        The largest norm of an image, B.
    epsilon : float
        The largest relative error of a pruned layer.
    tau : float
        Margin.
    delta : float
        Probability that ||w|| exceeds R(delta).
    uncompressed : float
        Probability that the network is not compressible: the other epsilon of assumption H1.
    log_radius : float
        log R(delta).

    Raises
    ------
    InputError
        If there is no layer or fewer than two images, or a number is outside its range.
    """

    images: int
    sizes: tuple[int, ...]
    kappas: tuple[float, ...]
    reach: float
    epsilon: float
    tau: float
    delta: float
    uncompressed: float
    log_radius: float

    def __post_init__(self) -> None:
        if not self.sizes or len(self.sizes) != len(self.kappas) or self.images < 2:
            raise InputError("a bound needs a layer or more, one kappa for each, and two training images or more.")
        if not (self.reach > 0 and self.tau > 0 and 0 < self.epsilon <= 1 and all(0 <= k <= 1 for k in self.kappas)):
            raise InputError("a bound needs reach and tau above 0, epsilon in (0, 1] and every kappa in [0, 1].")

    @property
    def parameters(self) -> int:
        """All weights, d."""
        return sum(self.sizes)

    @property
    def depth(self) -> int:
        """Layers, L."""
        return len(self.sizes)

    @property
    def kappa(self) -> float:
        """The sum of floor(kappa_l*d_l) over d."""
        kept = (math.floor(round(k * size, 6)) for k, size in zip(self.kappas, self.sizes, strict=True))
        return sum(kept) / self.parameters

    @property
    def images_over_log(self) -> float:
        """n/log(n), which every statement compares with a threshold."""
        return self.images / math.log(self.images)

    @property
    def log_lipschitz(self) -> float:
        """Logarithm of (4.2): sqrt(2)*B*L*(2*R/sqrt(L))^(L-1)/tau, by which the margin loss changes per change of the weights."""
        slope = (self.depth - 1) * (math.log(2) + self.log_layer_radius)
        return math.log(math.sqrt(2) * self.reach * self.depth / self.tau) + slope

    @property
    def log_layer_radius(self) -> float:
        """Logarithm of R/sqrt(L), the norm of a layer where all have the same."""
        return self.log_radius - math.log(self.depth) / 2

    @property
    def log_margin(self) -> float:
        """Logarithm of gamma(delta, tau) = tau + sqrt(2)*B*(R/sqrt(L))^L*((1+epsilon)^L - 1), the margin of Theorem 5."""
        growth = math.log(math.sqrt(2) * self.reach * math.expm1(self.depth * math.log1p(self.epsilon)))
        return float(np.logaddexp(math.log(self.tau), growth + self.depth * self.log_layer_radius))


@dataclass(frozen=True)
class Statement:
    """One bound: risk <= empirical risk at a margin + gap, with probability 1 - ``failure``, where no condition is unmet.

    Parameters
    ----------
    log_margin : float
        log of the margin of the empirical risk.
    log_gap : float
        log of the gap.
    failure : float
        Probability that the bound does not hold.
    images_needed : float
        What n/log(n) has to exceed.
    unmet : tuple of str
        Conditions that are not met.
    epsilon_kappa, p_epsilon : float, optional
        Constants of Theorem 5 and of Theorem 7.
    """

    log_margin: float
    log_gap: float
    failure: float
    images_needed: float
    unmet: tuple[str, ...] = ()
    epsilon_kappa: float | None = None
    p_epsilon: float | None = None


def theorem_5(setting: Setting) -> Statement:
    """Bound the risk of the pruned network: gap (12*Lipschitz*R + sqrt(d))*sqrt((kappa + epsilon_kappa)*log(n)/n).

    Parameters
    ----------
    setting : Setting
        Network and data.

    Returns
    -------
    Statement
        The bound.

    References
    ----------
    Paper, 4.3.

    Examples
    --------
    >>> setting = Setting(60_000, (7840,), (0.1,), 9.0, 0.1, 1.0, 0.05, 0.05, 0.0)
    >>> theorem_5(setting).unmet, theorem_5(setting).images_needed
    ((), 10.0)
    """
    kappa, n, d = setting.kappa, setting.images, setting.parameters
    spread = float(2 * binary_entropy(kappa)) - (kappa * math.log(kappa) if kappa > 0 else 0.0)
    extra = spread / math.log(n)
    width = np.logaddexp(_log_steepness(setting), math.log(d) / 2)
    return Statement(
        setting.log_margin,
        float(width) + _log(kappa + extra) / 2 - math.log(setting.images_over_log) / 2,
        min(1.0, 2 * math.exp(-kappa * d / 2) + setting.delta + setting.uncompressed),
        images_needed=10.0 * setting.depth,
        unmet=() if setting.images_over_log > 10 * setting.depth else ("n/log n > 10L",),
        epsilon_kappa=extra,
    )


def theorem_7(setting: Setting) -> Statement:
    """Bound the risk of the network itself: gap max(2, 24*p_epsilon*Lipschitz*R/sqrt(d))*sqrt(d*log(n)/n).

    Parameters
    ----------
    setting : Setting
        Network and data.

    Returns
    -------
    Statement
        The bound.

    References
    ----------
    Paper, B.1.

    Examples
    --------
    >>> setting = Setting(60_000, (7840,), (0.1,), 9.0, 0.1, 1.0, 0.05, 0.05, 0.0)
    >>> round(theorem_7(setting).p_epsilon, 3)
    0.205
    """
    kappa, d = setting.kappa, setting.parameters
    factor = float(p_epsilon(kappa, setting.epsilon, d))
    steep = math.log(2 * factor) + _log_steepness(setting) - math.log(d) / 2
    needed = max(9.0 * setting.depth, 81.0 * setting.epsilon ** (-2 * kappa))
    conditions = {
        "n/log n > max(9L, 81 epsilon^(-2 kappa))": setting.images_over_log > needed,
        "d >= 10": d >= 10,
    }
    return Statement(
        math.log(setting.tau),
        max(math.log(2), steep) + (math.log(d) - math.log(setting.images_over_log)) / 2,
        min(1.0, 2 * math.exp(-d / 2) + setting.delta + setting.uncompressed),
        images_needed=needed,
        unmet=tuple(text for text, met in conditions.items() if not met),
        p_epsilon=factor,
    )


def _log_steepness(setting: Setting) -> float:
    """Compute log of 12 times the Lipschitz constant times R."""
    return math.log(12) + setting.log_lipschitz + setting.log_radius


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
