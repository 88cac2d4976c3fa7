"""Corollary 1: the bound of Theorem 5 where the weights of layer l are independent SaS(sigma_l) with tail index alpha_l."""

import dataclasses
import math

import numpy as np

from sgdtails.errors import InputError
from sgdtails.theory.bounds import Setting, Statement, theorem_5


@dataclasses.dataclass(frozen=True)
class StableLayers:
    """The laws of a network's layers.

    Parameters
    ----------
    alphas : tuple of float
        Tail index alpha_l of each layer, in (1, 2).
    scales : tuple of float
        Scale sigma_l of each layer, above 0.
    sizes : tuple of int
        Weights d_l of each layer.

    Raises
    ------
    InputError
        For a tail index or scale outside its range.
    """

    alphas: tuple[float, ...]
    scales: tuple[float, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not all(1 < alpha < 2 for alpha in self.alphas) or not all(scale > 0 for scale in self.scales):
            raise InputError("Corollary 1 needs tail indices strictly between 1 and 2 and scales above 0.")

    @property
    def alpha(self) -> float:
        """The smallest tail index."""
        return min(self.alphas)

    @property
    def beta(self) -> float:
        """alpha/(2*L): the statement holds with a probability of 1 - 3*d^-beta."""
        return self.alpha / (2 * len(self.sizes))

    @property
    def log_parameters(self) -> float:
        """Logarithm of d."""
        return math.log(sum(self.sizes))

    @property
    def log_scale(self) -> float:
        """Logarithm of sigma_0, defined by (4.4) from the scales in units of ``unit_scale``, squared and averaged over weights."""
        units = np.array([scale / unit_scale(alpha) for scale, alpha in zip(self.scales, self.alphas, strict=True)])
        mean_square = np.average(units**2, weights=self.sizes)
        power = 0.5 + 1 / self.alpha
        return float(
            math.log(mean_square) / 2
            + math.log(4) / self.alpha
            + math.log(3 / math.sqrt(len(self.sizes)))
            + power * self.log_parameters
        )

    @property
    def log_radius(self) -> float:
        """Logarithm of Lemma 5's bound of R(d^-beta), which in terms of (4.4) is sqrt(L)*sigma_0*d^(1/(2*L))."""
        return math.log(len(self.sizes)) / 2 + self.log_scale + self.log_parameters / (2 * len(self.sizes))


def unit_scale(alpha: float) -> float:
    """Compute sigma_alpha = (2*Gamma(-alpha)*cos((2-alpha)*pi/2))^(1/alpha), the scale at which P(|x| > t) nears (2/alpha)*t^-alpha.

    Parameters
    ----------
    alpha : float
        Tail index, in (1, 2).

    Returns
    -------
    float
        The scale; it has no limit at 2.

    Raises
    ------
    InputError
        Unless 1 < alpha < 2.

    Examples
    --------
    >>> round(unit_scale(1.5), 3)
    2.235
    """
    from scipy.special import gamma

    if not 1 < alpha < 2:
        raise InputError(f"sigma_alpha is defined for 1 < alpha < 2, got {alpha}.")
    return float((2 * gamma(-alpha) * math.cos((2 - alpha) * math.pi / 2)) ** (1 / alpha))


def corollary_1(setting: Setting, stable: StableLayers) -> tuple[Setting, Statement]:
    """Evaluate the bound (4.5): Theorem 5 with R(delta) and delta as the laws of the weights give them.

    Its a*sigma_0^L/tau is 12 times Lipschitz constant times R over sqrt(d); a = 6*sqrt(2)*B*2^L*L^(3/2).

    Parameters
    ----------
    setting : Setting
        Network and data.
    stable : StableLayers
        Laws of the weights.

    Returns
    -------
    setting : Setting
        The setting with its own R(delta) and delta.
    bound : Statement
        The bound.

    Examples
    --------
    >>> setting = Setting(60_000, (7840,), (0.1,), 9.0, 0.1, 1.0, 0.05, 0.05, 0.0)
    >>> there, bound = corollary_1(setting, StableLayers((1.5,), (0.1,), (7840,)))
    >>> bool(bound.failure == 3 * there.delta)
    True
    """
    delta = math.exp(-stable.beta * stable.log_parameters)
    there = dataclasses.replace(setting, log_radius=stable.log_radius, delta=delta, uncompressed=delta)
    bound = theorem_5(there)
    unmet = list(bound.unmet)
    if math.log(2) + stable.log_parameters - math.log(delta) + stable.alpha * math.log(2 - max(stable.alphas)) < 0:
        unmet.append("2 d^(1+beta) (2 - max alpha)^alpha >= 1")
    if 2 * math.exp(-there.kappa * there.parameters / 2) > delta:
        unmet.append("2 exp(-kappa d/2) <= d^-beta")
    return there, dataclasses.replace(bound, failure=min(1.0, 3 * delta), unmet=tuple(unmet))
