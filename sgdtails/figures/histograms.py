"""Figures 2 and 12: histograms of a layer's weights and of heavy-tailed draws."""

from functools import partial
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgdtails.figures import theme
from sgdtails.figures.elements.arrange import with_legend
from sgdtails.figures.elements.run_panels import NAMES, Rows, by_title
from sgdtails.figures.plot import Panel, Plot
from sgdtails.labels import Labels

_COMPARISONS = {"halves": ("half_a", "half_b"), "stable sample": ("all", "stable")}
_LABELS = {"half_a": "half of the weights", "half_b": "the other half", "all": "all weights", "stable": "stable sample"}


def layers(histograms: pa.Table, *, labels: Labels = NAMES) -> Plot:
    """Plot histograms of one layer: two random halves of its weights, and all of them beside a stable sample.

    Parameters
    ----------
    histograms : pyarrow.Table
        Table ``histograms``.
    labels : Labels
        What models and datasets are called.

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
    for title, rows in by_title(histograms.to_pylist(), labels).items():
        name = theme.shorten_left(rows[0]["layer_name"], 22)
        between = ", " if len(name) < 12 else "\n"
        note = f"{name}{between}$\\hat\\alpha$ = {rows[0]['alpha']:.2f}"
        for comparison, series in _COMPARISONS.items():
            panels[f"{title}: {comparison}"] = Panel(partial(_layer, rows=rows, series=series), title, note)
    return Plot(panels, _in_pairs, xlabel="weight", ylabel="density")


def _layer(axes: Axes, *, rows: Rows, series: tuple[str, ...]) -> None:
    colours = dict(zip(_LABELS, theme.palette(len(_LABELS)), strict=True))
    for name in series:
        bins = [row for row in rows if row["series"] == name]
        edges = [row["low"] for row in bins] + [bins[-1]["high"]]
        density = [row["density"] for row in bins]
        axes.stairs(density, edges, color=colours[name], linewidth=theme.line(0.9), label=_LABELS[name])
    axes.set_yscale("log")


def _in_pairs(plot: Plot) -> Figure:
    """Arrange the two panels of a network below each other, three networks beside each other."""
    panels = list(plot.panels.values())
    networks = max(1, len(panels) // 2)
    columns = min(3, networks)
    lines = 2 * -(-networks // columns)
    width = max(theme.COLUMN, theme.PAGE * columns / 3)
    figure = theme.new_figure(width, 1.6 * lines + 0.5)
    places = figure.subplots(lines, columns, squeeze=False)
    used = set()
    for number, panel in enumerate(panels):
        line, column = divmod(number // 2, columns)
        axes = places[2 * line + number % 2, column]
        used.add(axes)
        panel.draw(axes)
        if number % 2 == 0:
            axes.set_title(panel.heading(width / columns))
    if not panels:
        theme.annotate_empty(places[0, 0], "no run converged")
        used = set(places.ravel())
    for axes in set(places.ravel()) - used:
        axes.remove()
    figure.supxlabel(plot.xlabel)
    figure.supylabel(plot.ylabel)
    return with_legend(figure)


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
