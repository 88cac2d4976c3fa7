"""Figures of how far tail indices can be trusted: profiles with nulls, calibration of estimators, confusion of tail classes."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from sgdtails.figures import theme
from sgdtails.figures.elements import names
from sgdtails.figures.elements.arrange import with_legend
from sgdtails.figures.elements.run_panels import NAMES, Rows, by_title
from sgdtails.figures.plot import Panel, Plot
from sgdtails.labels import Labels

_NULLS = {"gaussian": "Gaussian", "shuffled": "entries shuffled", "initial": "initial weights"}
_KINDS = {"rows": "mmo_multivariate", "entries": "mmo_univariate"}  # estimators of what observations are
_TICKS = (2, 5, 20, 100, 500)  # of block lengths
_ACROSS = 5  # layers beside each other: more leave no room for their names
_TOP = 3.0  # of the axis of tail indices: estimates above are drawn at it
_PERSONS = ("gaussian", "laplace", "student")
_QUANTITIES = {"bias": r"bias of $1/\hat\alpha$", "spread": r"spread of $1/\hat\alpha$", "coverage": "coverage"}


def profiles(profiles: pa.Table, *, labels: Labels = NAMES) -> Plot:
    """Plot the tail index against the block length, layer by layer, over the bands of three nulls.

    Parameters
    ----------
    profiles : pyarrow.Table
        Table ``profiles``: of one run per model, dataset and variant.
    labels : Labels
        What models and datasets are called.

    Returns
    -------
    Plot
        Two panels per layer, such as ``FCN4, MNIST: layer 0, rows`` and ``FCN4, MNIST: layer 0, entries``.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> list(profiles(tables.read("studies/mnist-narrow/tables/profiles.parquet")).panels)[:2]
    ['FCN4, MNIST: layer 0, rows', 'FCN4, MNIST: layer 1, rows']
    """
    groups = by_title(profiles.to_pylist(), labels)
    least = [row["alpha"] for rows in groups.values() for row in rows if row["series"] == "observed"]
    bottom = min([1.0, *least])
    panels, lines = {}, []
    for title, rows in groups.items():
        for kind, estimator in _KINDS.items():
            lines.append([f"{title}: layer {layer}, {kind}" for layer in range(1 + max(row["layer"] for row in rows))])
            for layer, name in enumerate(lines[-1]):
                of_layer = [row for row in rows if row["layer"] == layer]
                shown = [row for row in of_layer if row["estimator"] == estimator]
                note = _layer_title(of_layer[0]) if of_layer else ""
                ylabel = rf"$\hat\alpha$ of {kind}"
                panels[name] = Panel(partial(_profile, rows=shown, bottom=bottom), note=note, ylabel=ylabel)
    starts = [f"{theme.wrap(title, 1.4)}\n{kind}: $\\hat\\alpha$" for title in groups for kind in _KINDS]
    return Plot(panels, partial(_layers_across, lines=lines, starts=starts), xlabel="block length $K_1$")


def _layers_across(plot: Plot, *, lines: list[list[str]], starts: list[str]) -> Figure:
    """Arrange a line of panels per network and kind of observation, and a column per layer."""
    columns = min(_ACROSS, max(map(len, lines), default=1))
    parts = [
        (panels, start) for pair, label in _pairs(lines, starts) for panels, start in _broken(pair, label, columns)
    ]
    count = max(len(_KINDS), len(parts))
    figure = theme.new_figure(theme.PAGE, 1.45 * count + 0.4)
    places = figure.subplots(count, columns, squeeze=False, sharey=True)
    for number, (line, (panels, start)) in enumerate(zip(places, parts, strict=False)):
        line[0].set_ylabel(start, fontsize=theme.font(7))
        for unused in line[len(panels) :]:
            unused.remove()
        for axes, panel in zip(line, (plot.panels[name] for name in panels), strict=False):
            panel.draw(axes)
            if number % len(_KINDS) == 0:
                axes.set_title(panel.note, fontsize=theme.font(7))
    if not plot.panels:
        theme.annotate_empty(places[0, 0], "no run converged")
        places[0, 0].set_ylim(1.0, _TOP)
    figure.supxlabel(plot.xlabel)
    return with_legend(figure)


def _pairs(lines: list[list[str]], starts: list[str]) -> Iterator[tuple[list[list[str]], list[str]]]:
    """Take the lines of a network, one for each kind of observation, and their labels together."""
    for first in range(0, len(lines), len(_KINDS)):
        yield lines[first : first + len(_KINDS)], starts[first : first + len(_KINDS)]


def _broken(pair: list[list[str]], labels: list[str], columns: int) -> Iterator[tuple[list[str], str]]:
    """Break the lines of a network after some columns; those of the same layers stay below each other."""
    for first in range(0, max(map(len, pair), default=0), columns):
        for line, label in zip(pair, labels, strict=True):
            yield line[first : first + columns], label


def _layer_title(row: dict[str, str]) -> str:
    label = row["reading"].removesuffix("-like").replace("finite-variance", "finite var.")
    name, short = theme.shorten_left(row["layer_name"], 18), len(row["layer_name"]) < 10
    name = name if short else f"{row['layer']}: {name}"  # other layers' names may end alike
    return f"{name}:{' ' if short else chr(10)}{label.replace('scale-mixture', 'scale mixt.')}"


def _profile(axes: Axes, *, rows: Rows, bottom: float) -> None:
    axes.set_ylim(bottom, _TOP)
    if not rows:
        axes.set_xticks([])
        theme.annotate_empty(axes, "no profile", fontsize=theme.font(7))
        return
    blue, orange, green = theme.palette(3)
    for (name, label), colour in zip(_NULLS.items(), (theme.grey(), orange, green), strict=True):
        band = [row for row in rows if row["series"] == name]
        if not band:  # initial weights that are all equal
            continue
        low, high = np.minimum([[row["alpha_low"], row["alpha_high"]] for row in band], _TOP).T
        axes.fill_between([row["k1"] for row in band], low, high, color=colour, alpha=0.35, linewidth=0, label=label)
    line = [row for row in rows if row["series"] == "observed"]
    values = np.minimum([row["alpha"] for row in line], _TOP)
    size, width = theme.marker(2), theme.line(1)
    axes.plot([row["k1"] for row in line], values, "o-", color=blue, markersize=size, linewidth=width, label="layer")
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [f"{tick}" for tick in _TICKS], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlim(1.7, 1.2 * max(row["k1"] for row in rows))
    axes.tick_params(labelsize=theme.font(7))


def calibration(calibration: pa.Table) -> Plot:
    """Plot bias and spread of 1/alpha, and coverage of its 95% intervals, against the true tail index.

    Parameters
    ----------
    calibration : pyarrow.Table
        Table ``calibration``.

    Returns
    -------
    Plot
        A panel per quantity and shape of layer, such as ``bias, 192 x 9`` (observations by dimension).

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> list(calibration(tables.read("studies/mnist-narrow/tables/calibration.parquet")).panels)[0]
    'bias, 192 x 9'
    """
    rows = [
        row for row in calibration.to_pylist() if row["k1"] is None and not row["estimator"].startswith("published")
    ]
    lines = [(name, "independent") for name in dict.fromkeys(row["estimator"] for row in rows)]
    lines.insert(1, ("mmo_multivariate", "elliptical"))
    panels = {}
    for observations, dimension in _shapes(rows):
        here = [row for row in rows if (row["observations"], row["dimension"]) == (observations, dimension)]
        for quantity, label in _QUANTITIES.items():
            draw = partial(_calibration, rows=here, quantity=quantity, lines=lines)
            title = f"{observations} \u00d7 {dimension}"
            panels[f"{quantity}, {observations} x {dimension}"] = Panel(draw, title, ylabel=label)
    return Plot(panels, _three_rows, xlabel=r"true tail index $\alpha$")


def _shapes(rows: Rows) -> list[tuple[int, int]]:
    return sorted({(row["observations"], row["dimension"]) for row in rows})


def _calibration(axes: Axes, *, rows: Rows, quantity: str, lines: list[tuple[str, str]]) -> None:
    for number, (estimator, structure) in enumerate(lines):
        points = [
            (row["alpha"], row[quantity])
            for row in rows
            if (row["estimator"], row["structure"]) == (estimator, structure) and row[quantity] is not None
        ]
        if points:
            _estimator_line(axes, sorted(points), estimator, structure, number)
    if quantity == "bias":
        axes.axhline(0, color=theme.grey(), linewidth=theme.line(0.5), zorder=0)
        axes.set_yscale("symlog", linthresh=0.01)
    elif quantity == "spread":
        axes.set_yscale("log")
    else:
        axes.axhspan(0.93, 0.97, color=theme.grey(), alpha=0.3, linewidth=0)
        axes.set_ylim(0, 1.02)


def _estimator_line(axes: Axes, points: list[tuple[float, float]], estimator: str, structure: str, number: int) -> None:
    """Draw an estimator's line: solid for those of block sums, dashed for the rivals."""
    blue, orange = theme.palette(2)
    label, (x, y) = names.estimator(estimator), zip(*points, strict=True)
    if not estimator.startswith("mmo"):
        colour, width, size = to_hex(colormaps["tab10"](number % 10)), theme.line(0.8), theme.marker(3)
        axes.plot(x, y, ".--", color=colour, linewidth=width, markersize=size, label=label)
        return
    if structure == "elliptical":
        shape, colour, label = "o", theme.foreground(), f"{label}, elliptical"
    else:
        shape, colour = ("s", orange) if estimator == "mmo_univariate" else ("o", blue)
    width, size = theme.line(1.2), theme.marker(3.5)
    axes.plot(x, y, f"{shape}-", color=colour, linewidth=width, markersize=size, label=label)


