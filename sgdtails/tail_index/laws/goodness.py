"""How far a fitted law is from a sample: Kolmogorov's distance, its parametric bootstrap, and Vuong's test between two laws."""

import math
from functools import lru_cache

import numpy as np

from sgdtails.arrays import AnyArray, Floats
from sgdtails.tail_index.laws.families import BY_NAME
from sgdtails.tail_index.laws.fitting import Fit, Norms, fit

_SHAPE_STEP = 0.1  # of inner shapes, which are rounded for the bootstrap, so that layers share its samples


def distance(fitted: Fit, norms: Norms) -> float:
    """Compute Kolmogorov's distance between the distribution of norms and a fitted law.

    Of binned norms it is taken at the ends of bins, which can miss at most what one bin holds.

    Parameters
    ----------
    fitted : Fit
        The law.
    norms : Norms
        Norms of rows.

    Returns
    -------
    float
        The largest difference of both distribution functions, in [0, 1].

    Examples
    --------
    >>> norms = Norms.of(np.array([1.0, 2.0, 3.0, 4.0]), 1)
    >>> distance(fit(BY_NAME["entries", "uniform"], norms), norms)
    0.25
    """
    return _distance(fitted, norms, norms.ends, np.cumsum(norms.counts))


def _distance(fitted: Fit, norms: Norms, ends: Floats, below: Floats) -> float:
    expected = fitted.law.distribution(ends, fitted.scale[0], fitted.shape[0], norms.dimension)
    found = float(np.abs(below / below[-1] - expected).max())
    if norms.ends is norms.values:  # not binned: the step at each norm begins lower
        found = max(found, float(np.abs((below - norms.counts) / below[-1] - expected).max()))
    return round(found, 12)


def bootstrap(of: str, fitted: Fit, norms: Norms, *, replicates: int, seed: int) -> float:
    """Test by parametric bootstrap if a sample follows a fitted law.

    Samples of the law at the fitted shape, of the same size, are centred and fitted as the sample was. The null distribution of
    the distance does not depend on the scale and hardly on the shape, which is rounded (0.1 in its logarithm, or in that of
    2 - alpha), so that layers of a network share samples.

    Parameters
    ----------
    of : {"entries", "rows"}
        What the norms are of.
    fitted : Fit
        The law, fitted to `norms`.
    norms : Norms
        Norms of rows, of which each is used by itself.
    replicates : int
        Number of samples.
    seed : int
        Seed of their draws.

    Returns
    -------
    float
        p-value, at least 1/(1 + replicates).

    References
    ----------
    Stute, Gonzalez Manteiga and Presedo Quindimil (1993), Bootstrap based goodness-of-fit tests.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> norms = Norms.of(np.abs(rng.uniform(-1, 1, 400)), 1)
    >>> bootstrap("entries", fit(BY_NAME["entries", "gaussian"], norms), norms, replicates=49, seed=0)
    0.02
    """
    law = fitted.law
    inner = math.nan
    if law.shaped:
        inner = min(max(law.inner(fitted.shape[0]), law.low), law.high)
        inner = min(max(round(inner / _SHAPE_STEP) * _SHAPE_STEP, law.low), law.high)
    null = _null(of, law.name, inner if law.shaped else None, norms.rows, norms.dimension, replicates, seed)
    return (1 + int(np.sum(null >= distance(fitted, norms)))) / (1 + replicates)


@lru_cache(4096)
def _null(of: str, name: str, inner: float | None, rows: int, dimension: int, replicates: int, seed: int) -> Floats:
    """Draw distances under a law."""
    law = BY_NAME[of, name]
    shape = math.nan if inner is None else law.outer(inner)
    found = np.empty(replicates)
    rng = np.random.default_rng([seed, rows, dimension, list(BY_NAME).index((of, name)), round(abs(10 * (inner or 0)))])
    half = None
    for index in range(replicates):
        drawn = law.draw(shape, rows, dimension, rng)
        if dimension == 1:
            signed = drawn * rng.choice([-1.0, 1.0], rows)
            drawn = np.abs(signed - np.median(signed))
            half = float(np.ptp(signed)) / 2
        norms = Norms.of(drawn, dimension, half)
        found[index] = distance(fit(law, norms, intervals=False, start=(1.0, shape), precise=1e-9), norms)
    return found


def subsample(norms: AnyArray, size: int, rng: np.random.Generator) -> AnyArray:
    """Draw norms without replacement; all of them where there are no more.

    Parameters
    ----------
    norms : numpy.ndarray
        Norms, (N,).
    size : int
        The most that are drawn.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    numpy.ndarray
        Norms, (min(N, size),).

    Examples
    --------
    >>> subsample(np.arange(10.0), 3, np.random.default_rng(0)).shape
    (3,)
    """
    if len(norms) <= size:
        return norms
    return norms[rng.choice(len(norms), size, replace=False, shuffle=False)]


def vuong(fitted: Fit, rival: Fit, norms: Norms) -> tuple[float, float] | None:
    """Test by Vuong's statistic which of two laws is nearer to the true one, in Kullback and Leibler's sense.

    The difference of log-likelihoods, less Schwarz's penalty for parameters, over its standard error; the units are rows. It
    says little of laws of which one is a special case of the other and true.

    Parameters
    ----------
    fitted, rival : Fit
        Both laws, fitted to `norms`.
    norms : Norms
        Norms of rows.

    Returns
    -------
    tuple of float or None
        Standard normal statistic, positive where `fitted` is nearer, and its two-sided p-value; None where both laws have the same
        densities.

    References
    ----------
    Vuong (1989), Likelihood ratio tests for model selection and non-nested hypotheses.

    Examples
    --------
    >>> norms = Norms.of(np.abs(np.random.default_rng(0).laplace(size=2000)), 1)
    >>> laplace, gaussian = (fit(BY_NAME["entries", name], norms) for name in ("laplace", "gaussian"))
    >>> z, p = vuong(laplace, gaussian, norms)
    >>> bool(z > 3 and p < 0.01)
    True
    """
    differences = fitted.log_densities(norms) - rival.log_densities(norms)
    mean = float(np.average(differences, weights=norms.counts))
    variance = float(np.average((differences - mean) ** 2, weights=norms.counts))
    if not variance > 1e-12:
        return None
    penalty = (fitted.law.parameters - rival.law.parameters) / 2 * math.log(norms.weights)
    z = (mean * norms.rows - penalty) / math.sqrt(variance * norms.rows)
    return z, math.erfc(abs(z) / math.sqrt(2))
