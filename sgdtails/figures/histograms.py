"""Figures 2 and 12: histograms of a layer's weights and of heavy-tailed draws."""

from functools import partial
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgdtails.figures import theme
from sgdtails.figures.plot import Panel, Plot
from sgdtails.figures.run_panels import Rows, by_title

_COMPARISONS = {
    "halves": (("half_a", "half A"), ("half_b", "half B")),
    "stable sample": (("all", "weights"), ("stable", "stable sample")),
}


def layers(histograms: pa.Table) -> Plot:
    """Plot histograms of one layer: two random halves of its weights, and all of them beside a stable sample.

    Parameters
    ----------
    histograms : pyarrow.Table
        Table ``histograms``.

    Returns
    -------
    Plot
        Two panels per model, dataset and variant, such as ``FCN4, MNIST: halves`` and ``FCN4, MNIST: stable sample``;
        the sample has the tail index of the layer.

    References
    ----------
    Figure 2 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> list(layers(tables.read("studies/mnist-narrow/tables/histograms.parquet")).panels)
    ['FCN4, MNIST: halves', 'FCN4, MNIST: stable sample']
    """
    panels = {}
    for title, rows in by_title(histograms.to_pylist()).items():
        name = theme.shorten_left(rows[0]["layer_name"], 22)
        between = ", " if len(name) < 12 else "\n"
        note = f"{name}{between}$\\hat\\alpha$ = {rows[0]['alpha']:.2f}"
        for comparison, series in _COMPARISONS.items():
            panels[f"{title}: {comparison}"] = Panel(partial(_layer, rows=rows, series=series), title, note)
    return Plot(panels, _two_rows, xlabel="weight", ylabel="density")


def _layer(axes: Axes, *, rows: Rows, series: tuple[tuple[str, str], ...]) -> None:
    for (name, label), colour in zip(series, theme.palette(2), strict=True):
        bins = [row for row in rows if row["series"] == name]
        edges = [row["low"] for row in bins] + [bins[-1]["high"]]
        density = [row["density"] for row in bins]
        axes.stairs(density, edges, color=colour, alpha=0.45, fill=True, label=label)
        axes.stairs(density, edges, color=colour, linewidth=theme.line(0.6))
    axes.set_yscale("log")


def _two_rows(plot: Plot) -> Figure:
    columns = len(plot.panels) // 2
    figure = theme.new_figure(max(theme.COLUMN, 1.75 * columns), 3.4)
    grid = figure.subplots(2, max(1, columns), squeeze=False, sharey="row")
    for number, panel in enumerate(plot.panels.values()):
        axes = grid[number % 2, number // 2]
        panel.draw(axes)
        if number % 2 == 0:
            axes.set_title(panel.heading(1.75))
    for axes in grid[:, 0]:
        axes.set_ylabel(plot.ylabel)
    figure.supxlabel(plot.xlabel)
    if not plot.panels:
        theme.annotate_empty(grid[0, 0], "no run converged")
    for axes in grid[:, -1] if plot.panels else ():
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def magnitudes(magnitudes: pa.Table) -> Plot:
    r"""Plot a histogram of the magnitudes of independent stable draws: a few of them hold most of the squared norm.

    Parameters
    ----------
    magnitudes : pyarrow.Table
        Table ``magnitudes``.

    Returns
    -------
    Plot
        One panel, ``magnitudes``.

    References
    ----------
    Figure 12 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> print(magnitudes(tables.read("studies/mnist-narrow/tables/magnitudes.parquet")).panels["magnitudes"].note)
    10,000 draws, $\alpha$ = 1.7: the 190 above 5.4
    hold 94% of the squared norm
    """
    rows = magnitudes.to_pylist()
    draws, beyond = sum(row["count"] for row in rows), rows[1:]
    note = (
        f"{draws:,} draws, $\\alpha$ = {rows[0]['alpha']:g}: the {sum(row['count'] for row in beyond)} above "
        f"{rows[0]['high']:.3g}\nhold {100 * sum(row['share'] for row in beyond):.0f}% of the squared norm"
    )
    panel = Panel(partial(_magnitudes, rows=rows), note=note, xlabel=r"$|x|$", ylabel="draws")
    return Plot({"magnitudes": panel}, _alone)


def _magnitudes(axes: Axes, *, rows: list[dict[str, Any]]) -> None:
    edges = [row["low"] for row in rows] + [rows[-1]["high"]]
    axes.stairs([row["count"] for row in rows], edges, color=theme.palette(1)[0], fill=True)
    axes.set_yscale("log")


def _alone(plot: Plot) -> Figure:
    figure = theme.new_figure(theme.COLUMN, 2.3)
    plot.draw(figure.subplots())
    return figure
