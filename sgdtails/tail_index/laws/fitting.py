"""Maximum-likelihood fits of laws to norms, with intervals; many norms are counted in narrow bins first."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from sgdtails.arrays import AnyArray, Floats
from sgdtails.tail_index.laws import newton
from sgdtails.tail_index.laws.families import Law

EXACT = 16_384  # norms of which each is used by itself
BINS = 8192  # that more norms are counted in
ROUGH = 1024  # bins for the begin of a search
DROP = 1.9207294  # half the 95% quantile of chi-squared with one degree of freedom
NORMAL = 1.959964  # 97.5% quantile of the normal law
_QUADRATIC = 0.1  # standard error of log shape up to which its interval needs no profile
_STARTS = 6  # shapes from which the search starts
_EXACT_DROP = 1e-3  # nats by which a drop of the profile may err
_FAR = 30.0  # of the log scale, from a first guess
_CHUNK = 2**18  # norms at a time


@dataclass(frozen=True)
class Norms:
    """Norms of rows, or magnitudes of entries, and how many there are of each.

    Parameters
    ----------
    values : numpy.ndarray
        Norms, ascending; of bins the mean norm, (M,).
    counts : numpy.ndarray
        Rows of each, (M,).
    ends : numpy.ndarray
        Upper ends of the bins, else the norms again, (M,).
    dimension : int
        Numbers in a row.
    half : float
        Half the distance from the smallest to the largest entry: the uniform law's interval, whose middle is not the median.
    """

    values: Floats
    counts: Floats
    ends: Floats
    dimension: int
    half: float

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.counts.sum())

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.rows * self.dimension

    @classmethod
    def of(cls, norms: AnyArray, dimension: int, half: float | None = None) -> "Norms":
        """Count norms; more than ``EXACT`` in bins whose width is less than 0.1% of a norm, or of the median of small ones.

        A bin's rows count with its mean norm, so that the error of a log-likelihood is of second order in the bins' width:
        below 1e-6 nats per weight where densities are smooth (tests/tail_index/laws/test_fitting.py).

        Parameters
        ----------
        norms : numpy.ndarray
            Norms, (N,).
        dimension : int
            Numbers in a row.
        half : float, optional
            Half the distance from the smallest to the largest entry; without it the largest norm.

        Returns
        -------
        Norms
            Them, counted.

        Examples
        --------
        >>> Norms.of(np.array([2.0, 1.0]), 3).weights
        6
        """
        half = float(norms.max()) if half is None else half
        if len(norms) <= EXACT:
            values = np.sort(norms).astype(float)
            return cls(values, np.ones(len(values)), values, dimension, half)
        middle = float(np.median(norms[:: max(1, len(norms) // EXACT)]))
        last = math.asinh(float(norms.max()) / middle)
        counts, sums = np.zeros(BINS), np.zeros(BINS)
        for start in range(0, len(norms), _CHUNK):
            part = norms[start : start + _CHUNK].astype(float)
            bins = np.minimum(np.arcsinh(part / middle) * (BINS / last), BINS - 1).astype(np.intp)
            counts += np.bincount(bins, minlength=BINS)
            sums += np.bincount(bins, part, BINS)
        filled = counts > 0
        ends = middle * np.sinh(np.arange(1, BINS + 1) * (last / BINS))
        ends[-1] = max(ends[-1], float(norms.max()))
        return cls(sums[filled] / counts[filled], counts[filled], ends[filled], dimension, half)

    @cached_property
    def rough(self) -> "Norms":
        """The same norms in ``ROUGH`` wider bins, where there are more: enough to begin a search, and for the profile of a shape.

        Examples
        --------
        >>> norms = Norms.of(np.arange(1.0, 5001.0), 1)
        >>> len(norms.rough.values) <= ROUGH, norms.rough.rows
        (True, 5000)
        """
        if len(self.values) <= ROUGH:
            return self
        middle = float(np.interp(self.rows / 2, np.cumsum(self.counts), self.values)) or float(self.values[-1])
        scaled = np.arcsinh(self.values / middle)
        first = np.unique(np.floor(scaled * ((ROUGH - 1) / scaled[-1])), return_index=True)[1]
        counts, sums = (np.add.reduceat(each, first) for each in (self.counts, self.counts * self.values))
        ends = self.ends[np.append(first[1:], len(self.ends)) - 1]
        return Norms(sums / counts, counts, ends, self.dimension, self.half)


@dataclass(frozen=True)
class Fit:
    """A fitted law.

    Parameters
    ----------
    law : Law
        The family.
    scale, shape : tuple of float
        Each parameter and the ends of its 95% interval; not-a-number for the shape of a law without.
    log_likelihood : float
        Nats per weight.
    bic : float
        Bayesian information criterion, -2*log L + parameters*log(weights), in nats.
    """

    law: Law
    scale: tuple[float, float, float]
    shape: tuple[float, float, float]
    log_likelihood: float
    bic: float

    def log_densities(self, norms: Norms) -> Floats:
        """Compute the log density of each row, or bin.

        Parameters
        ----------
        norms : Norms
            Rows.

        Returns
        -------
        numpy.ndarray
            Log densities in nats, (M,).

        Examples
        --------
        >>> from sgdtails.tail_index.laws import families
        >>> norms = Norms.of(np.array([1.0, 2.0]), 1)
        >>> fit(families.LAPLACE, norms).log_densities(norms).round(2)  # scale 1.5
        array([-1.77, -2.43])
        """
        return _densities(self.law, norms, math.log(self.scale[0]), self.shape[0])


def fit(
    law: Law, norms: Norms, *, intervals: bool = True, start: tuple[float, float] | None = None, precise: float = 1e-12
) -> Fit:
    """Fit a law by maximum likelihood.

    The interval of the scale comes from the observed information, and so does that of the shape where it is narrow; a wide one is
    where the profile of the log-likelihood is within 1.92 of its largest value. Rows count as independent. An interval that reaches
    the end of the shape's range ends in the limit that the end stands for, such as infinite degrees of freedom.

    Parameters
    ----------
    law : Law
        The family.
    norms : Norms
        Norms of rows, not all zero.
    intervals : bool
        False: parameters alone, and their intervals are not-a-number.
    start : tuple of float, optional
        Scale and shape to search from; without it several shapes are tried.
    precise : float
        The search ends when its next step would raise the log-likelihood per weight by less.

    Returns
    -------
    Fit
        The law with its parameters.

    Examples
    --------
    >>> from sgdtails.tail_index.laws import families
    >>> values = np.abs(np.random.default_rng(0).standard_t(4, 20_000))
    >>> found = fit(families.STUDENT_T, Norms.of(values, 1))
    >>> bool(found.shape[1] < 4 < found.shape[2])
    True
    """
    if not law.shaped:
        log_scale, inner = _closed_scale(law, norms), math.nan
    else:
        log_scale, inner = _search(law, norms, start, precise)
    shape = law.outer(inner) if law.shaped else math.nan
    mean = _mean(law, norms, log_scale, shape)
    bic = -2 * mean * norms.weights + law.parameters * math.log(norms.weights)
    nothing = (math.nan, math.nan)
    of_scale, of_shape = _intervals(law, norms, log_scale, inner) if intervals else (nothing, nothing)
    return Fit(law, (math.exp(log_scale), *of_scale), (shape, *of_shape), mean, bic)


def _densities(law: Law, norms: Norms, log_scale: float, shape: float) -> Floats:
    r = norms.values * math.exp(-log_scale)
    return law.density(r, shape, norms.dimension) - norms.dimension * log_scale


def _mean(law: Law, norms: Norms, log_scale: float, shape: float) -> float:
    """Compute the log-likelihood per weight."""
    return float(np.dot(norms.counts, _densities(law, norms, log_scale, shape))) / norms.weights


def _closed_scale(law: Law, norms: Norms) -> float:
    """Compute the log scale of a law without shape."""
    if law.name == "gaussian":
        return 0.5 * math.log(float(np.dot(norms.counts, norms.values**2)) / norms.weights)
    if law.name == "laplace":
        return math.log(float(np.dot(norms.counts, norms.values)) / norms.weights)
    return math.log(norms.half)  # uniform


def _search(law: Law, norms: Norms, start: tuple[float, float] | None, precise: float) -> tuple[float, float]:
    """Find the best log scale and inner shape: without a start, first that of wider bins."""
    low, high = np.array([[-_FAR, law.low], [_FAR, law.high]])
    middle = float(np.interp(norms.rows / 2, np.cumsum(norms.counts), norms.values)) ** 2 / norms.dimension
    unit = 0.5 * math.log(middle or float(np.dot(norms.counts, norms.values**2)) / norms.weights)

    def loss(norms: Norms) -> Callable[[Floats], float]:
        return lambda point: -_mean(law, norms, unit + point[0], law.outer(float(point[1])))

    if start is None:
        rough, firsts, scale = loss(norms.rough), [], 0.0
        for each in np.linspace(law.low, law.high, _STARTS + 2)[1:-1]:
            scale = _scale(law, norms.rough, unit + scale, law.outer(each)) - unit
            firsts.append(np.array([scale, each]))
        first = newton.minimise(rough, min(firsts, key=rough), low, high, precise)
    else:
        first = np.array([math.log(start[0]) - unit, law.inner(start[1])])
    found = newton.minimise(loss(norms), first, low, high, precise)
    return unit + float(found[0]), float(found[1])


def _scale(law: Law, norms: Norms, start: float, shape: float) -> float:
    """Find about the best log scale at a shape."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_scale: -_mean(law, norms, log_scale, shape), bracket=(start, start + 0.3), tol=0.02
    )
    return float(found.x)


