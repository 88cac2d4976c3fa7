"""The density of symmetric alpha-stable laws, from a table made once per process: fast enough for millions of weights.

The characteristic function exp(-|t|^alpha) is inverted by Gauss-Legendre quadrature for small arguments; for large ones
Wintner's series of inverse powers takes its place. The table is of the log density over log(2 - alpha) and asinh(x), so that
the change from the normal law's bulk to a power law, which moves out as alpha tends to 2, stays smooth.
"""

import math
from functools import cache
from typing import Any

import numpy as np

from sgdtails.arrays import Floats

LOWEST, HIGHEST = 0.8, 2 - 1e-6  # of the table; above, the law is taken as that of HIGHEST, and 2 is the normal law
_FIRST = 0.6  # in the table: a spline is less exact at its ends
LARGEST = 12.0  # argument in the table; the series is used above
_SERIES_FROM = {True: 2.0, False: LARGEST}  # by whether alpha is at most 1: where the series takes over
_TERMS = 40  # of the series
_REACH = {True: 430.0, False: 42.0}  # of t, by the same: exp(-t^alpha) is below 1e-16 beyond
_STEP = 0.04  # of log(2 - alpha) in the table
_ARGUMENT_STEP = 0.01  # of asinh(x)
_PANEL_NODES = 24


def log_density(x: Floats, alpha: float) -> Floats:
    """Compute the log density of the symmetric stable law with characteristic function exp(-|t|^alpha).

    Values err by less than 1e-5 for alpha in [0.8, 2] (tests/tail_index/laws compares with Nolan's values and with quadrature).

    Parameters
    ----------
    x : numpy.ndarray
        Arguments, (N,).
    alpha : float
        Tail index, in [0.8, 2].

    Returns
    -------
    numpy.ndarray
        Log densities in nats, (N,).

    Raises
    ------
    ValueError
        For a tail index outside [0.8, 2].

    References
    ----------
    Nolan (2020), Univariate Stable Distributions, chapter 3.

    Examples
    --------
    >>> log_density(np.array([0.0, 1.0]), 1.0).round(4)  # Cauchy: -log(pi*(1 + x^2))
    array([-1.1447, -1.8379])
    """
    if not LOWEST <= alpha <= 2:
        raise ValueError(f"alpha must lie in [{LOWEST}, 2], got {alpha}")
    magnitudes = np.abs(np.asarray(x, dtype=float))
    if alpha == 2:
        return np.asarray(-(magnitudes**2) / 4 - math.log(2 * math.sqrt(math.pi)))
    alpha = min(alpha, HIGHEST)
    near = magnitudes <= LARGEST
    found = at_shape(_table(), math.log(2 - alpha), np.arcsinh(np.minimum(magnitudes, LARGEST)))
    if not near.all():
        found[~near] = np.log(series(magnitudes[~near], alpha))
    return found


def at_shape(table: Any, shape: float, points: Floats) -> Floats:
    """Evaluate a table at one shape: many times faster at points that ascend.

    Parameters
    ----------
    table : scipy.interpolate.RectBivariateSpline
        Of shape and argument.
    shape : float
        The shape.
    points : numpy.ndarray
        Arguments, (N,).

    Returns
    -------
    numpy.ndarray
        Values, (N,).

    Examples
    --------
    >>> bool(abs(at_shape(_table(), 0.0, np.array([1.0, 0.0])) - at_shape(_table(), 0.0, np.array([0.0, 1.0]))[::-1]).max() < 1e-12)
    True
    """
    if (np.diff(points) >= 0).all():
        return np.asarray(table(shape, points)[0])
    return np.asarray(table(shape, points, grid=False))


def series(x: Floats, alpha: float, terms: int = _TERMS) -> Floats:
    """Sum the series of the density in inverse powers of x.

    It converges for alpha < 1; for larger alpha its error is about its first omitted term.

    Parameters
    ----------
    x : numpy.ndarray
        Arguments above 0, (N,).
    alpha : float
        Tail index, in (0, 2).
    terms : int
        Number of terms.

    Returns
    -------
    numpy.ndarray
        Densities, (N,).

    Examples
    --------
    >>> round(float(series(np.array([20.0]), 1.0)[0] * np.pi * 401), 12)
    1.0
    """
    from scipy.special import gammaln

    k = np.arange(1, terms + 1)
    sizes = np.exp(gammaln(alpha * k + 1) - gammaln(k + 1))
    signs = -((-1.0) ** k) * np.sin(k * math.pi * alpha / 2)
    power, total = x**-alpha, np.zeros_like(x)
    for coefficient in (sizes * signs)[::-1]:
        total = (total + coefficient) * power
    return total / (math.pi * x)


@cache
def _table() -> Any:
    """Make the spline of log densities."""
    from scipy.interpolate import RectBivariateSpline

    low, high = math.log(2 - HIGHEST), math.log(2 - _FIRST)
    logs = np.linspace(low, high, math.ceil((high - low) / _STEP) + 1)
    alphas = 2 - np.exp(logs)
    alphas[-1] = _FIRST
    last = math.asinh(LARGEST)
    points = np.linspace(0, last, math.ceil(last / _ARGUMENT_STEP) + 1)
    values = np.empty((len(logs), len(points)))
    for low_alpha in (True, False):
        of_these = (alphas <= 1) == low_alpha
        values[of_these] = _densities(alphas[of_these], np.sinh(points), low_alpha)
    return RectBivariateSpline(logs, points, np.log(values), s=0)


def _densities(alphas: Floats, x: Floats, low_alpha: bool) -> Floats:
    """Compute densities, (alphas, x): by quadrature up to the argument where the series takes over."""
    start = _SERIES_FROM[low_alpha]
    inner = x <= start
    nodes, weights = _nodes(_REACH[low_alpha], start)
    waves = np.cos(np.outer(nodes, x[inner])) * (weights / math.pi)[:, None]
    found = np.empty((len(alphas), len(x)))
    found[:, inner] = np.exp(-(nodes ** alphas[:, None])) @ waves
    for index, alpha in enumerate(alphas):
        found[index, ~inner] = series(x[~inner], alpha, 2 * _TERMS if low_alpha else _TERMS)
    return found


def _nodes(reach: float, largest: float) -> tuple[Floats, Floats]:
    """Place the nodes of the quadrature over t: panels of three oscillations, and shorter and shorter ones towards 0, where t^alpha has no derivative."""
    width = min(1.0, 6 * math.pi / largest)
    ends = np.concatenate([[0.0], width * 2.0 ** np.arange(-40, 0), np.arange(width, reach + width, width)])
    at, weights = np.polynomial.legendre.leggauss(_PANEL_NODES)
    middles, halves = (ends[1:] + ends[:-1]) / 2, np.diff(ends) / 2
    return (middles[:, None] + halves[:, None] * at).ravel(), (halves[:, None] * weights).ravel()
