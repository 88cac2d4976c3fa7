"""Figures of laws: shares of layers per law along step size / batch size, one layer with its laws, and labels of known laws."""

import math
from functools import partial
from itertools import product

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sgdtails.arrays import Floats, Row
from sgdtails.figures import theme
from sgdtails.figures.elements.run_panels import NAMES, Rows, by_title, run_panels
from sgdtails.figures.plot import Panel, Plot
from sgdtails.figures.trust import label_shares
from sgdtails.labels import Labels
from sgdtails.tail_index.laws.families import BY_NAME

COLOURS = {
    "stable": "#0072B2",
    "elliptical-stable": "#56B4E9",
    "student-t": "#D55E00",
    "multivariate-t": "#E69F00",
    "lognormal-scales": "#009E73",
    "normal-inverse-gaussian": "#CC79A7",
    "generalised-normal": "#F0E442",
    "laplace": "#7F4F24",
    "gaussian": "#4D4D4D",
    "uniform": "#A6A6A6",
}
"""Colours of labels, in the order in which bars are stacked."""
_PALE = 0.35  # opacity of layers that are undecided, in the colour of the best law
_BARS = 8  # most of a panel
_POINTS = 400  # of a curve
_FAR = 2000  # points beyond its end
_DRAWN = ("gaussian", "laplace", "generalised_normal", "student_t", "normal_inverse_gaussian", "stable")


def shares(runs: pa.Table, laws: pa.Table, *, labels: Labels = NAMES) -> Plot:
    """Plot which share of the layers has which law, along step size / batch size; undecided layers are pale in the colour of the best one.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    laws : pyarrow.Table
        Table ``laws``; averaged weights are shown.

    labels : Labels
        What models and datasets are called.

    Returns
    -------
    Plot
        A panel per model, dataset and variant, such as ``FCN4, MNIST``.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> runs = tables.read("studies/mnist-narrow/tables/runs.parquet")
    >>> list(shares(runs, tables.SCHEMAS["laws"].empty_table()).panels)
    ['FCN4, MNIST']
    """
    of_run: dict[str, dict[int, tuple[str, bool]]] = {}
    for row in laws.select(["run", "weights", "layer", "label", "best"]).to_pylist():
        if row["weights"] == "average" and row["label"]:
            of_run.setdefault(row["run"], {})[row["layer"]] = row["best"], row["label"] == row["best"]
    draw = partial(_shares, labels=of_run)
    panels = run_panels(
        runs,
        draw,
        count=lambda rows: f"{sum(len(of_run.get(row['run'], {})) for row in rows)} layers",
        labels=labels,
    )
    found = {label for layers in of_run.values() for label, _ in layers.values()}
    shown = [label for label in COLOURS if label in found]
    return Plot(panels, partial(_shares_across, shown=shown), xlabel=theme.RATIO, ylabel="share of layers")


def _shares(axes: Axes, rows: Rows, *, labels: dict[str, dict[int, tuple[str, bool]]]) -> None:
    rows = sorted((row for row in rows if row["run"] in labels), key=lambda row: row["eta_over_b"])
    values = sorted({row["eta_over_b"] for row in rows})
    groups = np.array_split(values, min(_BARS, len(values))) if values else []
    for place, group in enumerate(groups):
        inside = [row["run"] for row in rows if group[0] <= row["eta_over_b"] <= group[-1]]
        found = [label for run in inside for label in labels[run].values()]
        bottom = 0.0
        for label, decided in product(COLOURS, (True, False)):
            share = found.count((label, decided)) / len(found)
            if share:
                axes.bar(place, share, 0.86, bottom, color=COLOURS[label], alpha=1 if decided else _PALE, linewidth=0)
            bottom += share
    axes.set_xticks(range(len(groups)), [_range(group) for group in groups], rotation=40, ha="right")
    axes.set_ylim(0, 1)
    axes.grid(False)


def _range(group: Floats) -> str:
    middle = math.exp(float(np.log(group).mean()))
    return f"{middle:.2g}"