def _intervals(
    law: Law, norms: Norms, log_scale: float, inner: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Compute the ends of the intervals of scale and shape."""
    if law.name == "uniform":
        from scipy.special import betaincinv

        # The range of n entries is that of the law times a Beta(n - 1, 2) factor.
        scale = math.exp(log_scale)
        return (scale, scale / float(betaincinv(norms.rows - 1, 2, 0.05))), (math.nan, math.nan)
    information = _information(law, norms, log_scale, inner)
    try:
        variances = np.diag(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        variances = np.full(len(information), np.nan)
    if not (variances > 0).all():
        variances = 1 / np.maximum(np.diag(information), 1e-300)
    errors = NORMAL * np.sqrt(variances)
    of_scale = math.exp(log_scale - errors[0]), math.exp(log_scale + min(errors[0], 50))
    if not law.shaped:
        return of_scale, (math.nan, math.nan)
    low, high = inner - errors[1], inner + errors[1]
    if errors[1] > NORMAL * _QUADRATIC or high > law.high or low < law.low:
        low, high = (_profile_end(law, norms.rough, log_scale, inner, side, errors[1]) for side in (-1, 1))
    ends = law.limits[0] if low <= law.low else law.outer(low), law.limits[1] if high >= law.high else law.outer(high)
    return of_scale, ends


def _information(law: Law, norms: Norms, log_scale: float, inner: float) -> Floats:
    """Compute the observed information of log scale and inner shape."""
    point = np.array([log_scale, inner])[: law.parameters]
    if law.shaped:
        point[1] = min(max(inner, law.low + newton.STEP), law.high - newton.STEP)

    def loss(at: Floats) -> float:
        return -_mean(law, norms, at[0], law.outer(float(at[1])) if law.shaped else math.nan) * norms.weights

    return newton.derivatives(loss, point, loss(point))[1]


def _profile_end(law: Law, norms: Norms, log_scale: float, inner: float, side: int, error: float) -> float:
    """Find where the profile of the log-likelihood has dropped by 1.92 on one side of the best shape, or the end of its range."""
    from scipy.optimize import brentq

    best = _mean(law, norms, log_scale, law.outer(inner)) * norms.weights
    start, enough = log_scale, _EXACT_DROP / norms.weights

    @cache  # the same shape again, from another scale, would be another number in its last digits
    def excess(at: float) -> float:
        nonlocal start
        shape, far = law.outer(at), np.array([_FAR])
        found = newton.minimise(
            lambda point: -_mean(law, norms, point[0], shape), np.array([start]), start - far, start + far, enough
        )
        start = float(found[0])
        return best - _mean(law, norms, start, shape) * norms.weights - DROP

    limit = law.low if side < 0 else law.high
    step = min(max(error if math.isfinite(error) else 0.5, 1e-4), 0.5)
    last = inner
    while (limit - last) * side > 0:
        at = last + side * step
        at = limit if (at - limit) * side > 0 else at
        if excess(at) > 0:
            return float(brentq(excess, *sorted((last, at)), xtol=1e-4))
        last, step = at, 2 * step
    return limit
