"""Radial laws of elliptical stable rows and of Gaussian rows with lognormal scales, by quadrature over the rows' scales.

A row is sqrt(2A)*G with a random scale A and a normal G of d numbers. So q = log(|row|^2/4) is the sum of y = log A and of the
log of a Gamma(d/2) number, and its density is the integral of two densities, of which neither oscillates: it keeps its relative
precision where it is small.
"""

import math
from functools import cache
from typing import Any

import numpy as np

from sgdtails.arrays import Floats
from sgdtails.tail_index.laws.stable_density import at_shape

LOWEST, HIGHEST = 0.8, 2 - 1e-4  # tail indices in the table of elliptical stable laws
_ALPHA_STEP, _SHAPE_STEP = 0.04, 0.15  # of alpha in it, and of log(2 - alpha) near 2
_BELOW, _ABOVE = 4.0, 11.0  # reach of the table in q on both sides of log(d/2), where rows of scale 1 lie
_AT_ONCE = 32  # arguments
_ANGLES = 64  # nodes over Kanter's angle
_NODES = np.polynomial.hermite_e.hermegauss(24)  # over a lognormal scale


def stable_log_density(q: Floats, alpha: float, dimension: int) -> Floats:
    """Compute the log density of q = log(r^2/4) for the norm r of an elliptical stable row of scale 1.

    Parameters
    ----------
    q : numpy.ndarray
        Arguments, (N,).
    alpha : float
        Tail index, in [0.8, 2).
    dimension : int
        Numbers in a row.

    Returns
    -------
    numpy.ndarray
        Log densities in nats, (N,).

    References
    ----------
    Nolan (2013), Multivariate elliptically contoured stable distributions.

    Examples
    --------
    >>> at = math.log(1 / 4)  # r = 1, where a Cauchy number has the density 2/(pi*(1 + r^2)) of its magnitude
    >>> round(float(np.exp(stable_log_density(np.array([at]), 1.0, 1)[0])), 4), round(1 / (2 * math.pi), 4)
    (0.1592, 0.1592)
    """
    middle = math.log(dimension / 2)
    low, high = middle - _BELOW, middle + _ABOVE
    shape = math.log(2 - min(max(alpha, LOWEST), HIGHEST))
    found = at_shape(_table(dimension), shape, np.clip(q, low, high))
    # Densities of r tend to a constant below, and to a power law above.
    return np.asarray(found + dimension / 2 * np.minimum(q - low, 0) - alpha / 2 * np.maximum(q - high, 0))


@cache
def _table(dimension: int) -> Any:
    from scipy.interpolate import RectBivariateSpline

    turn = _ALPHA_STEP / _SHAPE_STEP  # below, steps of log(2 - alpha) are the shorter ones
    near = np.geomspace(2 - HIGHEST, turn, math.ceil(math.log(turn / (2 - HIGHEST)) / _SHAPE_STEP) + 1)
    far = np.linspace(turn, 2 - LOWEST, math.ceil((2 - LOWEST - turn) / _ALPHA_STEP) + 1)
    shapes = np.log([*near, *far[1:]])
    middle, width = math.log(dimension / 2), math.sqrt(2 / dimension)
    q = np.linspace(middle - _BELOW, middle + _ABOVE, math.ceil((_BELOW + _ABOVE) / min(0.06, width / 2)))
    return RectBivariateSpline(shapes, q, [mixed(q, 2 - math.exp(shape), dimension) for shape in shapes], s=0)


