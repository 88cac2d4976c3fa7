"""Figures 1 and 7: a point per network."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import cast

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from sgdtails.figures import theme
from sgdtails.figures.elements import colours, names, ticks
from sgdtails.figures.elements.arrange import grid
from sgdtails.figures.elements.run_panels import NAMES, Rows, converged_by_title, run_panels
from sgdtails.figures.plot import Plot
from sgdtails.io.tables import accuracy_of
from sgdtails.labels import Labels
from sgdtails.tail_index import network_intervals
from sgdtails.tail_index.network_index import Index

PAPERS = Index()


def tail_indices(runs: pa.Table, tails: pa.Table, *, index: Index = PAPERS, labels: Labels = NAMES) -> Plot:
    """Plot the tail index against eta/b: one point per converged run, one marker per batch size.

    Bars are 95% intervals where the index has them: where it is the mean over layers of ``alpha``, not clipped. The
    tables have no interval for ``alpha_published``; for it a line joins runs that differ by their seed only.

    Parameters
    ----------
    runs, tails : pyarrow.Table
        The tables of these names.
    index : Index
        The definition of a network's tail index, for the label and the intervals.
    labels : Labels
        What models and datasets are called.

    Returns
    -------
    Plot
        One panel per model, dataset and variant.

    References
    ----------
    Figure 1 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> read = [tables.read(f"studies/mnist-narrow/tables/{name}.parquet") for name in ("runs", "tails")]
    >>> list(tail_indices(*read).panels)
    ['FCN4, MNIST']
    """
    sizes = sorted(set(runs["batch_size"].to_pylist()))
    draw = partial(_tail_indices, sizes=sizes, intervals=network_intervals.of_runs(tails, index))
    panels = run_panels(runs, draw, labels=labels)
    return Plot(
        panels,
        partial(grid, legend=[_size(size) for size in sizes], sharey=True),
        xlabel=theme.RATIO,
        ylabel=names.axis(index),
    )


def _tail_indices(axes: Axes, rows: Rows, *, sizes: list[int], intervals: Mapping[str, tuple[float, float]]) -> None:
    for size, (shape, colour) in zip(sizes, itertools.cycle(theme.markers()), strict=False):
        of_size = [row for row in rows if row["batch_size"] == size]
        points = [(row["eta_over_b"], row["alpha"]) for row in of_size]
        scatter(axes, points, shape, colour, label=_size(size))
        bars = _bars(of_size, intervals)
        if bars:
            x, low, high = zip(*bars, strict=True)
            axes.vlines(x, low, high, color=colour, linewidth=theme.line(0.7), alpha=0.6)
            what = "95% interval" if intervals else "range over seeds"
            axes.plot([], [], color=theme.grey(), linewidth=theme.line(0.7), label=what)
    axes.set_xscale("log")
    ticks.label_log(axes.xaxis)


def _size(batch_size: int) -> str:
    return f"$b$ = {batch_size}"


def _bars(rows: Rows, intervals: Mapping[str, tuple[float, float]]) -> list[tuple[float, float, float]]:
    """Return place and ends of vertical lines: intervals of runs, or the range of runs that differ by their seed only."""
    if intervals:
        return [(row["eta_over_b"], *intervals[row["run"]]) for row in rows if row["run"] in intervals]
    alike: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        alike.setdefault((row["eta_over_b"], row["step_size"]), []).append(row["alpha"])
    return [(x, min(alphas), max(alphas)) for (x, _), alphas in alike.items() if len(alphas) > 1]


def accuracies(runs: pa.Table, *, weights: str = "last", index: Index = PAPERS, labels: Labels = NAMES) -> Plot:
    """Plot test accuracy against the tail index: one point per converged run, coloured by eta/b.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    weights : {"last", "average", "converged"}
        The weights whose accuracy is shown.
    index : Index
        The definition of a network's tail index, for the label.
    labels : Labels
        What models and datasets are called.

    Returns
    -------
    Plot
        One panel per model, dataset and variant. One colour scale for all, unless it would hide the order in a panel.

    References
    ----------
    Figure 7 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> plot = accuracies(tables.read("studies/mnist-narrow/tables/runs.parquet"))
    >>> plot.ylabel, plot.scale.logarithmic
    ('test accuracy (%)', True)
    """
    shown = converged_by_title(runs, labels)
    ratios = {title: [row["eta_over_b"] for row in rows] for title, rows in shown.items()}
    scales = colours.scales(ratios, theme.RATIO, reverse=True, logarithmic=True)
    by_run = {row["run"]: scales[title].mappable for title, rows in shown.items() for row in rows}
    one = colours.common(scales)
    draw = partial(_accuracies, weights=weights, by_run=by_run)
    return Plot(
        run_panels(runs, draw, labels=labels, scales={} if one else scales),
        partial(grid, sharey=True),
        xlabel=names.axis(index),
        ylabel="test accuracy (%)",
        scale=one,
    )


def _accuracies(axes: Axes, rows: Rows, *, weights: str, by_run: Mapping[str, ScalarMappable]) -> None:
    if not rows:
        return
    rows = [row for row in rows if accuracy_of(row, weights) is not None]
    if not rows:  # tables of an older version, beside those of another study
        theme.annotate_empty(axes, f"no accuracy\nof weights '{weights}'")
        return
    alpha, ratio = ([row[key] for row in rows] for key in ("alpha", "eta_over_b"))
    accuracy = [100 * accuracy_of(row, weights) for row in rows]
    area, scale = 14 * theme.marker(1) ** 2, by_run[rows[0]["run"]]
    axes.scatter(
        alpha, accuracy, c=ratio, norm=cast("Normalize", scale.norm), cmap=scale.cmap, s=area, alpha=0.85, linewidths=0
    )


def scatter(
    axes: Axes, points: list[tuple[float, float]], shape: str, colour: str, *, label: str = "", size: float = 3.5
) -> None:
    """Draw points, if there are any.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    points : list of (float, float)
        Their places.
    shape, colour : str
        Marker and colour.
    label : str
        Entry of the legend; empty for none.
    size : float
        Marker size in points where ``lines.markersize`` is 3.5.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> scatter(axes, [(1.0, 2.0)], "o", "black")
    >>> axes.lines[0].get_xydata().tolist()
    [[1.0, 2.0]]
    """
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(
            x, y, shape, color=colour, alpha=0.8, linestyle="none",
            markersize=theme.marker(size), markeredgewidth=theme.line(0.7), label=label or None,
        )  # fmt: skip
