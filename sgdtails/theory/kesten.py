"""Ground truth: linear regression by SGD, whose stationary law has a tail index that an equation gives exactly.

Data z ~ N(0, I_d) and noise N(0, 1) independent of z make one step w <- M w + q with M = I - (eta/b) * sum of z z'
over the batch. Both are invariant under rotations, so that the index alpha solves E||M e||^alpha = 1 for any unit
vector e (Kesten 1973; Gürbüzbalaban, Şimşekli and Zhu 2021, GSZ21 in the paper). With X ~ chi2_b/b and an independent
Y ~ chi2_(d-1), ||M e||^2 has the law of (1 - eta*X)^2 + eta^2*X*Y/b; in one dimension E|1 - eta*X|^alpha = 1.

The last iterate has this index whatever it is. Sums of n iterates, divided by n^(1/alpha), tend to an alpha-stable law if
alpha < 2 and to a Gaussian one if alpha > 2: what estimates on averages should give is min(alpha, 2), in the limit.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from sgdtails.arrays import Floats, Row
from sgdtails.errors import InputError
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index import signed_means, uncertainty
from sgdtails.tail_index.estimators import ESTIMATORS, MINIMUM

_NODES = 80  # of each Gauss-Legendre rule: indices in one dimension are then right to about 1e-11
_CLUSTER = 4  # nodes t^4 gather where ||M e|| vanishes and its powers are not smooth
Sample = Floats


def log_moment(power: float, eta: float, batch_size: int, dimension: int = 1) -> float:
    """Compute log E||M e||^power, by quadrature over the chi variables sqrt(b*X) and sqrt(Y).

    Parameters
    ----------
    power : float
        The power, at least 0.
    eta : float
        Step size.
    batch_size : int
        Batch size, b.
    dimension : int
        Number of weights, d.

    Returns
    -------
    float
        The logarithm of the moment.

    Examples
    --------
    >>> round(log_moment(2.0, 0.5, 1), 6)  # E(1 - Z^2/2)^2 = 3/4
    -0.287682
    """
    from scipy.special import logsumexp

    logs, log_weights = _log_growth(power, eta, batch_size, dimension)
    return float(logsumexp(power * logs + log_weights))


def drift(eta: float, batch_size: int, dimension: int = 1) -> float:
    """Compute E log||M e||, the Lyapunov exponent of SGD: it has a stationary law if and only if this is negative.

    Parameters
    ----------
    eta : float
        Step size.
    batch_size : int
        Batch size, b.
    dimension : int
        Number of weights, d.

    Returns
    -------
    float
        The exponent.

    Examples
    --------
    >>> drift(0.5, 1) < 0 < drift(10.0, 1)
    True
    """
    logs, log_weights = _log_growth(0, eta, batch_size, dimension)
    return float(logs @ np.exp(log_weights))


def exact_index(eta: float, batch_size: int, dimension: int = 1) -> float:
    """Compute the tail index of the stationary law of SGD.

    Parameters
    ----------
    eta : float
        Step size, above 0.
    batch_size : int
        Batch size, at least 1.
    dimension : int
        Number of weights, at least 1.

    Returns
    -------
    float
        The tail index.

    Raises
    ------
    InputError
        For a number out of range, or if no stationary law exists.

    Examples
    --------
    >>> round(exact_index(0.8, 1), 4)
    1.5464
    """
    from scipy.optimize import brentq

    setting = f"step size {eta}, batch size {batch_size} and dimension {dimension}"
    if not (eta > 0 and batch_size >= 1 and dimension >= 1):
        raise InputError(f"{setting} of linear regression are not all positive: correct config key kesten.grid.")
    rate = drift(eta, batch_size, dimension)
    if rate >= 0:
        raise InputError(
            f"linear regression with {setting} has no stationary law, since iterates grow at the rate {rate:.3g} >= 0: "
            "lower eta in config key kesten.grid."
        )
    # The logarithm is convex in the power, zero and falling at 0: it has one other zero.
    low = high = 1.0
    while log_moment(high, eta, batch_size, dimension) <= 0:
        high *= 2
    while log_moment(low, eta, batch_size, dimension) >= 0:
        low /= 2
    return float(brentq(log_moment, low, high, args=(eta, batch_size, dimension), xtol=1e-12))


def _log_growth(power: float, eta: float, batch_size: int, dimension: int) -> tuple[Sample, Sample]:
    """Compute nodes: log||M e|| and the log of their probability, for integrands that grow no faster than ||M e||^power."""
    kink = np.sqrt(batch_size / eta)  # of sqrt(b*X), where 1 - eta*X = 0
    offset, log_weights = _chi_rule(batch_size, kink, power)
    chi = kink + offset
    along = eta / batch_size * offset * (kink + chi)  # eta*X - 1
    if dimension == 1:
        return np.log(np.abs(along)), log_weights
    across, more_weights = _chi_rule(dimension - 1, 0.0, power)
    logs = np.log(np.hypot(along[:, None], eta / batch_size * np.outer(chi, across)))
    return logs.ravel(), np.add.outer(log_weights, more_weights).ravel()


def _chi_rule(degrees: int, kink: float, power: float) -> tuple[Sample, Sample]:
    """Compute nodes, as distances from ``kink`` that are exact near it, and log weights for the chi law times chi^(2*power)."""
    from scipy.special import gammaln

    nodes, weights = _legendre()
    # At a distance of nine from the peak of the integrand its Gaussian factor is below exp(-40).
    low, high = max(np.sqrt(degrees) - 9, 0.0), np.sqrt(degrees + 2 * power) + 9
    start = min(max(kink, low), high)
    parts = [part for part in (low - start, high - start) if part != 0]
    steps = np.concatenate([part * nodes**_CLUSTER for part in parts])
    widths = np.concatenate([abs(part) * _CLUSTER * nodes ** (_CLUSTER - 1) * weights for part in parts])
    chi = start + steps
    density = (degrees - 1) * np.log(chi) - chi**2 / 2 - (degrees / 2 - 1) * np.log(2) - gammaln(degrees / 2)
    return (start - kink) + steps, density + np.log(widths)


@cache
def _legendre() -> tuple[Sample, Sample]:
    """Compute nodes and weights on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