def mixed(q: Floats, alpha: float, dimension: int) -> Floats:
    """Compute ``stable_log_density`` by quadrature.

    Parameters
    ----------
    q : numpy.ndarray
        Arguments, ascending, (N,).
    alpha : float
        Tail index, in (0, 2).
    dimension : int
        Numbers in a row.

    Returns
    -------
    numpy.ndarray
        Log densities in nats, (N,).

    Examples
    --------
    >>> q = np.linspace(-3, 3, 7)
    >>> bool(abs(mixed(q, 1.5, 4) - stable_log_density(q, 1.5, 4)).max() < 1e-4)
    True
    """
    from scipy.special import gammaln, logsumexp

    half, width = dimension / 2, math.sqrt(2 / dimension)
    reach = 8 * width + 40 / (half + alpha / 2)
    y, logs = _scale_nodes(alpha, width, float(q[-1]) - math.log(half) + reach)
    found = np.empty(len(q))
    mode = y[np.argmax(logs)] + 1
    for start in range(0, len(q), _AT_ONCE):
        part = q[start : start + _AT_ONCE]
        # The spread that a normal row adds is `width`; only below the least scales does more of the law matter.
        ends = part[0] - math.log(half) - 10 * width - 4, max(part[-1] - math.log(half) + reach, mode)
        near = slice(*np.searchsorted(y, ends))
        away = part[:, None] - y[near]
        with np.errstate(over="ignore"):
            found[start : start + len(part)] = logsumexp(half * away - np.exp(away) + logs[near], axis=1)
    return np.asarray(found - gammaln(half))


def _scale_nodes(alpha: float, width: float, last: float) -> tuple[Floats, Floats]:
    """Place nodes over y = log A, and give the logs of the density there times the nodes' distance.

    Near the least scales the density changes within c = (1 - a)/a of y, a = alpha/2; further on within 1, or `width`, the spread that
    a normal row adds.
    """
    c = 2 / alpha - 1
    first = c * (float(angle_term(np.zeros(1), alpha)[0]) - math.log(1e4))
    core, fine, coarse = 2 * c, 0.1, 0.7 * min(width, 1.0)
    count = math.ceil(math.log1p((last - first) / core) / fine + (last - first) / coarse)
    tau = np.arange(count)
    s = np.zeros(count)
    for _ in range(60):  # Newton's method, for tau = log(1 + s/core)/fine + s/coarse, which is concave in s
        slope = 1 / (fine * (s + core)) + 1 / coarse
        s = np.maximum(s - (np.log1p(s / core) / fine + s / coarse - tau) / slope, 0)
    slope = 1 / (fine * (s + core)) + 1 / coarse
    y = first + s
    return y, scale_log_density(y, alpha) - np.log(slope)


def angle_term(chi: Floats, alpha: float) -> Floats:
    """Compute b of Kanter's A = (exp(b)/W)^c, c = 2/alpha - 1, at the angle pi*(1 - exp(-chi)); W is exponential.

    Parameters
    ----------
    chi : numpy.ndarray
        Exponential numbers, of any shape.
    alpha : float
        Tail index of the rows, in (0, 2): that of A is half of it.

    Returns
    -------
    numpy.ndarray
        b, of the same shape; it ascends with chi.

    Examples
    --------
    >>> angle_term(np.zeros(1), 1.0).round(4)  # log(1/4)
    array([-1.3863])
    """
    half = alpha / 2
    rest = math.pi * np.exp(-chi)
    angle = -math.pi * np.expm1(-chi)
    small = angle < 1e-9
    sine = np.where(small, 1.0, np.sin(rest))
    of_half = np.where(small, half, np.sin((1 - half) * math.pi + half * rest))
    of_rest = np.where(small, 1 - half, np.sin((1 - half) * angle))
    return np.log(of_rest) + (half * np.log(of_half) - np.log(sine)) / (1 - half)