def _three_rows(plot: Plot) -> Figure:
    columns = len(plot.panels) // len(_QUANTITIES)
    figure = theme.new_figure(theme.PAGE, 5.8)
    places = figure.subplots(len(_QUANTITIES), columns, squeeze=False, sharex=True, sharey="row")
    for number, panel in enumerate(plot.panels.values()):
        column, line = divmod(number, len(_QUANTITIES))
        axes = places[line, column]
        panel.draw(axes)
        if line == 0:
            axes.set_title(panel.title)
        if column == 0:
            axes.set_ylabel(panel.ylabel)
    figure.supxlabel(plot.xlabel)
    handles, labels = places[0, 0].get_legend_handles_labels()
    places[0, 0].xaxis.set_major_locator(MaxNLocator(3))
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def confusion(confusion: pa.Table) -> Plot:
    """Plot how often layers of a known law get each tail class; frames mark the right one.

    Parameters
    ----------
    confusion : pyarrow.Table
        Table ``confusion``.

    Returns
    -------
    Plot
        A panel per shape of layer, such as ``256 x 128`` (observations by dimension).

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> list(confusion(tables.read("studies/mnist-narrow/tables/confusion.parquet")).panels)[0]
    '256 x 128'
    """
    return label_shares(confusion, "reading")


