"""What pruning's relative errors tend to as samples of stable laws grow: 0 or, for norms of finite moment, a constant."""

import math
from functools import cache, lru_cache

import numpy as np

from sgdtails.arrays import Floats

_NODES = 20_000  # of the midpoint rule
_LARGEST = 60  # log of the largest entry considered; at alpha = 0.3 one in 6e7 exceeds it
_KEPT = 8  # tables of angles, of 160 kB each, that are cached: root finders ask for the same ones repeatedly
_CROWDING = 6  # angles are pi/2*(1 - v^6): nodes crowd at pi/2, where the amplitude is infinite


@cache
def entries_limit(alpha: float, kappa: float, p: float) -> float:
    """Compute the limit of the relative lp error of keeping a share of independent SaS entries, largest first.

    Almost surely it is (E[|x|^p; |x| <= t]/E|x|^p)^(1/p) at the quantile t of |x| above which the share kappa lies. It is 0 where
    E|x|^p is infinite: p >= alpha, but for the normal law.

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    kappa : float
        Share that is kept.
    p : float
        The norm, above 0.

    Returns
    -------
    float
        The limit.

    References
    ----------
    Gribonval, Cevher and Davies (2012), Proposition 1.

    Examples
    --------
    >>> entries_limit(1.5, 0.1, 2.0), round(entries_limit(2.0, 0.1, 2.0), 3)
    (0.0, 0.749)
    """
    from scipy.optimize import brentq

    if _infinite_moment(alpha, p) or kappa >= 1:
        return 0.0
    if kappa <= 0:
        return 1.0
    log_t = brentq(lambda log_t: distribution(alpha, math.exp(log_t)) - (1 - kappa), -20, _LARGEST, xtol=1e-12)
    return float(truncated_share(alpha, math.exp(log_t), p) ** (1 / p))


@cache
def entries_kappa(alpha: float, epsilon: float, p: float) -> float:
    """Compute the limit of kappa_p(x, epsilon), the share of independent SaS entries to keep for a relative error.

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    epsilon : float
        Relative lp error, in (0, 1).
    p : float
        The norm, above 0.

    Returns
    -------
    float
        The share.

    Examples
    --------
    >>> entries_kappa(1.5, 0.1, 2.0), round(entries_kappa(2.0, 0.1, 2.0), 3)
    (0.0, 0.735)
    """
    from scipy.optimize import brentq

    if _infinite_moment(alpha, p) or truncated_share(alpha, math.exp(_LARGEST), p) <= epsilon**p:
        return 0.0  # with p just below alpha, nearly all of the norm lies in one entry of 1e8 and more
    log_t = brentq(lambda log_t: truncated_share(alpha, math.exp(log_t), p) - epsilon**p, -20, _LARGEST, xtol=1e-12)
    return 1 - distribution(alpha, math.exp(log_t))


def columns_limit(alpha: float, kappa: float, p: float) -> float | None:
    """Compute the limit of the relative error of keeping a share of the columns of a square matrix of independent SaS entries.

    Powers |column|_p^p of infinite mean make it 0; those of finite mean become equal as the rows grow in number, so that
    it is (1-kappa)^(1/p).

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    kappa : float
        Share of columns that is kept.
    p : float
        The norm, above 0.

    Returns
    -------
    float or None
        The limit; None at p = alpha < 2, where it is not known.

    Examples
    --------
    >>> columns_limit(1.5, 0.19, 2.0), round(columns_limit(2.0, 0.19, 2.0), 3)
    (0.0, 0.9)
    """
    if alpha < 2 and p == alpha:
        return None
    return 0.0 if _infinite_moment(alpha, p) else (1 - kappa) ** (1 / p)


def singular_values_limit(alpha: float, kappa: float, p: float) -> float | None:
    """Compute the limit of the relative lp error of keeping a share of the eigenvalues of a square matrix's sample covariance.

    It is 0 where p > alpha/2 and alpha < 2 (Theorem 3), and follows from the quarter-circle law where alpha = 2. The Frobenius
    error of the matrix is its square root at p = 1.

    Parameters
    ----------
    alpha : float
        Tail index of the matrix's independent entries, in (0, 2].
    kappa : float
        Share of eigenvalues that is kept.
    p : float
        The norm, above 0.

    Returns
    -------
    float or None
        The limit; None where it is not known.

    Examples
    --------
    >>> singular_values_limit(1.5, 0.1, 1.0), singular_values_limit(1.5, 0.1, 0.5)
    (0.0, None)
    """
    from scipy.special import betainc, betaincinv

    if alpha == 2:  # (singular value/its largest)^2 is Beta(1/2, 3/2)
        return float(betainc(p + 0.5, 1.5, betaincinv(0.5, 1.5, 1 - kappa)) ** (1 / p))
    return 0.0 if p > alpha / 2 else None


