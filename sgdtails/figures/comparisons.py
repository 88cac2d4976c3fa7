"""Figures that compare networks: paired differences by a column of the run table, and errors of pruning beside simulated ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.ticker
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdtails.claims.comparisons import ordered
from sgdtails.figures.style import GREY, PAGE, colours, panel_grid, say, with_legend, wrapped

Row = dict[str, Any]
_STRUCTURES = {
    "entries": "Theorem 2: entries",
    "eigenvalues": "Theorem 3: eigenvalues",
    "columns": "Theorem 4: columns",
}


def comparisons(compared: pa.Table, comparisons: pa.Table) -> Figure:
    """Draw what config key ``compare`` asks for: runs on the left, paired differences on the right, one line per comparison.

    Parameters
    ----------
    compared : pyarrow.Table
        Table ``compared``: the points.
    comparisons : pyarrow.Table
        Table ``comparisons``: the differences.

    Returns
    -------
    Figure
        With two panels per comparison, which share their x axis.
    """
    points, differences = _by(compared.to_pylist(), "comparison"), _by(comparisons.to_pylist(), "comparison")
    lines = max(1, len(points))
    figure = Figure(figsize=(PAGE, 2.3 * lines + 0.3), layout="constrained")
    grid = figure.subplots(lines, 2, squeeze=False)
    if not points:
        say(grid[0, 0], "no run converged")
        grid[0, 1].remove()
    for (left, right), (title, rows) in zip(grid, points.items(), strict=False):
        right.sharex(left)
        places, numeric = _places(rows)
        palette = _palette(rows)
        _draw_points(left, rows, places, palette)
        _draw_differences(right, differences.get(title, []), places, palette, doublings=numeric)
        _finish(left, right, rows[0], places, numeric=numeric)
        if any(palette):
            handles = [
                Line2D([], [], marker="o", linestyle="-", color=shade, markersize=3) for shade in palette.values()
            ]
            handles.append(Line2D([], [], marker="D", linestyle="none", color=GREY, markersize=3))
            name = str(rows[0]["colour_name"]).replace("_", " ")
            left.legend(handles, [*map(str, palette), "all, right"], title=name, title_fontsize=7, loc="best")
    return figure


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
        numbers = {value: _number(value) for value in values}
        values = list(ordered(numbers))
    return dict(zip(values, colours(len(values)), strict=True))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _draw_points(
    axes: Axes, rows: Sequence[Row], places: Mapping[str, float], palette: Mapping[str | None, str]
) -> None:
    for value, shade in palette.items():
        chosen = [row for row in rows if row["colour"] == value]
        x, y = [places[row["x_text"]] for row in chosen], [row["y"] for row in chosen]
        axes.plot(x, y, "o", color=shade, markersize=2.5, alpha=0.6, markeredgewidth=0)
        means = {place: np.mean([b for a, b in zip(x, y, strict=True) if a == place]) for place in sorted(set(x))}
        axes.plot(list(means), list(means.values()), color=shade, linewidth=0.9)


def _draw_differences(
    axes: Axes,
    rows: Sequence[Row],
    places: Mapping[str, float],
    palette: Mapping[str | None, str],
    *,
    doublings: bool,
) -> None:
    """Mean differences with intervals, those of one value of x beside each other; of all colours together in grey."""
    axes.axhline(0, color=GREY, linewidth=0.7, zorder=0)
    shades: dict[str | None, str] = {**palette, None: GREY}
    steps = np.linspace(-1, 1, len(shades)) if len(shades) > 1 else np.zeros(1)
    gap = 0.12 if doublings else 0.12 * _least_gap(list(places.values()))
    for step, (value, shade) in zip(steps, shades.items(), strict=True):
        chosen = [row for row in rows if row["colour"] == value and row["difference"] is not None]
        place = [places[row["x_to"]] for row in chosen]
        x = [at * 2 ** (step * gap) if doublings else at + step * gap for at in place]
        middle = [row["difference"] for row in chosen]
        ends = [[_length(row, "low") for row in chosen], [_length(row, "high") for row in chosen]]
        axes.errorbar(x, middle, ends, fmt="D" if value is None else "o", color=shade, markersize=3, elinewidth=0.9)


def _length(row: Row, end: str) -> float:
    return 0.0 if row[end] is None else max(0.0, abs(row["difference"] - row[end]))


def _least_gap(places: Sequence[float]) -> float:
    gaps = np.diff(sorted(places))
    return float(gaps.min()) if len(gaps) else 1.0


def _finish(left: Axes, right: Axes, row: Row, places: Mapping[str, float], *, numeric: bool) -> None:
    if numeric:
        left.set_xscale("log", base=2)
    left.set_xticks(list(places.values()), list(places))
    left.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    first = next(iter(places))
    name = row["x_name"].replace("_", " ")
    for axes in (left, right):
        axes.set_xlabel(name)
    left.set_ylabel(wrapped(row["y_name"], 2.2))
    right.set_ylabel(f"difference from {name} {first}")


def errors(runs: pa.Table, errors: pa.Table) -> Figure:
    """Draw the relative error of keeping a share of each hidden layer against width, measured and simulated.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    errors : pyarrow.Table
        Table ``errors``; the smallest share in it is drawn.

    Returns
    -------
    Figure
        With one panel per theorem.
    """
    widths = {row["run"]: row["width"] for row in runs.to_pylist() if row["status"] == "converged"}
    rows = [row for row in errors.to_pylist() if widths.get(row["run"]) is not None]
    figure, grid = panel_grid(len(_STRUCTURES) if rows else 0, height=2.4, nothing="no run converged")
    if not rows:
        return figure
    kappa = min(row["kappa"] for row in rows)
    heads = {run: max(row["layer"] for row in rows if row["run"] == run) for run in {row["run"] for row in rows}}
    shown = [row for row in rows if row["kappa"] == kappa and row["layer"] != heads[row["run"]]]
    numbers = sorted({row["layer"] for row in shown})
    palette = dict(zip(numbers, colours(len(numbers)), strict=True))
    for axes, (structure, title) in zip(grid, _STRUCTURES.items(), strict=True):
        for layer, shade in palette.items():
            chosen = [row for row in shown if (row["layer"], row["structure"]) == (layer, structure)]
            _draw_errors(axes, chosen, widths, shade, layer)
        axes.set_xscale("log", base=2)
        places = sorted({widths[row["run"]] for row in shown})
        axes.set_xticks(places, [str(place) for place in places])
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.set_title(title)
        axes.set_ylim(0, 1)
    figure.supxlabel("width", fontsize=8)
    figure.supylabel(rf"relative error, kept share $\kappa$ = {kappa:g}", fontsize=8)
    return with_legend(figure)


def _draw_errors(axes: Axes, rows: Sequence[Row], widths: Mapping[str, int], shade: str, layer: int) -> None:
    for column, style, label in (("measured", "-", f"layer {layer + 1}"), ("simulated", "--", "simulated")):
        points: dict[int, list[float]] = {}
        for row in rows:
            if row[column] is not None:
                points.setdefault(widths[row["run"]], []).append(row[column])
        places = sorted(points)
        means = [float(np.mean(points[place])) for place in places]
        axes.plot(places, means, style, color=shade, linewidth=0.9, marker="o", markersize=2, label=label)
