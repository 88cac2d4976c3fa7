"""Figures 1 and 7: a point per network."""

import itertools
from functools import partial

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm

from sgdtails.figures import theme
from sgdtails.figures.plot import ColourScale, Plot, grid
from sgdtails.figures.run_panels import Rows, run_panels
from sgdtails.io.tables import accuracy_of, converged
from sgdtails.tail_index.network_index import Index

PAPERS = Index()


def tail_indices(runs: pa.Table, *, index: Index = PAPERS) -> Plot:
    """Plot the tail index against eta/b: one point per converged run, one marker per batch size.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    index : Index
        The definition of a network's tail index, for the label.

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
    >>> list(tail_indices(tables.read("studies/mnist-narrow/tables/runs.parquet")).panels)
    ['FCN4, MNIST']
    """
    sizes = sorted(set(runs["batch_size"].to_pylist()))
    panels = run_panels(runs, partial(_tail_indices, sizes=sizes))
    return Plot(panels, partial(grid, legend=True), xlabel=theme.RATIO, ylabel=index.axis)


def _tail_indices(axes: Axes, rows: Rows, *, sizes: list[int]) -> None:
    for size, (shape, colour) in zip(sizes, itertools.cycle(theme.markers()), strict=False):
        points = [(row["eta_over_b"], row["alpha"]) for row in rows if row["batch_size"] == size]
        scatter(axes, points, shape, colour, label=f"$b$ = {size}")
    axes.set_xscale("log")
    theme.label_log(axes.xaxis)


def accuracies(runs: pa.Table, *, weights: str = "last", index: Index = PAPERS) -> Plot:
    """Plot test accuracy against the tail index: one point per converged run, coloured by eta/b.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    weights : {"last", "average", "converged"}
        The weights whose accuracy is shown.
    index : Index
        The definition of a network's tail index, for the label.

    Returns
    -------
    Plot
        One panel per model, dataset and variant; one colour scale for all.

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
    ratios = [row["eta_over_b"] for row in converged(runs)] or [1e-3, 1e-1]
    norm = LogNorm(min(ratios), max(ratios) if max(ratios) > min(ratios) else 2 * min(ratios))
    return Plot(
        run_panels(runs, partial(_accuracies, weights=weights, norm=norm)),
        grid,
        xlabel=index.axis,
        ylabel="test accuracy (%)",
        scale=ColourScale(ScalarMappable(norm, "cividis_r"), theme.RATIO, logarithmic=True),
    )


def _accuracies(axes: Axes, rows: Rows, *, weights: str, norm: LogNorm) -> None:
    alpha, ratio = ([row[key] for row in rows] for key in ("alpha", "eta_over_b"))
    accuracy = [100 * accuracy_of(row, weights) for row in rows]
    area, edge = 14 * theme.marker(1) ** 2, theme.line(0.3)
    axes.scatter(
        alpha, accuracy, c=ratio, norm=norm, cmap="cividis_r", s=area, edgecolors=theme.grey(), linewidths=edge
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