def simulate(
    eta: float,
    batch_size: int,
    dimension: int = 1,
    *,
    chains: int,
    burn_in: int,
    length: int,
    rng: np.random.Generator,
) -> tuple[Sample, Sample]:
    """Run independent chains of SGD.

    Each starts at the solution, w = 0, and draws a new batch of data and noise at each step; after ``burn_in`` steps,
    the iterates of ``length`` more are averaged.

    Parameters
    ----------
    eta : float
        Step size.
    batch_size : int
        Batch size.
    dimension : int
        Number of weights.
    chains : int
        Number of runs.
    burn_in : int
        Steps before averaging.
    length : int
        Steps that are averaged.
    rng : numpy.random.Generator
        Source of data and noise.

    Returns
    -------
    last, average : numpy.ndarray
        Last iterates and ergodic averages, (chains, dimension).

    Examples
    --------
    >>> last, average = simulate(0.5, 5, 3, chains=8, burn_in=10, length=10, rng=np.random.default_rng(0))
    >>> last.shape, average.shape
    ((8, 3), (8, 3))
    """
    weights, total = np.zeros((2, chains, dimension))
    data = np.empty((batch_size, chains, dimension))
    noise = np.empty((batch_size, chains))
    for step in range(burn_in + length):
        rng.standard_normal(out=data)
        rng.standard_normal(out=noise)
        residual = np.einsum("bnd,nd->bn", data, weights) - noise
        weights -= eta / batch_size * np.einsum("bn,bnd->nd", residual, data)
        if step >= burn_in:
            total += weights
    return weights, total / length


