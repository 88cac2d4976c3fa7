"""The laws that are fitted: isotropic laws of rows of d numbers, of which the laws of single entries are the case d = 1.

Each has a scale, and most have a shape. A law is of the Euclidean norms r of the rows, magnitudes where d = 1; its density is
that of the row in R^d, so that log-likelihoods of laws of entries and of rows can be compared.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sgdtails.arrays import Floats
from sgdtails.tail_index.laws import elliptical, stable_density

LogDensity = Callable[[Floats, float, int], Floats]
Draw = Callable[[float, int, int, np.random.Generator], Floats]
_GRID = 4096  # points at which a density without a closed distribution function is summed


@dataclass(frozen=True)
class Law:
    """A family of laws with a scale and, but for some, a shape.

    Parameters
    ----------
    name : str
        Its name in tables.
    label : str
        What a layer is called that follows it.
    density : callable
        Log density at scale 1 of a row with norm r: of r (N,), shape and dimension.
    draw : callable
        Norms at scale 1: of shape, number of draws, dimension and generator.
    special : tuple of str
        Labels of the laws that are special or limiting cases of this one.
    low, high : float
        Ends of the range of `inner`; not-a-number for a law without a shape.
    limits : tuple of float
        What the ends of the range stand for, as shapes: the end of an interval that reaches them.
    inner, outer : callable
        From the shape to the number that is optimised, and back.
    tail_index : callable
        The tail index that a shape implies.
    closed : callable, optional
        Its distribution function at scale 1, of r, shape and dimension; without it the density is summed.
    """

    name: str
    label: str
    density: LogDensity
    draw: Draw
    special: tuple[str, ...] = ()
    low: float = math.nan
    high: float = math.nan
    limits: tuple[float, float] = (0.0, math.inf)
    inner: Callable[[float], float] = math.log
    outer: Callable[[float], float] = math.exp
    tail_index: Callable[[float], float] = lambda shape: math.inf
    closed: Callable[[Floats, float, int], Floats] | None = None

    @property
    def shaped(self) -> bool:
        """True if the law has a shape besides its scale."""
        return not math.isnan(self.low)

    @property
    def parameters(self) -> int:
        """Number of parameters, the centre not counted."""
        return 2 if self.shaped else 1

    def distribution(self, norms: Floats, scale: float, shape: float, dimension: int) -> Floats:
        """Compute the probability of at most these norms.

        Parameters
        ----------
        norms : numpy.ndarray
            Norms, ascending, (N,).
        scale, shape : float
            Parameters.
        dimension : int
            Numbers in a row.

        Returns
        -------
        numpy.ndarray
            Probabilities, (N,).

        Examples
        --------
        >>> BY_NAME["entries", "laplace"].distribution(np.array([1.0]), 1.0, math.nan, 1).round(3)  # 1 - 1/e
        array([0.632])
        """
        r = np.asarray(norms, dtype=float) / scale
        return self.closed(r, shape, dimension) if self.closed else self._summed(r, shape, dimension)

    def _summed(self, r: Floats, shape: float, dimension: int) -> Floats:
        from scipy.special import gammaln

        positive = r[r > 0]
        if not len(positive):
            return np.zeros(len(r))
        at = np.linspace(math.log(positive[0]) - 2, math.log(positive[-1]) + 1e-9, _GRID)
        sphere = math.log(2) + dimension / 2 * math.log(math.pi) - gammaln(dimension / 2)
        density = np.exp(self.density(np.exp(at), shape, dimension) + dimension * at + sphere)  # of log r
        below = density[0] / dimension  # as if the density in R^d were constant there
        total = below + np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(at))])
        with np.errstate(divide="ignore"):
            return np.asarray(np.interp(np.log(r), at, total, left=0.0))


def _power(r: Floats, dimension: int) -> Floats:
    """Log of the density of rows that belongs to a density 1 of q = 2*log r + a constant."""
    from scipy.special import gammaln

    with np.errstate(divide="ignore"):
        return np.asarray(gammaln(dimension / 2) - dimension / 2 * math.log(math.pi) - dimension * np.log(r))


def _gaussian(r: Floats, shape: float, dimension: int) -> Floats:
    return -(r**2) / 2 - dimension / 2 * math.log(2 * math.pi)


def _gaussian_closed(r: Floats, shape: float, dimension: int) -> Floats:
    from scipy.special import gammainc

    return np.asarray(gammainc(dimension / 2, r**2 / 2))


def _generalised_normal(r: Floats, shape: float, dimension: int) -> Floats:
    from scipy.special import gammaln

    with np.errstate(over="ignore"):
        return np.asarray(-(r**shape) - math.log(2) - gammaln(1 + 1 / shape))


def _generalised_normal_closed(r: Floats, shape: float, dimension: int) -> Floats:
    from scipy.special import gammainc

    return np.asarray(gammainc(1 / shape, r**shape))


def _t(r: Floats, shape: float, dimension: int) -> Floats:
    from scipy.special import gammaln, poch

    if shape > 1e6:  # gammaln would lose the difference
        return _gaussian(r, shape, dimension)
    if dimension == 1:
        constant = math.log(poch(shape / 2, 0.5))
    else:
        constant = gammaln((shape + dimension) / 2) - gammaln(shape / 2)
    return constant - dimension / 2 * math.log(shape * math.pi) - (shape + dimension) / 2 * np.log1p(r**2 / shape)


def _t_closed(r: Floats, shape: float, dimension: int) -> Floats:
    from scipy.special import betainc

    return np.asarray(betainc(dimension / 2, shape / 2, r**2 / (r**2 + shape)))


def _t_draw(shape: float, size: int, dimension: int, rng: np.random.Generator) -> Floats:
    return np.sqrt(rng.chisquare(dimension, size) * shape / rng.chisquare(shape, size))


def _inverse_gaussian(r: Floats, shape: float, dimension: int) -> Floats:
    """Log density of the symmetric normal-inverse-Gaussian law of scale delta = 1 and steepness `shape`."""
    from scipy.special import k1e

    root = np.sqrt(1 + r**2)
    excess = r**2 / (root + 1)  # root - 1
    return np.asarray(math.log(shape / math.pi) - shape * excess + np.log(k1e(shape * root) / root))


def _inverse_gaussian_draw(shape: float, size: int, dimension: int, rng: np.random.Generator) -> Floats:
    return np.abs(np.sqrt(rng.wald(1 / shape, 1.0, size)) * rng.standard_normal(size))


def _stable(r: Floats, shape: float, dimension: int) -> Floats:
    if dimension == 1:
        return stable_density.log_density(r, shape)
    least = math.sqrt(dimension) * 1e-3  # the density is constant near 0
    r = np.maximum(r, least)
    q = 2 * np.log(r / 2)
    return elliptical.stable_log_density(q, shape, dimension) + _power(r, dimension)


def _stable_draw(shape: float, size: int, dimension: int, rng: np.random.Generator) -> Floats:
    return np.sqrt(2 * elliptical.draw_scales(shape, size, rng) * rng.chisquare(dimension, size))


def _lognormal(r: Floats, shape: float, dimension: int) -> Floats:
    r = np.maximum(r, math.sqrt(dimension) * 1e-6)
    q = 2 * np.log(r) - math.log(2)
    return elliptical.lognormal_log_density(q, shape, dimension) + _power(r, dimension)


def _lognormal_draw(shape: float, size: int, dimension: int, rng: np.random.Generator) -> Floats:
    return np.sqrt(rng.chisquare(dimension, size)) * np.exp(shape * rng.standard_normal(size))


def _index(shape: float) -> float:
    return shape


def _gaussian_draw(shape: float, size: int, dimension: int, rng: np.random.Generator) -> Floats:
    return np.sqrt(rng.chisquare(dimension, size))


def _stable_inner(alpha: float) -> float:
    return -math.log(2 - alpha)


def _stable_outer(inner: float) -> float:
    return 2 - math.exp(-inner)


GAUSSIAN = Law("gaussian", "gaussian", _gaussian, _gaussian_draw, closed=_gaussian_closed)
LAPLACE = Law(
    *("laplace", "laplace", lambda r, shape, dimension: -r - math.log(2)),
    lambda shape, size, dimension, rng: rng.standard_exponential(size),
    closed=lambda r, shape, dimension: -np.expm1(-r),
)
# The median lies in the interval, but not always in its middle: no entry is further from it than twice the half-width.
UNIFORM = Law(
    *("uniform", "uniform", lambda r, shape, dimension: np.where(r <= 2, -math.log(2), -np.inf)),
    lambda shape, size, dimension, rng: rng.random(size),
    closed=lambda r, shape, dimension: np.minimum(r, 1.0),
)
GENERALISED_NORMAL = Law(
    *("generalised_normal", "generalised-normal", _generalised_normal),
    lambda shape, size, dimension, rng: rng.standard_gamma(1 / shape, size) ** (1 / shape),
    special=("gaussian", "laplace", "uniform"),
    low=math.log(0.2),
    high=math.log(64),
    closed=_generalised_normal_closed,
)
_T = (_t, _t_draw, ("gaussian",), math.log(0.3))
STUDENT_T = Law("student_t", "student-t", *_T, high=math.log(1e4), tail_index=_index, closed=_t_closed)
NORMAL_INVERSE_GAUSSIAN = Law(
    *("normal_inverse_gaussian", "normal-inverse-gaussian", _inverse_gaussian, _inverse_gaussian_draw, ("gaussian",)),
    low=math.log(1e-3),
    high=math.log(1e4),
)
STABLE = Law(
    *("stable", "stable", _stable, _stable_draw, ("gaussian",)),
    low=_stable_inner(stable_density.LOWEST),
    high=_stable_inner(stable_density.HIGHEST),
    limits=(stable_density.LOWEST, 2.0),
    inner=_stable_inner,
    outer=_stable_outer,
    tail_index=_index,
)
MULTIVARIATE_T = Law("multivariate_t", "multivariate-t", *_T, high=math.log(1e6), tail_index=_index, closed=_t_closed)
ELLIPTICAL_STABLE = Law(
    *("elliptical_stable", "elliptical-stable", _stable, _stable_draw, ("gaussian",)),
    low=_stable_inner(elliptical.LOWEST),
    high=_stable_inner(elliptical.HIGHEST),
    limits=(elliptical.LOWEST, 2.0),
    inner=_stable_inner,
    outer=_stable_outer,
    tail_index=_index,
)
LOGNORMAL_SCALES = Law(
    *("lognormal_scales", "lognormal-scales", _lognormal, _lognormal_draw, ("gaussian",)),
    low=math.log(1e-3),
    high=math.log(3),
)
LAWS: dict[str, tuple[Law, ...]] = {
    "entries": (GAUSSIAN, LAPLACE, UNIFORM, GENERALISED_NORMAL, STUDENT_T, NORMAL_INVERSE_GAUSSIAN, STABLE),
    "rows": (GAUSSIAN, MULTIVARIATE_T, LOGNORMAL_SCALES, ELLIPTICAL_STABLE),
}
"""Laws by what they are of. The Gaussian law of rows is that of their entries."""
BY_NAME = {(of, law.name): law for of, laws in LAWS.items() for law in laws}
STABLE_OF = {"entries": STABLE, "rows": ELLIPTICAL_STABLE}
LABELS = (*dict.fromkeys(law.label for laws in LAWS.values() for law in laws), "undecided")