def scale_log_density(y: Floats, alpha: float) -> Floats:
    """Compute the log density of y = log A, A positive stable with Laplace transform exp(-s^(alpha/2)).

    Parameters
    ----------
    y : numpy.ndarray
        Arguments, (N,).
    alpha : float
        Tail index of the rows, in (0, 2).

    Returns
    -------
    numpy.ndarray
        Log densities in nats, (N,).

    References
    ----------
    Kanter (1975).

    Examples
    --------
    >>> levy = -0.5 * math.log(4 * math.pi) - 1 / 4  # of alpha = 1 at A = 1: A is a Levy number
    >>> bool(abs(scale_log_density(np.zeros(1), 1.0)[0] - levy) < 1e-8)
    True
    """
    from scipy.special import logsumexp

    c = 2 / alpha - 1
    chi = np.concatenate([np.linspace(0, 3, 600), np.linspace(3.01, 700, 20_000)])
    terms = angle_term(chi, alpha)
    at = y / c
    least = np.exp(np.minimum(terms[0] - at, 50))  # of W
    ends = np.interp([np.maximum(at - 40, terms[0]), at + np.log(least + 60)], terms, chi)
    nodes, weights = np.polynomial.legendre.leggauss(_ANGLES)
    halves = (ends[1] - ends[0])[:, None] / 2
    between = ends.mean(axis=0)[:, None] + halves * nodes
    log_w = angle_term(between, alpha) - at[:, None]
    values = log_w - np.exp(log_w) - between + np.log(weights * np.maximum(halves, 1e-300))
    return np.asarray(logsumexp(values, axis=1)) - math.log(c)


def draw_scales(alpha: float, size: int, rng: np.random.Generator) -> Floats:
    """Draw positive stable scales A.

    Parameters
    ----------
    alpha : float
        Tail index of the rows, in (0, 2].
    size : int
        Number of draws.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    numpy.ndarray
        Scales, (size,).

    Examples
    --------
    >>> drawn = draw_scales(1.0, 100_000, np.random.default_rng(0))
    >>> round(float(np.exp(-drawn).mean()), 2)  # exp(-1)
    0.37
    """
    if alpha == 2:
        return np.ones(size)
    b = angle_term(rng.standard_exponential(size), alpha)
    return np.asarray(np.exp((2 / alpha - 1) * (b - np.log(rng.standard_exponential(size)))))


def lognormal_log_density(q: Floats, spread: float, dimension: int) -> Floats:
    """Compute the log density of q = log(r^2/2) for the norm r of a normal row times exp(spread*Z), Z normal.

    The integrand over Z is log-concave; Gauss-Hermite quadrature is done around its mode.

    Parameters
    ----------
    q : numpy.ndarray
        Arguments, (N,).
    spread : float
        Standard deviation of the log scales, above 0.
    dimension : int
        Numbers in a row.

    Returns
    -------
    numpy.ndarray
        Log densities in nats, (N,).

    References
    ----------
    Liu and Pierce (1994), A note on Gauss-Hermite quadrature.

    Examples
    --------
    >>> q = np.linspace(-20, 10, 3001)
    >>> round(float(np.exp(lognormal_log_density(q, 0.5, 4)).sum() * 0.01), 6)
    1.0
    """
    from scipy.special import gammaln

    half, variance = dimension / 2, 4 * spread**2
    y = np.where(q > math.log(half), (q - math.log(half)) * half * variance / (1 + half * variance), 0.0)
    for _ in range(60):  # Newton's method on y/variance + half - exp(q - y) = 0, with steps that stay short
        rate = np.exp(np.minimum(q - y, 700))
        step = (rate - half - y / variance) / (rate + 1 / variance)
        y = y + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    deviation = 1 / np.sqrt(np.exp(q - y) + 1 / variance)
    nodes, weights = _NODES
    at = y[:, None] + deviation[:, None] * nodes
    peak = half * (q - y) - np.exp(q - y) - y**2 / (2 * variance)
    away = q[:, None] - at
    logs = half * away - np.exp(away) - at**2 / (2 * variance) - peak[:, None]  # at most 0
    constant = math.log(2 * math.pi * variance) / 2 + gammaln(half)
    return np.asarray(np.log(np.exp(logs + nodes**2 / 2) @ weights) + peak + np.log(deviation) - constant)
