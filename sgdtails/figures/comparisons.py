"""Figures that compare networks: paired differences by a column of the run table, and errors of pruning beside simulated ones."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib.ticker
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgdtails.arrays import Row
from sgdtails.figures import theme
from sgdtails.figures.elements.arrange import grid
from sgdtails.figures.plot import Panel, Plot
from sgdtails.io.tables import as_number, ordered

_STRUCTURES = {
    "entries": "Theorem 2: entries",
    "eigenvalues": "Theorem 3: eigenvalues",
    "columns": "Theorem 4: columns",
}


def comparisons(compared: pa.Table, comparisons: pa.Table) -> Plot:
    """Plot what config key ``compare`` asks for: runs, and the paired differences between them.

    Parameters
    ----------
    compared : pyarrow.Table
        Table ``compared``: the points.
    comparisons : pyarrow.Table
        Table ``comparisons``: the differences.

    Returns
    -------
    Plot
        Two panels per comparison: one under its title, and one under that title and ``differences``.
    """
    points, differences = _by(compared.to_pylist(), "comparison"), _by(comparisons.to_pylist(), "comparison")
    panels = {}
    for title in dict.fromkeys((*differences, *points)):
        rows, found = points.get(title, []), differences.get(title, [])
        panels[title], panels[f"{title}, differences"] = _both(rows, found)
    return Plot(panels, _two_to_a_line)


def _both(rows: Sequence[Row], found: Sequence[Row]) -> tuple[Panel, Panel]:
    """Make the panels of a comparison: its points and its differences, or in words why there are none."""
    first = (*rows, *found)[0]
    name = _name(first["x_name"])
    points = partial(_draw_nothing, reason="no run has a value")
    differences = partial(_draw_nothing, reason=_no_pairs(found))
    if rows:
        places, numeric = _places(rows)
        style: dict[str, Any] = {"places": places, "numeric": numeric, "colours": _palette(rows)}
        points = partial(_draw_points, rows=rows, **style)
        if any(row["pairs"] for row in found):
            differences = partial(_draw_differences, rows=found, **style)
    label = f"difference from {name} {found[0]['x_from'] or ''}" if found else "difference"
    return (
        Panel(points, xlabel=name, ylabel=_quantity(first["y_name"])),
        Panel(differences, xlabel=name, ylabel=theme.wrap(label, 2.6)),
    )


def _name(column: str) -> str:
    return r"$\eta/b$" if column == "eta_over_b" else column.replace("_", " ")


def _quantity(words: str) -> str:
    """Write what is compared as other figures do, in lines that fit the height of a panel."""
    said = re.sub(r"\balpha\b", "tail index @", re.sub(r"\bnll\b", "NLL", words))  # one letter, for the length of lines
    return theme.wrap(said, 2.6).replace("@", r"$\hat\alpha$")


def _draw_nothing(axes: Axes, *, reason: str) -> None:
    theme.annotate_empty(axes, theme.wrap(reason, 2.2))
    axes.set(xticks=[], yticks=[])


def _no_pairs(rows: Sequence[Row]) -> str:
    """Say why there are none; tables of earlier versions do not."""
    said = dict.fromkeys(row["missing"] for row in rows if row["colour"] is None and row.get("missing"))
    return f"no pairs: {'; '.join(said)}".replace("_", " ") if said else "no pairs"


def _two_to_a_line(plot: Plot) -> Figure:
    lines = max(1, len(plot.panels) // 2)
    figure = theme.new_figure(theme.PAGE, 2.3 * lines + 0.3)
    places = figure.subplots(lines, 2, squeeze=False).ravel()
    if not plot.panels:
        theme.annotate_empty(places[0], "no run converged")
        places[1].remove()
    for axes, name in zip(places, plot.panels, strict=False):
        plot.draw(axes, name, legend=False)
        axes.set_title("")
    for left, right in zip(places[::2], places[1::2], strict=True):
        entries = _entries(left, right)
        if plot.panels and entries:
            right.legend(list(entries.values()), list(entries), loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _entries(*several: Axes) -> dict[str, Any]:
    """Collect what the legends of axes would have: marks by label."""
    return {label: handle for axes in several for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}


def _by(rows: Sequence[Row], column: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def _places(rows: Sequence[Row]) -> tuple[dict[str, float], bool]:
    """Where values of x stand, and whether that is a logarithmic axis: numbers above 0 that span a factor of 4 or more."""
    texts = {row["x_text"]: row["x"] for row in rows}
    order = ordered(texts)
    numbers = list(texts.values())
    if None in numbers:
        return {text: float(place) for place, text in enumerate(order)}, False
    wide = min(numbers) > 0 and max(numbers) >= 4 * min(numbers)
    return {text: texts[text] for text in order}, wide


def _palette(rows: Sequence[Row]) -> dict[str | None, str]:
    values = list(dict.fromkeys(row["colour"] for row in rows))
    if None not in values:
        numbers = {value: as_number(value) for value in values}
        values = list(ordered(numbers))
    return dict(zip(values, theme.palette(len(values)), strict=True))


def _draw_points(
    axes: Axes,
    *,
    rows: Sequence[Row],
    places: Mapping[str, float],
    colours: Mapping[str | None, str],
    numeric: bool,
) -> None:
    for value, shade in colours.items():
        chosen = [row for row in rows if row["colour"] == value]
        x, y = [places[row["x_text"]] for row in chosen], [row["y"] for row in chosen]
        axes.plot(x, y, "o", color=shade, markersize=theme.marker(2.5), alpha=0.6, markeredgewidth=0)
        means = {place: np.mean([b for a, b in zip(x, y, strict=True) if a == place]) for place in sorted(set(x))}
        axes.plot(list(means), list(means.values()), color=shade, linewidth=theme.line(0.9))
        if value is not None:
            label = f"{_name(rows[0]['colour_name'])} {value}"
            axes.plot([], [], "o-", color=shade, markersize=theme.marker(3), linewidth=theme.line(0.9), label=label)
    _finish(axes, places, numeric=numeric)


def _draw_differences(
    axes: Axes,
    *,
    rows: Sequence[Row],
    places: Mapping[str, float],
    colours: Mapping[str | None, str],
    numeric: bool,
) -> None:
    """Mean differences with intervals, those of one value of x beside each other; of all colours together in grey."""
    axes.axhline(0, color=theme.grey(), linewidth=theme.line(0.7), zorder=0)
    reached = {row["x_to"]: places[row["x_to"]] for row in rows if row["pairs"]}
    gap = _least_gap([float(np.log2(place)) if numeric else place for place in reached.values()])
    shades: dict[str | None, str] = {None: theme.grey(), **colours}
    groups = _by([row for row in rows if row["pairs"]], "colour")
    steps = np.linspace(-1, 1, len(groups)) if len(groups) > 1 else np.zeros(1)
    for step, (value, chosen) in zip(steps, groups.items(), strict=True):
        x = [_moved(reached[row["x_to"]], 0.15 * step * gap, numeric=numeric) for row in chosen]
        middle = [row["difference"] for row in chosen]
        ends = [[_length(row, "low") for row in chosen], [_length(row, "high") for row in chosen]]
        shape, label = ("D", "all") if value is None and None not in colours else ("o", None)
        style: dict[str, Any] = {
            "color": shades[value],
            "markersize": theme.marker(3),
            "elinewidth": theme.line(0.9),
            "label": label,
        }
        axes.errorbar(x, middle, ends, fmt=shape, **style)
    _finish(axes, reached, numeric=numeric)
    around = zip((min(reached.values()), max(reached.values())), (-0.3 * gap, 0.3 * gap), strict=True)
    axes.set_xlim(*(_moved(place, by, numeric=numeric) for place, by in around))


def _moved(place: float, by: float, *, numeric: bool) -> float:
    return float(place * 2**by) if numeric else float(place + by)


def _length(row: Row, end: str) -> float:
    return 0.0 if row[end] is None else max(0.0, abs(row["difference"] - row[end]))


def _least_gap(places: Sequence[float]) -> float:
    gaps = np.diff(sorted(places))
    return float(gaps.min()) if len(gaps) else 1.0


def _finish(axes: Axes, places: Mapping[str, float], *, numeric: bool) -> None:
    if numeric:
        axes.set_xscale("log", base=2)
    axes.set_xticks(list(places.values()), list(places))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def errors(runs: pa.Table, errors: pa.Table) -> Plot:
    """Plot the relative error of keeping a share of each hidden layer against width, measured and simulated.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    errors : pyarrow.Table
        Table ``errors``; the smallest share in it is drawn.

    Returns
    -------
    Plot
        One panel per theorem, under the structure in column ``structure``.
    """
    widths = {row["run"]: row["width"] for row in runs.to_pylist() if row["status"] == "converged"}
    rows = [row for row in errors.to_pylist() if widths.get(row["run"]) is not None]
    arrange = partial(grid, height=2.4, nothing="no run converged", legend=bool(rows))
    if not rows:
        return Plot({}, arrange)
    kappa = min(row["kappa"] for row in rows)
    heads = {run: max(row["layer"] for row in rows if row["run"] == run) for run in {row["run"] for row in rows}}
    shown = [row for row in rows if row["kappa"] == kappa and row["layer"] != heads[row["run"]]]
    numbers = sorted({row["layer"] for row in shown})
    colours = dict(zip(numbers, theme.palette(len(numbers)), strict=True))
    panels = {
        structure: Panel(
            partial(
                _draw_structure,
                rows=[row for row in shown if row["structure"] == structure],
                widths=widths,
                colours=colours,
                places=sorted({widths[row["run"]] for row in shown}),
            ),
            title,
        )
        for structure, title in _STRUCTURES.items()
    }
    return Plot(panels, arrange, "width", f"relative error, {theme.KEPT} = {kappa:g}")


def _draw_structure(
    axes: Axes,
    *,
    rows: Sequence[Row],
    widths: Mapping[str, int],
    colours: Mapping[int, str],
    places: Sequence[int],
) -> None:
    for layer, shade in colours.items():
        _draw_errors(axes, [row for row in rows if row["layer"] == layer], widths, shade, layer)
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [str(place) for place in places])
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set_ylim(0, 1)


def _draw_errors(axes: Axes, rows: Sequence[Row], widths: Mapping[str, int], shade: str, layer: int) -> None:
    for column, style, label in (("measured", "-", f"layer {layer + 1}"), ("simulated", "--", "simulated")):
        points: dict[int, list[float]] = {}
        for row in rows:
            if row[column] is not None:
                points.setdefault(widths[row["run"]], []).append(row[column])
        places = sorted(points)
        means = [float(np.mean(points[place])) for place in places]
        axes.plot(
            places,
            means,
            style,
            color=shade,
            linewidth=theme.line(0.9),
            marker="o",
            markersize=theme.marker(2),
            label=label,
        )