def kesten_rows(
    *, grid: Sequence[Mapping[str, Sequence[Any]]], chains: int, parts: int, burn_in: int, length: int, seed: int
) -> Iterator[Row]:
    """Make the rows of table ``kesten``: every estimate on both samples of every setting in the blocks of a grid.

    Estimates of 1/alpha are made on each of ``parts`` independent samples of chains/parts observations: alpha is from their mean,
    the interval from their spread. Generators are seeded by (seed, setting, part).

    Parameters
    ----------
    grid : sequence of mapping
        Blocks with lists of ``eta``, ``batch_size`` and ``dimension``, which are multiplied out.
    chains : int
        Runs of each setting.
    parts : int
        Samples that the runs make.
    burn_in : int
        Steps before averaging.
    length : int
        Steps that are averaged.
    seed : int
        Seed of all draws.

    Yields
    ------
    dict
        Columns of table ``kesten``.

    Raises
    ------
    InputError
        If a setting has no stationary law or ``parts`` does not divide ``chains`` into samples large enough.

    Examples
    --------
    >>> grid = [{"eta": [0.8], "batch_size": [1], "dimension": [1]}]
    >>> rows = list(kesten_rows(grid=grid, chains=64, parts=2, burn_in=5, length=5, seed=0))
    >>> {round(row["alpha_true"], 4) for row in rows}
    {1.5464}
    """
    _check_parts(chains, parts)
    settings = [
        setting
        for block in grid
        for setting in itertools.product(block["dimension"], block["batch_size"], block["eta"])
    ]
    truth = [exact_index(eta, batch_size, dimension) for dimension, batch_size, eta in settings]
    for number, ((dimension, batch_size, eta), alpha) in enumerate(zip(settings, truth, strict=True)):
        common = {"eta": eta, "batch_size": batch_size, "dimension": dimension, "alpha_true": alpha}
        common |= {"chains": chains, "parts": parts, "burn_in": burn_in, "length": length}
        run = partial(simulate, eta, batch_size, dimension, chains=chains // parts, burn_in=burn_in, length=length)
        samples = [run(rng=np.random.default_rng([seed, number, part])) for part in range(parts)]
        for weights, sample in zip(("last", "average"), map(np.stack, zip(*samples, strict=True)), strict=True):
            rng = np.random.default_rng([seed, number, parts])
            for (estimator, k1), inverse in estimates(sample, rng=rng).items():
                yield common | {"weights": weights, "estimator": estimator, "k1": k1} | interval(inverse)


def _check_parts(chains: int, parts: int) -> None:
    advice = "change chains or parts in config key kesten."
    if chains % parts:
        raise InputError(f"{chains} chains do not make {parts} equal parts: {advice}")
    if chains // parts < MINIMUM:
        raise InputError(f"{chains // parts} chains in each part are fewer than {MINIMUM}: {advice}")
    try:
        tail_index.block_lengths(chains // parts)
    except ValueError as error:
        raise InputError(f"{error}: {advice}") from None


def estimates(sample: Sample, *, rng: np.random.Generator) -> dict[tuple[str, int | None], Sample]:
    """Estimate 1/alpha by every estimator, after centring on the medians of each part.

    Univariate estimators see the N*d numbers of a part, as they see the entries of a weight matrix, in random order: numbers of
    one vector are dependent and would share blocks (Paulauskas' estimate was 2.9 at an index of 1.03).

    Parameters
    ----------
    sample : numpy.ndarray
        Samples, (parts, N, d).
    rng : numpy.random.Generator
        Source of random orders and signs.

    Returns
    -------
    dict of tuple to numpy.ndarray
        1/alpha (parts,) by estimator and K1; K1 is None for the aggregate and for estimators that have none.

    Raises
    ------
    ValueError
        If a part has no tail index.

    Examples
    --------
    >>> found = estimates(np.random.default_rng(0).standard_normal((2, 200, 1)), rng=np.random.default_rng(1))
    >>> found["mmo_univariate", None].round(1)
    array([0.5, 0.5])
    """
    vectors = sample - np.median(sample, axis=1, keepdims=True)
    flat = sample.reshape(len(sample), -1)
    flat = rng.permuted(flat - np.median(flat, axis=1, keepdims=True), axis=1)
    found = _mohammadi("mmo_univariate", flat, rng)
    if sample.shape[2] > 1:
        found |= _mohammadi("mmo_multivariate", vectors, rng)
    return found | {(name, None): estimator(flat).inverse for name, estimator in ESTIMATORS.items()}


def _mohammadi(name: str, sample: Sample, rng: np.random.Generator) -> dict[tuple[str, int | None], Sample]:
    """Estimate 1/alpha at each K1, the mean over signed orders, and its median over K1, as in table ``tails``."""
    lengths = tail_index.block_lengths(sample.shape[1])
    inverse = np.array([signed_means.profile(part, rng=rng, lengths=lengths) for part in sample])
    found: dict[tuple[str, int | None], Sample] = {
        (name, k1): column for k1, column in zip(lengths, inverse.T, strict=True)
    }
    found[name, None] = np.median(inverse, axis=1)
    return found


def interval(inverse: Sample) -> dict[str, float]:
    """Compute alpha from the mean of independent estimates of 1/alpha, with a 95% t-interval.

    Parameters
    ----------
    inverse : numpy.ndarray
        Estimates of 1/alpha, (parts,).

    Returns
    -------
    dict of str to float
        ``alpha_low``, ``alpha`` and ``alpha_high``; the interval is everything if an estimate failed in one part.

    Examples
    --------
    >>> interval(np.array([0.5, 0.5, 0.5]))
    {'alpha_low': 2.0, 'alpha': 2.0, 'alpha_high': 2.0}
    """
    middle = inverse.mean()
    low, high = -np.inf, np.inf  # if the estimate failed in one part
    if np.isfinite(middle):
        _, low, high = uncertainty.mean_interval(inverse)
    ends = np.array([high, middle, low])
    return dict(zip(("alpha_low", "alpha", "alpha_high"), tail_index.alpha_of(ends).tolist(), strict=True))
