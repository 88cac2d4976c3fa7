"""Curves of figure 8: what share of a simulated matrix can be removed, against its tail index, with the curves' own error."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.tail_index.mmo import CLIP

Reals = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]  # of one structure


def gaussian_pruned(p: float, epsilon: float) -> float:
    """1 - kappa_p(w, epsilon) of infinitely many independent normal entries, for any p > 0 and 0 < epsilon < 1.

    Entries below t hold the share gammainc((p + 1)/2, t^2/2) of the mean of |x|^p, which may be epsilon^p.

    >>> round(gaussian_pruned(2, 0.1), 4)
    0.2653
    """
    from scipy.special import gammainc, gammaincinv

    return float(gammainc(0.5, gammaincinv((p + 1) / 2, epsilon**p)))


def points(rows: Rows) -> tuple[Reals, Reals]:
    """Tail indices and 1 - kappa of simulated matrices, (n,) each, in the order of their draws."""
    ordered = sorted(rows, key=lambda row: row["draw"])
    return np.array([row["alpha"] for row in ordered]), np.array([1 - row["kappa"] for row in ordered])


def curve(rows: Rows, *, bins: int) -> tuple[Reals, Reals]:
    """The curve through the medians of simulated matrices, (groups + 2,) each: ``curves`` of the matrices as they are."""
    x, y = points(rows)
    xs, ys = curves(x, y, np.arange(len(x))[None], end=gaussian_pruned(rows[0]["p"], rows[0]["epsilon"]), bins=bins)
    return xs[0], ys[0]


def resampled(rows: Rows, *, bins: int, bootstrap: int, rng: np.random.Generator) -> tuple[Reals, Reals]:
    """``curves`` of bootstrap resamples of the matrices; structures whose draws are the same share their resamples."""
    x, y = points(rows)
    chosen = rng.integers(0, len(x), (bootstrap, len(x)))
    return curves(x, y, chosen, end=gaussian_pruned(rows[0]["p"], rows[0]["epsilon"]), bins=bins)


def curves(x: Reals, y: Reals, chosen: NDArray[np.intp], *, end: float, bins: int) -> tuple[Reals, Reals]:
    """Curves (B, groups + 2) through the medians of ``bins`` groups, in the order of x, of points (n,) ``chosen`` as (B, n).

    Sizes of groups are equal to within one; there are at most n. The first line goes on to the smallest x of all; the curve
    ends at (2, ``end``), since at 2 every structure has normal entries.
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
    """|1 - kappa - curve| of layers (n,), given with their tail indices, for each of the curves (B, groups): (B, n)."""
    return np.abs(ratios - np.array([np.interp(indices, x, y) for x, y in zip(xs, ys, strict=True)]))
