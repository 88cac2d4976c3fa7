"""Does a quantity change with a column of the run table? A slope per family of runs, such as those of one step size."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.claims import quantities, statistics
from sgdtails.claims.evidence import Evidence, Settings, sample_of
from sgdtails.claims.study import Run, Study

Reals = NDArray[np.float64]
_TINY = 1e-9  # a share of the variance of x: below it a resample has one value of x


def trend(claim: Mapping[str, Any], study: Study, runs: Sequence[Run], settings: Settings) -> Evidence | None:
    """Measure the slope of a quantity per doubling of a column, by least squares, over the runs of one family.

    The runs of a family differ by the column and their seeds alone. If the column changes nothing, they are exchangeable: its
    values are permuted among them. Runs are resampled for the interval, whose ends are those of Student's where these are wider.

    Parameters
    ----------
    claim : mapping
        ``x`` names a column of table ``runs`` and ``y`` a quantity.
    study : Study
        Tables of the study.
    runs : sequence of dict
        Rows of table ``runs`` of one family.
    settings : Settings
        How claims are tested.

    Returns
    -------
    Evidence or None
        None if no run has the quantity.
    """
    sample = sample_of(study, runs, {"of": "column", "column": claim["x"]}, claim["y"], finite=True)
    if sample is None:
        return None
    name = claim["x"].replace("_", " ")
    found = sample.evidence("slope_per_doubling", settings, variables=(name, quantities.words(study, claim["y"])))
    if found.why_not:
        return found
    x, y = sample.values
    if not (x > 0).all():
        found.why_not = f"There is no doubling: {name} is 0 or less in a run."
        return found
    fill(found, np.log2(x), y, settings)
    return found


def fill(found: Evidence, x: Reals, y: Reals, settings: Settings) -> None:
    """Fill in the least-squares slope of y (n,) on x (n,), its interval and its p-value."""
    draws = settings.draws(found.n)
    found.effect, null = slope(x, y, draws.orders)
    resampled = resampled_slope(x, y, draws.counts)
    found.bound(lambda level: slope_interval(x, y, resampled, level))
    found.p = statistics.p_value(null, found.effect, exact=draws.exact_orders)
    found.smallest_p = statistics.smallest_p(found.n)


def slope(x: Reals, y: Reals, orders: NDArray[np.intp]) -> tuple[float, Reals]:
    """Fit a line by least squares; return its slope, and its values under permutations of one side.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Points; x is not constant.
    orders : ndarray of shape (n, P)
        Permutations, as ``Draws.orders``.

    Returns
    -------
    tuple of float and ndarray of shape (P,)
        The slope, and the slopes of permuted points.

    Examples
    --------
    >>> slope(np.array([0.0, 1, 2]), np.array([1.0, 3, 5]), np.array([[0, 2], [1, 1], [2, 0]]))[1].tolist()
    [2.0, -2.0]
    """
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return float(weights @ y), weights @ y[orders]


def resampled_slope(x: Reals, y: Reals, counts: Reals) -> Reals:
    """Return the least-squares ``slope`` of each bootstrap resample (B,); NaN where its x are all equal."""
    n = len(x)
    x, y = x - x.mean(), y - y.mean()
    means = x @ counts / n
    above, below = (x * y) @ counts / n - means * (y @ counts / n), (x * x) @ counts / n - means**2
    slopes: Reals = np.divide(above, below, out=np.full(len(means), math.nan), where=below > _TINY * (x * x).mean())
    return slopes


def slope_interval(x: Reals, y: Reals, resampled: Reals, level: float = 0.95) -> tuple[float, float]:
    """Return an interval for a slope: the wider of that of its resamples (B,) and Student's, at either end; see ``mean_interval``."""
    from scipy.special import stdtrit

    n, middle = len(x), float(np.polyfit(x, y, 1)[0])
    rest = y - y.mean() - middle * (x - x.mean())
    error = math.sqrt(float(rest @ rest) / max(n - 2, 1) / float(((x - x.mean()) ** 2).sum()))
    half = float(stdtrit(max(n - 2, 1), (1 + level) / 2)) * error
    low, high = statistics.percentile_interval(resampled, n, level)
    return min(low, middle - half), max(high, middle + half)


def theil_sen(x: Reals, y: Reals, counts: Reals | None = None) -> Reals:
    """Return the median slope over pairs of points with different x (n,), of each resample (B,) given by ``counts``, else of the sample (1,).

    NaN where every x is equal.
    """
    first, second = np.triu_indices(len(x), 1)
    apart = x[first] != x[second]
    first, second = first[apart], second[apart]
    if not len(first):
        return np.full(1 if counts is None else counts.shape[1], math.nan)
    slopes = (y[second] - y[first]) / (x[second] - x[first])
    if counts is None:
        return np.array([np.median(slopes)])
    order = np.argsort(slopes)
    weight = np.cumsum(counts[first[order]] * counts[second[order]], axis=0)
    half = weight[-1] / 2
    ordered = slopes[order]
    lower, upper = (weight < half).sum(axis=0), (weight <= half).sum(axis=0)
    last = len(ordered) - 1
    median = (ordered[np.minimum(lower, last)] + ordered[np.minimum(upper, last)]) / 2
    return np.where(half > 0, median, math.nan)
