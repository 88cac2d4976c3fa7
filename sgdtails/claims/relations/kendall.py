"""Kendall's tau of two quantities over runs, and the granulated tau, for which one setting changes at a time.

Both are weighted sums over pairs of runs, so a permutation is an index and a resample a vector of counts, as in ``statistics``.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.claims.study import held

Reals = NDArray[np.float64]
Groups = Mapping[str, Sequence[NDArray[np.intp]]]  # of runs, by axis
# Settings of which one can change while all others stay. The number of training images is none: another number is another dataset.
AXES = ("batch_size", "step_size", "width", "depth", "momentum", "weight_decay", "noise_scale", "noise_alpha")


def tau(x: Reals, y: Reals, orders: NDArray[np.intp]) -> tuple[float, Reals]:
    """Compute Kendall's tau-b, and its values when points of x are permuted.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Points.
    orders : ndarray of shape (n, P)
        Permutations, as ``statistics.Draws.orders``.

    Returns
    -------
    tuple of float and ndarray of shape (P,)
        NaN where a variable is constant.

    Examples
    --------
    >>> tau(np.array([1.0, 2, 3]), np.array([1.0, 8, 27]), np.array([[0, 2], [1, 1], [2, 0]]))[1].tolist()
    [1.0, -1.0]
    """
    a, b = _signs(x), _signs(y)
    scale = math.sqrt(float(np.abs(a).sum()) * float(np.abs(b).sum()))
    if not scale:
        return math.nan, np.full(orders.shape[1], math.nan)
    return float((a * b).sum()) / scale, _permuted(x, b, orders) / scale


def resampled_tau(x: Reals, y: Reals, counts: Reals) -> Reals:
    """Compute ``tau`` of each bootstrap resample (B,), given by ``counts`` (n, B); NaN where a resample is constant."""
    a, b = _signs(x), _signs(y)
    untied = _weighted(np.abs(a), counts) * _weighted(np.abs(b), counts)
    return _ratio(_weighted(a * b, counts), np.sqrt(untied))


def groups(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[NDArray[np.intp]]]:
    """Group runs that differ in one setting alone, for each setting that so changes.

    Parameters
    ----------
    runs : sequence of mapping
        Rows of table ``runs``.

    Returns
    -------
    dict of str to list of ndarray
        Positions of the runs of each group, by axis; a run can be in a group of each axis. Runs of a group have one seed.

    Examples
    --------
    >>> runs = [{"batch_size": b, "step_size": eta} for b in (50, 100) for eta in (0.1, 0.2)]
    >>> {axis: [group.tolist() for group in found] for axis, found in groups(runs).items()}
    {'batch_size': [[0, 2], [1, 3]], 'step_size': [[0, 1], [2, 3]]}
    """
    found: dict[str, list[NDArray[np.intp]]] = {}
    for axis in AXES:
        alike: dict[tuple[Any, ...], list[int]] = {}
        for place, run in enumerate(runs):
            if run.get(axis) is not None:
                alike.setdefault(tuple(run.get(name) for name in (*held(axis), "seed")), []).append(place)
        kept = [np.array(group) for group in alike.values() if len({runs[place][axis] for place in group}) > 1]
        if kept:
            found[axis] = kept
    return found


def granulated(x: Reals, y: Reals, orders: NDArray[np.intp], alike: Groups) -> tuple[float, Reals]:
    """Compute the granulated Kendall coefficient, and its values when points of x are permuted.

    For each axis it has the mean of tau over the groups of runs that differ in that axis alone; then the mean over axes (Jiang,
    Neyshabur, Mobahi, Krishnan and Bengio 2020, Fantastic generalization measures and where to find them, section 4.1). As there,
    a tied pair counts as 0.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Points.
    orders : ndarray of shape (n, P)
        Permutations of all runs.
    alike : mapping
        Groups by axis, from ``groups``; at least one.

    Returns
    -------
    tuple of float and ndarray of shape (P,)
        The coefficient and its values.

    Examples
    --------
    >>> alike = {"step_size": [np.array([0, 1]), np.array([2, 3])]}
    >>> granulated(np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 1, 2]), np.arange(4)[:, None], alike)[0]
    1.0
    """
    a, b = _signs(x), _signs(y)
    weights = np.zeros_like(a)
    for found in alike.values():
        for group in found:
            pairs = len(group) * (len(group) - 1)
            weights[np.ix_(group, group)] += 1 / (len(alike) * len(found) * pairs)
    return float((weights * a * b).sum()), _permuted(x, weights * b, orders)


def resampled_granulated(x: Reals, y: Reals, counts: Reals, alike: Groups) -> Reals:
    """Compute ``granulated`` of each resample (B,) of runs; groups, and axes, of which it has no pair do not count in its means."""
    products = _signs(x) * _signs(y)
    axes = []
    for found in alike.values():
        taus = []
        for group in found:
            drawn = counts[group]
            pairs = drawn.sum(axis=0) ** 2 - (drawn**2).sum(axis=0)  # a run drawn twice is no pair with itself
            taus.append(_ratio(_weighted(products[np.ix_(group, group)], drawn), pairs))
        axes.append(_mean(taus))
    return _mean(axes)


def _mean(values: Sequence[Reals]) -> Reals:
    """Average over what is not NaN; NaN where nothing is."""
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    return _ratio(np.where(known, stacked, 0).sum(axis=0), known.sum(axis=0))


def _signs(x: Reals) -> Reals:
    """Return the signs of differences (n, n)."""
    ranks = _ranks(x)
    return np.sign(ranks[:, None] - ranks)


def _ranks(x: Reals) -> Reals:
    """Return ranks: unlike values, two infinite ones have a difference."""
    from scipy.stats import rankdata

    found: Reals = rankdata(x)
    return found


def _weighted(products: Reals, counts: Reals) -> Reals:
    found: Reals = (counts * (products @ counts)).sum(axis=0)
    return found


def _permuted(x: Reals, b: Reals, orders: NDArray[np.intp]) -> Reals:
    """Sum the signs of differences of permuted x times b (n, n) over pairs, for each order; b is antisymmetric."""
    ranks, total = _ranks(x)[orders], np.zeros(orders.shape[1])
    for i, row in enumerate(b):
        others = np.flatnonzero(row[i + 1 :]) + i + 1
        if len(others):
            total += row[others] @ np.sign(ranks[i] - ranks[others])
    return 2 * total


def _ratio(above: Reals, below: Reals | NDArray[Any]) -> Reals:
    found: Reals = np.divide(above, below, out=np.full(np.shape(above), math.nan), where=below > 0)
    return found
