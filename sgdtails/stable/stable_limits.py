"""What pruning's relative errors tend to as samples of stable laws grow: 0 or, for norms of finite moment, a constant."""

import math
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

_NODES = 20_000  # of the midpoint rule
_LARGEST = 60  # log of the largest entry that is looked at; of alpha = 0.3, one in 6e7 exceeds it
_KEPT = 8  # tables of so many angles, of 160 kB each, that are kept: root finders ask for the same ones again and again
_CROWDING = 6  # angles are pi/2*(1 - v^6): nodes crowd at pi/2, where the amplitude is infinite


@cache
def entries_limit(alpha: float, kappa: float, p: float) -> float:
    """Limit of the relative lp error of keeping the share kappa of independent SaS entries, largest first.

    Almost surely (E[|x|^p; |x| <= t]/E|x|^p)^(1/p) at the quantile t of |x| where the share kappa lies above, and 0 where
    E|x|^p is infinite: p >= alpha, but for the normal law (Gribonval, Cevher and Davies 2012, Proposition 1).
    """
    from scipy.optimize import brentq

    if _infinite_moment(alpha, p) or kappa >= 1:
        return 0.0
    if kappa <= 0:
        return 1.0
    log_t = brentq(lambda log_t: distribution(alpha, math.exp(log_t)) - (1 - kappa), -20, _LARGEST, xtol=1e-12)
    return truncated_share(alpha, math.exp(log_t), p) ** (1 / p)


@cache
def entries_kappa(alpha: float, epsilon: float, p: float) -> float:
    """Limit of kappa_p(x, epsilon), the share of independent SaS entries to keep for a relative error of epsilon in (0, 1)."""
    from scipy.optimize import brentq

    if _infinite_moment(alpha, p) or truncated_share(alpha, math.exp(_LARGEST), p) <= epsilon**p:
        return 0.0  # with p just below alpha, nearly all of the norm lies in one entry of 1e8 and more
    log_t = brentq(lambda log_t: truncated_share(alpha, math.exp(log_t), p) - epsilon**p, -20, _LARGEST, xtol=1e-12)
    return 1 - distribution(alpha, math.exp(log_t))


def columns_limit(alpha: float, kappa: float, p: float) -> float | None:
    """Limit of the relative error of keeping the share kappa of the columns of a square matrix of independent SaS entries.

    Powers |column|_p^p of infinite mean make it 0; those of finite mean become equal as the rows grow in number, so that
    it is (1-kappa)^(1/p). None at p = alpha < 2.
    """
    if alpha < 2 and p == alpha:
        return None
    return 0.0 if _infinite_moment(alpha, p) else (1 - kappa) ** (1 / p)


def singular_values_limit(alpha: float, kappa: float, p: float) -> float | None:
    """Limit of the relative lp error of keeping the share kappa of the eigenvalues of a square matrix's sample covariance.

    0 where p > alpha/2 and alpha < 2 (Theorem 3), by the quarter-circle law where alpha = 2, else None. The Frobenius
    error of the matrix is its square root at p = 1.
    """
    from scipy.special import betainc, betaincinv

    if alpha == 2:  # (singular value/its largest)^2 is Beta(1/2, 3/2)
        return float(betainc(p + 0.5, 1.5, betaincinv(0.5, 1.5, 1 - kappa)) ** (1 / p))
    return 0.0 if p > alpha / 2 else None


def distribution(alpha: float, t: float) -> float:
    """P(|x| <= t), x ~ SaS(1), by Chambers, Mallows and Stuck's |x| = a(angle)*W^s with an exponential W."""
    if alpha == 1:
        return 2 / math.pi * math.atan(t)
    waiting = _waiting(alpha, t)
    below = -np.expm1(-waiting) if alpha > 1 else np.exp(-waiting)
    return float(np.average(below, weights=_weights()))


def truncated_share(alpha: float, t: float, p: float) -> float:
    """E[|x|^p; |x| <= t]/E|x|^p, x ~ SaS(1), for p < alpha, or any p at alpha = 2."""
    from scipy.special import betainc, gamma, gammainc, gammaincc

    if alpha == 1:
        return float(betainc((1 + p) / 2, (1 - p) / 2, t**2 / (1 + t**2)))
    shape = 1 + p * (alpha - 1) / alpha
    inside = (gammainc if alpha > 1 else gammaincc)(shape, _waiting(alpha, t))
    with np.errstate(under="ignore"):
        part = np.average(_amplitude_power(alpha, p) * inside, weights=_weights()) * gamma(shape)
    return float(part / absolute_moment(alpha, p))


def absolute_moment(alpha: float, p: float) -> float:
    """E|x|^p, x ~ SaS(1): 2^p*Gamma((1+p)/2)*Gamma(1-p/alpha)/(sqrt(pi)*Gamma(1-p/2)); infinite for p >= alpha, save at alpha = 2."""
    from scipy.special import gamma

    if _infinite_moment(alpha, p):
        return math.inf
    ratio = 1.0 if alpha == 2 else gamma(1 - p / alpha) / gamma(1 - p / 2)
    return float(2**p * gamma((1 + p) / 2) / math.sqrt(math.pi) * ratio)


def _infinite_moment(alpha: float, p: float) -> bool:
    return alpha < 2 and p >= alpha


@cache
def _nodes() -> NDArray[np.float64]:
    return (np.arange(_NODES) + 0.5) / _NODES


@cache
def _weights() -> NDArray[np.float64]:
    return _nodes() ** (_CROWDING - 1)


@lru_cache(_KEPT)
def _log_amplitude(alpha: float) -> NDArray[np.float64]:
    """log a at each angle; the distance to pi/2 is what is known to full precision there."""
    rest = math.pi / 2 * _nodes() ** _CROWDING
    sine = np.sin((2 - alpha) * math.pi / 2 + alpha * rest)  # sin(alpha*angle)
    cosine = np.sin((2 - alpha) * math.pi / 2 + (alpha - 1) * rest)  # cos((1-alpha)*angle)
    return np.log(sine) - np.log(np.sin(rest)) / alpha + (1 - alpha) / alpha * np.log(cosine)


@lru_cache(_KEPT)
def _amplitude_power(alpha: float, p: float) -> NDArray[np.float64]:
    return np.exp(p * _log_amplitude(alpha))


def _waiting(alpha: float, t: float) -> NDArray[np.float64]:
    """The W at which |x| = t, at each angle: above it |x| > t where alpha > 1, below it where alpha < 1."""
    with np.errstate(over="ignore", under="ignore"):
        return np.exp((math.log(t) - _log_amplitude(alpha)) * alpha / (alpha - 1))