def _shares_across(plot: Plot, *, shown: list[str]) -> Figure:
    columns = min(3, max(1, len(plot.panels)))
    lines = -(-len(plot.panels) // columns) or 1
    figure = theme.new_figure(max(theme.COLUMN, 2.2 * columns + 1.6), 2.0 * lines + 0.5)
    places = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for axes, panel in zip(places, plot.panels.values(), strict=False):
        panel.draw(axes)
        axes.set_title(panel.heading(2.2))
    for axes in places[len(plot.panels) :]:
        axes.set_axis_off()
    figure.supxlabel(plot.xlabel)
    figure.supylabel(plot.ylabel)
    if shown:
        patches = [*(Patch(color=COLOURS[label]) for label in shown), Patch(color=theme.foreground(), alpha=_PALE)]
        figure.legend(patches, [*shown, "pale: undecided"], loc="outside right center")
    return figure


def fits(histograms: pa.Table, laws: pa.Table, *, labels: Labels = NAMES) -> Plot:
    """Plot one layer's density and tail, and the laws of its entries.

    Parameters
    ----------
    histograms : pyarrow.Table
        Table ``histograms``: of one layer per model, dataset and variant.
    laws : pyarrow.Table
        Table ``laws``.

    labels : Labels
        What models and datasets are called.

    Returns
    -------
    Plot
        Two panels per model, dataset and variant, such as ``FCN4, MNIST: density`` and ``FCN4, MNIST: tail``.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> histograms = tables.read("studies/mnist-narrow/tables/histograms.parquet")
    >>> list(fits(histograms, tables.SCHEMAS["laws"].empty_table()).panels)
    ['FCN4, MNIST: density', 'FCN4, MNIST: tail']
    """
    every = [row for row in laws.to_pylist() if row["weights"] == "average" and row["law"]]
    panels = {}
    for title, rows in by_title([row for row in histograms.to_pylist() if row["series"] == "all"], labels).items():
        first = rows[0]
        of_layer = [row for row in every if (row["run"], row["layer_name"]) == (first["run"], first["layer_name"])]
        entries = [row for row in of_layer if row["observed"] == "entries" and row["law"] in _DRAWN]
        note = f"{theme.shorten_left(first['layer_name'], 22)}: {_said(of_layer)}"
        for kind, draw in (("density", _density), ("tail", _tail)):
            axis = _LABELS[kind]
            panels[f"{title}: {kind}"] = Panel(partial(draw, bins=rows, laws=entries), title, note, *axis)
    return Plot(panels, _pairs)


_LABELS = {"density": ("weight", "density"), "tail": ("magnitude $t$", "share of weights beyond $t$")}


def _said(rows: Rows) -> str:
    if not rows:
        return "no laws"
    first = rows[0]
    return (
        first["label"] if first["label"] != "undecided" else f"undecided between\n{first['best']} and {first['rival']}"
    )


def _edges(bins: Rows) -> tuple[Floats, Floats]:
    edges = np.array([row["low"] for row in bins] + [bins[-1]["high"]])
    return edges, np.array([row["density"] for row in bins])


def _density(axes: Axes, *, bins: Rows, laws: Rows) -> None:
    edges, density = _edges(bins)
    axes.stairs(density, edges, color=theme.grey(), alpha=0.5, fill=True, label="weights")
    x = np.linspace(edges[0], edges[-1], 2 * _POINTS + 1)
    for row, (_, colour) in zip(laws, theme.markers(), strict=False):
        law = BY_NAME["entries", row["law"]]
        values = np.exp(law.density(np.abs(x) / row["scale"], row["shape"] or math.nan, 1)) / row["scale"]
        axes.plot(x, values, color=colour, linewidth=theme.line(1), label=_name(row))
    axes.set_yscale("log")
    if (density > 0).any():
        axes.set_ylim(density[density > 0].min() / 3, 3 * density.max())


def _tail(axes: Axes, *, bins: Rows, laws: Rows) -> None:
    edges, density = _edges(bins)
    share = np.concatenate([[0.0], np.cumsum(density * np.diff(edges))])
    reach = max(-edges[0], edges[-1])
    t = np.linspace(0, reach, 61)[1:-1]
    beyond = np.interp(-t, edges, share) + share[-1] - np.interp(t, edges, share)
    seen = beyond > 1e-12
    shape, width = ".", theme.marker(4)
    axes.plot(t[seen], beyond[seen], shape, color=theme.foreground(), markersize=width, label="weights")
    curve = np.geomspace(t[0], reach, _POINTS)
    for row, (_, colour) in zip(laws, theme.markers(), strict=False):
        above = _beyond(row, curve)
        axes.plot(curve[above > 0], above[above > 0], color=colour, linewidth=theme.line(1), label=_name(row))
    axes.set_xscale("log")
    axes.set_yscale("log")
    if seen.any():
        axes.set_ylim(beyond[seen].min() / 5, 1.5)


def _beyond(row: Row, magnitudes: Floats) -> Floats:
    """Compute a law's probability beyond magnitudes, ascending: summed from far out, so that small ones keep their first digits."""
    at = np.append(np.log(magnitudes), np.linspace(math.log(magnitudes[-1]), math.log(1e5 * magnitudes[-1]), _FAR)[1:])
    log_density = BY_NAME["entries", row["law"]].density(np.exp(at) / row["scale"], row["shape"] or math.nan, 1)
    mass = 2 * np.exp(log_density + at) / row["scale"]  # of log t
    pieces = (mass[1:] + mass[:-1]) / 2 * np.diff(at)
    return np.asarray(pieces[::-1].cumsum()[::-1][: len(magnitudes)])


def _name(row: Row) -> str:
    name = BY_NAME["entries", row["law"]].label
    shape = row["shape"]
    if shape is None:
        return name
    return f"{name} ({shape:.3g})" if shape < 1000 else f"{name} ({shape:,.0f})"


def _pairs(plot: Plot) -> Figure:
    """Arrange density and tail of each network side by side, its legend on the right."""
    lines = max(1, len(plot.panels) // 2)
    figure = theme.new_figure(theme.PAGE, 2.3 * lines + 0.2)
    places = figure.subplots(lines, 2, squeeze=False)
    for axes, panel in zip(places.ravel(), plot.panels.values(), strict=False):
        panel.draw(axes)
        axes.set(title=panel.heading(2.4), xlabel=panel.xlabel, ylabel=panel.ylabel)
    if not plot.panels:
        theme.annotate_empty(places[0, 0], "no run converged")
    for axes in places[:, -1] if plot.panels else ():
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def labels(labels: pa.Table) -> Plot:
    """Plot how often layers of a known law get each label; frames mark the right one.

    Parameters
    ----------
    labels : pyarrow.Table
        Table ``labels``.

    Returns
    -------
    Plot
        A panel per shape of layer, such as ``256 x 128`` (observations by dimension).

    Examples
    --------
    >>> row = {"law": "gaussian", "truth": "gaussian", "observations": 64, "dimension": 9}
    >>> table = pa.Table.from_pylist([row | {"label": "gaussian", "count": 1, "layers": 1}])
    >>> list(labels(table).panels)
    ['64 x 9']
    """
    return label_shares(labels, "label", 3.0)
