"""Figures 3 and 8: tail index against the share of the weights that can be removed, for layers and for samples."""

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from sgdtails.figures import theme
from sgdtails.figures.elements.arrange import grid, with_legend
from sgdtails.figures.elements.run_panels import NAMES, Rows, run_panels
from sgdtails.figures.networks import PAPERS, scatter
from sgdtails.figures.plot import ColourScale, Panel, Plot
from sgdtails.labels import Labels
from sgdtails.tail_index import network_index
from sgdtails.tail_index.network_index import Index

_NUMBERED = 10  # layers that have a tick each in the colour bar
_STRUCTURES = {
    "independent": r"$W_{\mathrm{ind}}$: entries",
    "columns": r"$W_{\mathrm{col}}$: columns",
    "layer": r"$W_{\mathrm{lay}}$: layer",
}
Points = dict[str, dict[int, tuple[float, float]]]  # (1 - kappa, tail index) by run and layer


def compressibility(
    runs: pa.Table, tails: pa.Table, compression: pa.Table, *, index: Index = PAPERS, labels: Labels = NAMES
) -> Plot:
    """Plot each layer's tail index against the share of it that can be removed at a relative l2 error of 0.1.

    Parameters
    ----------
    runs, tails, compression : pyarrow.Table
        The tables of these names.
    index : Index
        The estimator, and the value of it that counts.
    labels : Labels
        What models and datasets are called.

    Returns
    -------
    Plot
        One panel per model, dataset and variant. Colours number the trained layers; crosses are initial ones.

    References
    ----------
    Figure 3 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> read = [tables.read(f"studies/mnist-narrow/tables/{name}.parquet") for name in ("runs", "tails", "compression")]
    >>> compressibility(*read).panels["FCN4, MNIST"].note
    '$n$ = 290 layers of 58 runs; 2 diverged'
    """
    initial, trained = (_points(tails, compression, index, weights) for weights in ("initial", "average"))

    def count(rows: Rows) -> str:
        return f"$n$ = {sum(len(trained.get(row['run'], {})) for row in rows)} layers of {len(rows)} runs"

    layers = _by_number(max([1, *(1 + max(found, default=0) for found in trained.values())]))
    rows_of = network_index.aggregates(tails, index.estimator, "average")
    heads = {run: max(row["layer"] for row in rows) for run, rows in rows_of.items()}  # also heads without an estimate
    draw = partial(_compressibility, initial=initial, trained=trained, heads=heads, layers=layers.mappable)
    return Plot(
        run_panels(runs, draw, count=count, labels=labels),
        partial(grid, legend=True, sharex=True, sharey=True),
        xlabel=rf"{theme.REMOVED} at a relative $\ell_2$ error of 0.1",
        ylabel=r"tail index $\hat\alpha$" + (", clipped at 2" if index.clipped else ""),
        scale=layers,
    )


def _by_number(count: int) -> ColourScale:
    """Give each layer a colour of its own."""
    shades = ListedColormap([theme.colour_map()(number / max(1, count - 1)) for number in range(count)])
    ticks = range(1, count + 1, -(-count // _NUMBERED))
    norm = BoundaryNorm([0.5 + number for number in range(count + 1)], count)
    return ColourScale(ScalarMappable(norm, shades), "layer", ticks=ticks)


def _compressibility(
    axes: Axes, rows: Rows, *, initial: Points, trained: Points, heads: Mapping[str, int], layers: ScalarMappable
) -> None:
    shown = [row["run"] for row in rows]
    start = [point for run in shown for point in initial.get(run, {}).values()]
    scatter(axes, start, "x", theme.grey(), label="at initialisation")
    for shape, label, of_head in (("o", "trained", False), ("^", "trained, head", True)):
        chosen = [
            (layer + 1, *point)
            for run in shown
            for layer, point in trained.get(run, {}).items()
            if (layer == heads[run]) == of_head
        ]
        if chosen:
            numbers, x, y = zip(*chosen, strict=True)
            area, norm, cmap = 9 * theme.marker(1) ** 2, cast("BoundaryNorm", layers.norm), layers.cmap
            axes.scatter(x, y, c=numbers, norm=norm, cmap=cmap, marker=shape, s=area, linewidths=0, label=label)
    for value, style, label in ((theme.UNIFORM, ":", "uniform"), (theme.GAUSSIAN, "--", "Gaussian")):
        _reference(axes, value, style, label)


def _reference(axes: Axes, ratio: float, style: str, label: str) -> None:
    axes.axvline(ratio, color=theme.grey(), linestyle=style, linewidth=theme.line(0.7), zorder=0, label=label)


def _points(tails: pa.Table, compression: pa.Table, index: Index, weights: str) -> Points:
    """Collect the layers that have both a tail index and a pruning ratio; ``weights``: initial, or average for trained."""
    wanted = (pc.field("structure") == "entries") & (pc.field("p") == 2) & (pc.field("epsilon") == 0.1)
    initial = pc.field("weights") == "initial"
    ratio = {
        (row["run"], row["layer"]): 1 - row["kappa"]
        for row in compression.filter(wanted & (initial if weights == "initial" else ~initial)).to_pylist()
    }
    found: Points = {}
    for run, rows in network_index.aggregates(tails, index.estimator, weights).items():
        known = {row["layer"]: (ratio.get((run, row["layer"])), index.of_layer(row)) for row in rows}
        found[run] = {layer: (x, y) for layer, (x, y) in known.items() if x is not None and y is not None}
    return found


def samples(synthetic: pa.Table) -> Plot:
    """Plot the tail index of sampled matrices against their pruning ratio at a fixed error.

    Parameters
    ----------
    synthetic : pyarrow.Table
        Table ``synthetic``.

    Returns
    -------
    Plot
        Panels ``independent`` (entries), ``columns`` and ``layer``: what is drawn independently.

    References
    ----------
    Figure 8 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> list(samples(tables.read("studies/mnist-narrow/tables/synthetic.parquet")).panels)
    ['independent', 'columns', 'layer']
    """
    rows = synthetic.to_pylist()
    p, epsilon = rows[0]["p"], rows[0]["epsilon"]
    panels = {
        structure: Panel(
            partial(
                _samples,
                rows=[row for row in rows if row["structure"] == structure],
                gaussian=(p, epsilon) == (2.0, 0.1),
            ),
            title,
        )
        for structure, title in _STRUCTURES.items()
    }
    xlabel = rf"{theme.REMOVED} at a relative $\ell_{{{p:g}}}$ error of {epsilon:g}"
    return Plot(panels, _row_of_samples, xlabel=xlabel, ylabel=r"tail index $\alpha$")


def _samples(axes: Axes, *, rows: list[dict[str, Any]], gaussian: bool) -> None:
    points = [(1 - row["kappa"], row["alpha"]) for row in rows]
    scatter(axes, points, "o", theme.palette(1)[0], size=2)
    if gaussian:
        _reference(axes, theme.GAUSSIAN, "--", "Gaussian")


def _row_of_samples(plot: Plot) -> Figure:
    figure = theme.new_figure(theme.PAGE, 2.2)
    places = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, panel in zip(places, plot.panels.values(), strict=True):
        panel.draw(axes)
        axes.set_title(panel.title)
    figure.supxlabel(plot.xlabel)
    figure.supylabel(plot.ylabel)
    return with_legend(figure)