def distribution(alpha: float, t: float) -> float:
    """Compute P(|x| <= t) for x ~ SaS(1), from Chambers, Mallows and Stuck's |x| = a(angle)*W^s with an exponential W.

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    t : float
        Above 0.

    Returns
    -------
    float
        The probability.

    Examples
    --------
    >>> round(distribution(1.0, 1.0), 3)  # Cauchy
    0.5
    """
    if alpha == 1:
        return 2 / math.pi * math.atan(t)
    waiting = _waiting(alpha, t)
    below = -np.expm1(-waiting) if alpha > 1 else np.exp(-waiting)
    return float(np.average(below, weights=_weights()))


def truncated_share(alpha: float, t: float, p: float) -> float:
    """Compute E[|x|^p; |x| <= t]/E|x|^p for x ~ SaS(1).

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    t : float
        Above 0.
    p : float
        Below alpha, or any at alpha = 2.

    Returns
    -------
    float
        The share, in [0, 1].

    Examples
    --------
    >>> round(truncated_share(2.0, 2.0, 2.0), 3)
    0.428
    """
    from scipy.special import betainc, gamma, gammainc, gammaincc

    if alpha == 1:
        return float(betainc((1 + p) / 2, (1 - p) / 2, t**2 / (1 + t**2)))
    shape = 1 + p * (alpha - 1) / alpha
    inside = (gammainc if alpha > 1 else gammaincc)(shape, _waiting(alpha, t))
    with np.errstate(under="ignore"):
        part = np.average(_amplitude_power(alpha, p) * inside, weights=_weights()) * gamma(shape)
    return float(part / absolute_moment(alpha, p))


def absolute_moment(alpha: float, p: float) -> float:
    """Compute E|x|^p for x ~ SaS(1): 2^p*Gamma((1+p)/2)*Gamma(1-p/alpha)/(sqrt(pi)*Gamma(1-p/2)).

    Parameters
    ----------
    alpha : float
        Tail index, in (0, 2].
    p : float
        The power, above 0.

    Returns
    -------
    float
        The moment; infinite for p >= alpha, save at alpha = 2.

    Examples
    --------
    >>> round(absolute_moment(2.0, 2.0), 6), absolute_moment(1.5, 1.5)
    (2.0, inf)
    """
    from scipy.special import gamma

    if _infinite_moment(alpha, p):
        return math.inf
    ratio = 1.0 if alpha == 2 else gamma(1 - p / alpha) / gamma(1 - p / 2)
    return float(2**p * gamma((1 + p) / 2) / math.sqrt(math.pi) * ratio)


def _infinite_moment(alpha: float, p: float) -> bool:
    return alpha < 2 and p >= alpha


@cache
def _nodes() -> Floats:
    return (np.arange(_NODES) + 0.5) / _NODES


@cache
def _weights() -> Floats:
    return _nodes() ** (_CROWDING - 1)


@lru_cache(_KEPT)
def _log_amplitude(alpha: float) -> Floats:
    """Compute log a at each angle, from the distance to pi/2, which is known to full precision there."""
    rest = math.pi / 2 * _nodes() ** _CROWDING
    sine = np.sin((2 - alpha) * math.pi / 2 + alpha * rest)  # sin(alpha*angle)
    cosine = np.sin((2 - alpha) * math.pi / 2 + (alpha - 1) * rest)  # cos((1-alpha)*angle)
    return np.log(sine) - np.log(np.sin(rest)) / alpha + (1 - alpha) / alpha * np.log(cosine)


@lru_cache(_KEPT)
def _amplitude_power(alpha: float, p: float) -> Floats:
    return np.exp(p * _log_amplitude(alpha))


def _waiting(alpha: float, t: float) -> Floats:
    """Compute the W at which |x| = t, at each angle: above it |x| > t where alpha > 1, below it where alpha < 1."""
    with np.errstate(over="ignore", under="ignore"):
        return np.exp((math.log(t) - _log_amplitude(alpha)) * alpha / (alpha - 1))
