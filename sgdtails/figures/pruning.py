"""Figures 4, 5, 6, 9 and 10, and those of rows, filters and channels: accuracy against pruning ratio, a line per run."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from sgdtails.figures import theme
from sgdtails.figures.elements import colours, names
from sgdtails.figures.elements.arrange import grid
from sgdtails.figures.elements.run_panels import NAMES, Rows, converged_by_title, run_panels
from sgdtails.figures.networks import PAPERS
from sgdtails.figures.plot import Plot
from sgdtails.labels import Labels
from sgdtails.tail_index.network_index import Index

_FROM = 0.5  # share removed at which axes begin
_TOP = 1.05  # end of the axis of accuracies
_INSET = (0.48, 0.46)  # width and height that an inset takes, labels included, as shares of those of the axes
Curve = tuple[list[float], list[float], Any]  # shares removed, accuracies, colour


def accuracy(
    runs: pa.Table,
    pruning: pa.Table,
    *,
    method: str,
    scheme: str = "ratio",
    index: Index = PAPERS,
    labels: Labels = NAMES,
) -> Plot:
    """Plot relative test accuracy against the share removed: one line per converged run, darker for heavier tails.

    Axes begin at 0.5, where the curves part. An inset in a free corner has the rest; without one, axes show everything.

    Parameters
    ----------
    runs, pruning : pyarrow.Table
        The tables of these names.
    method : str
        A pruning method, as in column ``method``.
    scheme : {"ratio", "error"}
        Networks whose layers were all pruned by one ratio (lines), or to one relative error (lines with dots).
    index : Index
        The definition of a network's tail index, for the label.
    labels : Labels
        What models and datasets are called.

    Returns
    -------
    Plot
        One panel per model, dataset and variant that was pruned by this method. The colour scales are those of all runs, so
        figures of several methods can be compared.

    References
    ----------
    Figures 4 to 6, 9 and 10 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> read = [tables.read(f"studies/mnist-narrow/tables/{name}.parquet") for name in ("runs", "pruning")]
    >>> list(accuracy(*read, method="node").panels), list(accuracy(*read, method="kernel").panels)
    (['FCN4, MNIST'], [])
    """
    by_error = scheme == "error"
    lines: dict[str, Rows] = {}
    for row in pruning.to_pylist():
        same = (row["method"], row.get("epsilon") is not None) == (method, by_error)
        if same and row["weights"] != "initial":
            lines.setdefault(row["run"], []).append(row)
    shown = converged_by_title(runs, labels)
    alphas = {title: [row["alpha"] for row in rows] for title, rows in shown.items()}
    scales = colours.scales(alphas, names.axis(index))
    by_run = {row["run"]: scales[title].mappable for title, rows in shown.items() for row in rows}
    one = colours.common(scales)
    draw = partial(_accuracy, lines=lines, by_run=by_run, dots=by_error)
    error = "\nevery layer at one relative $\\ell_2$ error" if by_error else ""
    return Plot(
        run_panels(runs, draw, among=lines, labels=labels, scales={} if one else scales),
        partial(grid, sharey=True),
        xlabel=theme.REMOVED + error,
        ylabel="relative test accuracy",
        scale=one,
    )


def _accuracy(
    axes: Axes, rows: Rows, *, lines: dict[str, Rows], by_run: Mapping[str, ScalarMappable], dots: bool
) -> None:
    curves = []
    for run in sorted(rows, key=lambda run: -run["alpha"]):
        line = sorted(lines[run["run"]], key=lambda row: row["pruned_ratio"])
        x, y = ([row[name] for row in line] for name in ("pruned_ratio", "relative_test_accuracy"))
        curves.append((x, y, by_run[run["run"]].to_rgba(run["alpha"])))
    _draw(axes, curves, dots=dots)
    axes.set_ylim(0, _TOP)
    first = min((x[0] for x, _, _ in curves if x), default=_FROM)
    corner = None if dots else _free_corner([(x, y) for x, y, _ in curves])
    if corner is None or first >= _FROM:
        return
    axes.set_xlim(_FROM, 1.01)
    inset = axes.inset_axes((corner[0] + 0.22, corner[1] + 0.14, _INSET[0] - 0.25, _INSET[1] - 0.19))
    _draw(inset, curves, dots=dots)
    lowest = min((value for x, y, _ in curves for place, value in zip(x, y, strict=True) if place <= _FROM), default=0)
    bottom = math.floor(100 * min(lowest, 0.99)) / 100
    inset.set(xlim=(min(0.0, first), _FROM), ylim=(bottom, 1 + (1 - bottom) / 2))
    inset.set_xticks([0, _FROM], ["0", f"{_FROM:g}"])
    inset.set_yticks([bottom, 1], [f"{bottom:.2f}", "1"])
    inset.tick_params(labelsize=theme.font(7), length=2, pad=1)
    inset.grid(False)


def _draw(axes: Axes, curves: list[Curve], *, dots: bool) -> None:
    for x, y, colour in curves:
        axes.plot(
            x,
            y,
            color=colour,
            linewidth=theme.line(0.5 if dots else 0.9),
            marker="o" if dots else None,
            markersize=theme.marker(2.5),
        )


def _free_corner(curves: list[tuple[list[float], list[float]]]) -> tuple[float, float] | None:
    """Find a corner of the axes, as fractions, where an inset hides no curve."""
    places = np.linspace(_FROM, 1, 201)
    heights = [np.interp(places, x, y) / _TOP for x, y in curves if x]
    width, height = _INSET
    for left, bottom in ((0.0, 0.0), (1 - width, 1 - height)):
        within = (places >= _FROM + left * (1 - _FROM)) & (places <= _FROM + (left + width) * (1 - _FROM))
        taken = [(y[within] > bottom) & (y[within] < bottom + height) for y in heights]
        if not np.any(taken):
            return left, bottom
    return None
