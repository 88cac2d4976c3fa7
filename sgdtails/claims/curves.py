"""Curves of figure 8: what share of a simulated matrix can be removed, against its tail index, with the curves' own error."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.tail_index.mmo import CLIP

Reals = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]  # of one structure


def gaussian_pruned(p: float, epsilon: float) -> float:
    """Return 1 - kappa_p(w, epsilon) of infinitely many independent normal entries.

    Entries below t hold the share gammainc((p + 1)/2, t^2/2) of the mean of |x|^p, which may be epsilon^p.

    Parameters
    ----------
    p : float
        Of the lp norm, above 0.
    epsilon : float
        Relative error between 0 and 1.

    Returns
    -------
    float
        The share of entries that can be removed.

    Examples
    --------
    >>> round(gaussian_pruned(2, 0.1), 4)
    0.2653
    """
    from scipy.special import gammainc, gammaincinv

    return float(gammainc(0.5, gammaincinv((p + 1) / 2, epsilon**p)))


def points(rows: Rows) -> tuple[Reals, Reals]:
    """Return tail indices and 1 - kappa of simulated matrices, (n,) each, in the order of their draws."""
    ordered = sorted(rows, key=lambda row: row["draw"])
    return np.array([row["alpha"] for row in ordered]), np.array([1 - row["kappa"] for row in ordered])


def of_matrices(rows: Rows, *, bins: int) -> tuple[Reals, Reals]:
    """Return the curve through the medians of simulated matrices, (groups + 2,) each: x and y of ``through_medians``."""
    x, y = points(rows)
    xs, ys = through_medians(x, y, np.arange(len(x))[None], end=_end(rows), bins=bins)
    return xs[0], ys[0]


def of_resamples(rows: Rows, *, bins: int, bootstrap: int, rng: np.random.Generator) -> tuple[Reals, Reals]:
    """Return curves of bootstrap resamples of the matrices; structures whose draws are the same share their resamples."""
    x, y = points(rows)
    chosen = rng.integers(0, len(x), (bootstrap, len(x)))
    return through_medians(x, y, chosen, end=_end(rows), bins=bins)


def _end(rows: Rows) -> float:
    return gaussian_pruned(rows[0]["p"], rows[0]["epsilon"])


def through_medians(x: Reals, y: Reals, chosen: NDArray[np.intp], *, end: float, bins: int) -> tuple[Reals, Reals]:
    """Draw curves through the medians of groups of points, in the order of x.

    Sizes of groups are equal to within one. The first line goes on to the smallest x of all. The curve ends at (2, ``end``),
    since at 2 every structure has normal entries.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Points.
    chosen : ndarray of shape (B, n)
        Which points each curve is drawn from.
    end : float
        Value at 2.
    bins : int
        Number of groups; there are at most n.

    Returns
    -------
    tuple of ndarray of shape (B, groups + 2)
        x and y of the curves.
    """
    rank = np.empty(len(x), dtype=np.intp)
    rank[order := np.argsort(x, kind="stable")] = np.arange(len(x))
    groups = np.array_split(order[np.sort(rank[chosen], axis=1)], min(bins, len(x)), axis=1)
    xs = np.stack([np.median(x[group], axis=1) for group in groups], axis=1)
    ys = np.stack([np.median(y[group], axis=1) for group in groups], axis=1)
    xs, ys = np.append(xs, np.full((len(xs), 1), CLIP), axis=1), np.append(ys, np.full((len(ys), 1), end), axis=1)
    run = xs[:, 1] - xs[:, 0]
    slope = np.divide(ys[:, 1] - ys[:, 0], run, out=np.zeros_like(run), where=run > 0)
    first = x.min()
    xs = np.insert(xs, 0, first, axis=1)
    ys = np.insert(ys, 0, ys[:, 0] + slope * (first - xs[:, 1]), axis=1)
    return xs, ys


def distances(indices: Reals, ratios: Reals, xs: Reals, ys: Reals) -> Reals:
    """Return |1 - kappa - curve| of layers (n,), given with their tail indices, for each of the curves (B, groups): (B, n)."""
    found: Reals = np.abs(ratios - np.array([np.interp(indices, x, y) for x, y in zip(xs, ys, strict=True)]))
    return found
