"""Corollary 1: the bound of Theorem 5 where the weights of layer l are independent SaS(sigma_l) with tail index alpha_l."""

import dataclasses
import math

import numpy as np

from sgdtails.errors import InputError
from sgdtails.theory.bounds import Setting, Statement, theorem_5


@dataclasses.dataclass(frozen=True)
class StableLayers:
    """Tail indices alpha_l, all in (1, 2), and scales sigma_l of a network's layers, beside their numbers of weights d_l."""

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
        """alpha/(2*L): the statement holds but for a probability of 3*d^-beta."""
        return self.alpha / (2 * len(self.sizes))

    @property
    def log_parameters(self) -> float:
        return math.log(sum(self.sizes))

    @property
    def log_scale(self) -> float:
        """log sigma_0, defined by (4.4) from the scales in units of ``unit_scale``, squared and averaged over weights."""
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
        """log of Lemma 5's bound of R(d^-beta), which in terms of (4.4) is sqrt(L)*sigma_0*d^(1/(2*L))."""
        return math.log(len(self.sizes)) / 2 + self.log_scale + self.log_parameters / (2 * len(self.sizes))


def unit_scale(alpha: float) -> float:
    """sigma_alpha = (2*Gamma(-alpha)*cos((2-alpha)*pi/2))^(1/alpha), the scale at which P(|x| > t) nears (2/alpha)*t^-alpha.

    InputError unless 1 < alpha < 2; it has no limit at 2.
    """
    from scipy.special import gamma

    if not 1 < alpha < 2:
        raise InputError(f"sigma_alpha is defined for 1 < alpha < 2, got {alpha}.")
    return float((2 * gamma(-alpha) * math.cos((2 - alpha) * math.pi / 2)) ** (1 / alpha))


def corollary_1(setting: Setting, stable: StableLayers) -> tuple[Setting, Statement]:
    """The setting with R(delta) and delta as the laws of the weights give them, and the bound (4.5), that of Theorem 5 there.

    Its a*sigma_0^L/tau is 12 times Lipschitz constant times R over sqrt(d); a = 6*sqrt(2)*B*2^L*L^(3/2).
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