def label_shares(table: pa.Table, column: str, inches: float = 2.0) -> Plot:
    """Plot how often simulated layers of a known law get each label.

    Parameters
    ----------
    table : pyarrow.Table
        Table ``confusion`` or ``labels``.
    column : str
        The column of labels.
    inches : float
        Width of a panel.

    Returns
    -------
    Plot
        A panel per shape of layer.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> table = tables.read("studies/mnist-narrow/tables/confusion.parquet")
    >>> label_shares(table, "reading").xlabel
    'reading: % of the layers of each law; framed: what the law is'
    """
    rows = table.to_pylist()
    panels = {}
    for observations, dimension in _shapes(rows):
        here = [row for row in rows if (row["observations"], row["dimension"]) == (observations, dimension)]
        title = f"{observations} \u00d7 {dimension}, {rows[0]['layers']} layers each"
        panels[f"{observations} x {dimension}"] = Panel(
            partial(_confusion, rows=here, column=column), title, xlabel=f"{column} (% of layers; framed: right)"
        )
    laws = len({row["law"] for row in rows})
    xlabel = f"{column}: % of the layers of each law; framed: what the law is"
    return Plot(panels, partial(_shapes_across, laws=laws, inches=inches), xlabel=xlabel)


def _confusion(axes: Axes, *, rows: Rows, column: str) -> None:
    laws, labels = (list(dict.fromkeys(row[key] for row in rows)) for key in ("law", column))
    shares = np.zeros((len(laws), len(labels)))
    frame = theme.palette(2)[1]
    for row in rows:
        y, x = laws.index(row["law"]), labels.index(row[column])
        shares[y, x] = share = row["count"] / row["layers"]
        if share:
            colour = "white" if share > 0.6 else "black"
            size = theme.font(7)
            axes.text(x, y, f"{100 * share:.0f}", ha="center", va="center", fontsize=size, color=colour)
        if row["truth"] == row[column]:
            width = theme.line(1.2)
            axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fill=False, edgecolor=frame, linewidth=width))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(
        range(len(labels)),
        [label.removesuffix("-like") for label in labels],
        rotation=25 if len(labels) < 6 else 60,
        ha="right",
    )
    axes.set_yticks(range(len(laws)), [_law(law) for law in laws])
    axes.grid(False)


def _law(name: str) -> str:
    """Write a law's name, with a capital where it is that of a person."""
    words = name.replace("_", " ")
    return words.capitalize() if words.startswith(_PERSONS) else words


def _shapes_across(plot: Plot, *, laws: int, inches: float) -> Figure:
    columns = min(int(theme.PAGE / inches), len(plot.panels))
    lines = -(-len(plot.panels) // columns)
    figure = theme.new_figure(theme.PAGE, (0.24 * laws + inches / 2) * lines + 0.3)
    places = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for unused in places[len(plot.panels) :]:
        unused.remove()
    for axes, panel in zip(places, plot.panels.values(), strict=False):
        panel.draw(axes)
        axes.set_title(theme.wrap(panel.title, theme.PAGE / columns - 0.5))
    figure.supxlabel(plot.xlabel)
    return figure
