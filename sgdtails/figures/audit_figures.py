"""One page about one checkpoint: what each layer looks like, and a few of them more closely."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sgdtails.figures.theme import (
    BLUE,
    GAUSSIAN,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    annotate_empty,
    colour_map,
    escape_mathtext,
    palette,
    shorten_left,
)
from sgdtails.io import parquet

_COLOURS = {
    "stable-like": ORANGE,
    "finite-variance-like": BLUE,
    "scale-mixture-like": GREEN,
    "undecided": GREY,
}
_FIRST_SERIES, _SECOND_SERIES = "black", "#CC79A7"  # colours that are no reading's
_HIGHEST = 6.6  # inches for the list of layers
_FIRST, _LAST = 1.0, 2.5  # of the axis of tail indices: estimates beyond are drawn at its ends
_TICKS = (2, 5, 20, 100, 500)  # of block lengths
_NAMED = 10  # lines of a series that a legend names
_LONGEST = 30  # characters of a layer's name
Rows = list[dict[str, Any]]


def audit(audit: pa.Table, profiles: pa.Table, curves: pa.Table, compression: pa.Table, accuracy: pa.Table) -> Figure:
    """Draw one page about a checkpoint.

    Above, a line per layer: tail indices, shares that can be removed, ranks. Below, K1 profiles of the lightest, the
    middle and the heaviest layer over the bands of nulls, and curves of the relative error, or of accuracy, for all layers.

    Parameters
    ----------
    audit, profiles, curves, compression, accuracy : pyarrow.Table
        The tables of an audit.

    Returns
    -------
    matplotlib.figure.Figure
        Legends stand beside the data.
    """
    rows = audit.to_pylist()
    each = min(0.15, _HIGHEST / len(rows))
    above = max(1.3, each * len(rows) + 0.55)
    figure = Figure(figsize=(PAGE, above + 3.85), layout="constrained")
    parts = figure.add_gridspec(2, 1, height_ratios=[above, 3.6])
    top, bottom = figure.add_subfigure(parts[0]), figure.add_subfigure(parts[1])
    _layers(top, rows, compression.to_pylist(), size=min(6.5, 60 * each), stride=max(1, round(0.075 / each)))
    layers = f"{len(rows)} layer{'' if len(rows) == 1 else 's'}, {sum(row['parameters'] for row in rows):,} weights"
    figure.suptitle(f"{_title(audit)}: {layers}", fontsize=9)
    grid = bottom.subplots(2, 3)
    _profiles(bottom, grid[0], rows, profiles.to_pylist())
    words = {row["layer"]: row["reading"] for row in rows}
    _errors(grid[1, 0], curves.to_pylist(), words, "entries", "entries removed")
    _errors(grid[1, 1], curves.to_pylist(), words, "singular_values", "singular values removed")
    if accuracy.num_rows:
        _accuracy(grid[1, 2], accuracy.to_pylist())
    else:
        _spectra(grid[1, 2], rows)
    return figure


def _title(audit: pa.Table) -> str:
    """Give the name of the file, or the checkpoint's where the table does not say which file it is of."""
    source = parquet.record(audit.schema).get("settings", {}).get("source")
    name = Path(source or audit["checkpoint"][0].as_py()).name
    return shorten_left("".join(each if each.isprintable() else "?" for each in name), 2 * _LONGEST)


def _layers(figure: Any, rows: Rows, compression: Rows, *, size: float, stride: int) -> None:
    tails, removed, ranks = figure.subplots(1, 3, sharey=True, width_ratios=[1.5, 1, 1])
    y = [row["layer"] for row in rows]
    for row in rows:
        colour = _COLOURS[row["reading"]]
        if row["entries_alpha"] is not None:
            _interval(tails, row, "entries_", row["layer"] + 0.22, marker="|", colour=colour, fill=False)
        if row["alpha"] is not None:
            _interval(tails, row, "", row["layer"] - 0.12, marker="o", colour=colour, fill=True)
    tails.axvline(2.0, color=GREY, linestyle="--", linewidth=0.7, zorder=0)
    tails.set(xlim=(_limit(rows), _LAST), xlabel=r"tail index $\hat\alpha$ with 95% interval")
    level = _level(compression)
    for structure, marker, label in (
        ("magnitudes", "o", "entries"),
        ("columns", "s", "columns, kernels"),
        ("kernels", "s", None),
    ):
        points = [row for row in compression if row["structure"] == structure and row["epsilon"] == level]
        removed.plot(
            [1 - row["kappa"] for row in points], [row["layer"] for row in points], marker,
            color=_FIRST_SERIES if marker == "o" else _SECOND_SERIES, markersize=2.6, label=label if points else None,
        )  # fmt: skip
    if level == 0.1:
        removed.axvline(GAUSSIAN, color=GREY, linestyle="--", linewidth=0.7, zorder=0)
    removed.set(xlim=(-0.02, 1.02), xlabel=f"share removed at error {level:g}" if level else "share removed")
    for key, marker, colour, label in (
        ("rank_90_share", "o", _FIRST_SERIES, "90% of energy"),
        ("effective_rank_share", "s", _SECOND_SERIES, "effective"),
    ):
        shown = [(row[key], row["layer"]) for row in rows if row[key] is not None]
        ranks.plot(*np.reshape(shown, (-1, 2)).T, marker, color=colour, markersize=2.6, label=label)
    ranks.set(xlim=(0, 1.03), xlabel="rank / full rank")
    tails.set_ylim(len(rows) - 0.4, -0.6)
    tails.set_yticks(y[::stride], [_short(row) for row in rows[::stride]], fontsize=size)
    for axes in (removed, ranks):
        axes.tick_params(axis="y", length=0)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(
                loc="lower right",
                bbox_to_anchor=(1.05, 1.0),
                ncols=2,
                handletextpad=0.1,
                columnspacing=0.8,
                borderpad=0,
            )
    _words(tails, rows)


def _words(axes: Axes, rows: Rows) -> None:
    """Above the tail indices: what colours and markers mean."""
    found = {row["reading"] for row in rows}
    handles: list[Any] = [
        Patch(color=colour, label=word.removesuffix("-like")) for word, colour in _COLOURS.items() if word in found
    ]
    handles += [
        Line2D([], [], color="black", marker="o", markersize=3, linewidth=0.8, label="rows"),
        Line2D([], [], color="black", marker="|", markersize=4, linewidth=0.5, label="entries"),
    ]
    columns = 3 if len(handles) > 4 else 2
    axes.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=columns,
        handlelength=1.2, handletextpad=0.4, columnspacing=0.8, borderpad=0,
    )  # fmt: skip


def _limit(rows: Rows) -> float:
    """Give the left end of the axis of tail indices."""
    least: list[float] = [row[key] for row in rows for key in ("alpha", "entries_alpha") if row[key] is not None]
    return max(0.0, min([_FIRST, *(value - 0.1 for value in least)]))


def _interval(
    axes: Axes, row: Mapping[str, Any], prefix: str, y: float, *, marker: str, colour: str, fill: bool
) -> None:
    value, low, high = (
        np.clip(row[f"{prefix}{name}"], 0, _LAST - 0.02) for name in ("alpha", "alpha_low", "alpha_high")
    )
    axes.plot([low, high], [y, y], color=colour, linewidth=0.9 if fill else 0.5)
    axes.plot([value], [y], marker, color=colour, markersize=2.8 if fill else 4)


def _level(compression: Rows) -> float | None:
    """Choose the relative error that is shown: 0.1, or the one nearest to it."""
    levels: set[float] = {row["epsilon"] for row in compression}
    return min(levels, key=lambda value: abs(value - 0.1), default=None)


def _short(row: Mapping[str, Any]) -> str:
    """Write the layer's number, by which audit.md has it in full, and the end of its name."""
    return f"{row['layer']}: {shorten_left(row['layer_name'], _LONGEST)}"


def _chosen(rows: Rows, profiles: Rows) -> Rows:
    """Choose the layers of lowest, middle and highest tail index that have a profile; fewer where there are not three."""
    known = {row["layer"] for row in profiles if row["estimator"] == "mmo_multivariate"}
    ordered = sorted(
        (row for row in rows if row["layer"] in known and row["alpha"] is not None), key=lambda row: row["alpha"]
    )
    places = sorted({0, (len(ordered) - 1) // 2, len(ordered) - 1}) if ordered else []
    return [ordered[place] for place in places]


def _profiles(figure: Any, line: Sequence[Axes], rows: Rows, profiles: Rows) -> None:
    chosen = _chosen(rows, profiles)
    known = {row["layer"] for row in chosen}
    lowest = _limit(
        [p | {"entries_alpha": None} for p in profiles if p["layer"] in known and p["estimator"] == "mmo_multivariate"]
    )
    for axes, row in zip(line, chosen, strict=False):
        shown = [p for p in profiles if p["layer"] == row["layer"] and p["estimator"] == "mmo_multivariate"]
        for series, colour in (("gaussian", GREY), ("shuffled", ORANGE)):
            band = [p for p in shown if p["series"] == series]
            if not band:  # a null without a profile
                continue
            ends = np.clip([[p["alpha_low"], p["alpha_high"]] for p in band], 0, _LAST)
            axes.fill_between([p["k1"] for p in band], *ends.T, color=colour, alpha=0.35, linewidth=0)
        observed = [p for p in shown if p["series"] == "observed"]
        values = np.clip([p["alpha"] for p in observed], 0, _LAST)
        axes.plot([p["k1"] for p in observed], values, "o-", color=BLUE, markersize=2.5, linewidth=1)
        axes.set_xscale("log")
        axes.set_xticks(_TICKS, [f"{tick}" for tick in _TICKS])
        axes.set_xticks([], minor=True)
        axes.set(xlim=(1.7, 1.2 * max(p["k1"] for p in shown)), ylim=(lowest, _LAST), xlabel="block length $K_1$")
        axes.set_title(f"{_short(row)}\n{row['reading']}", fontsize=7)
    for axes in line[len(chosen) :]:
        axes.remove()
    if chosen:
        line[0].set_ylabel(r"$\hat\alpha$ of rows")
        handles = [
            Patch(color=GREY, alpha=0.35, label="Gaussian layers"),
            Patch(color=ORANGE, alpha=0.35, label="own entries in random order"),
            Line2D([], [], color=BLUE, marker="o", markersize=2.5, linewidth=1, label="rows of the layer"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, handlelength=1.2)


def _errors(axes: Axes, curves: Rows, words: Mapping[int, str], structure: str, label: str) -> None:
    shown = [row for row in curves if row["structure"] == structure]
    for layer in dict.fromkeys(row["layer"] for row in shown):
        line = [row for row in shown if row["layer"] == layer]
        axes.plot(
            [row["ratio"] for row in line], [row["relative_error"] for row in line],
            color=_COLOURS[words[layer]], linewidth=0.7, alpha=0.7,
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=label)
    if structure == "entries":
        axes.set_ylabel(r"relative $\ell_2$ error")


def _spectra(axes: Axes, rows: Rows) -> None:
    """Effective rank against tail index, one point per layer."""
    for word, colour in _COLOURS.items():
        points = [
            (min(row["alpha"], _LAST), row["effective_rank_share"])
            for row in rows
            if row["reading"] == word and row["alpha"] is not None and row["effective_rank_share"] is not None
        ]
        axes.plot(*np.reshape(points, (-1, 2)).T, "o", color=colour, markersize=3, alpha=0.8)
    axes.set(ylim=(0, 1.03), xlabel=r"$\hat\alpha$ of rows", ylabel="effective rank / full")


def _accuracy(axes: Axes, rows: Rows) -> None:
    """Draw what the evaluation function gives, as it is."""
    styles = itertools.cycle(["o-", "s--", "^:", "D-.", "v-", "P--", "x:", "*-."])
    names = list(dict.fromkeys(row["measure"] for row in rows))
    for name, style in zip(names, styles, strict=False):
        line = sorted((row["pruned_ratio"], row["value"]) for row in rows if row["measure"] == name)
        axes.plot(
            *zip(*line, strict=True), style, color=BLUE, markersize=2.5, linewidth=0.9, label=escape_mathtext(name[:20])
        )
    axes.set(
        xlim=(0, 1),
        xlabel="entries removed",
        ylabel=escape_mathtext(names[0][:24]) if len(names) == 1 else "as evaluated",
    )
    if len(names) > 1:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=7)


def series(series: pa.Table) -> Figure:
    """Draw the tail index of rows against the step, one line per layer, and the spread of layers at each step.

    Parameters
    ----------
    series : pyarrow.Table
        Table ``audit_series``.

    Returns
    -------
    matplotlib.figure.Figure
        Lines are coloured by the layer's place in the network; up to ten are named above.
    """
    rows = [row for row in series.to_pylist() if row["alpha"] is not None]
    names = dict.fromkeys(row["layer_name"] for row in rows)
    figure = Figure(figsize=(PAGE, 3.2), layout="constrained")
    axes = figure.subplots()
    if not rows:
        annotate_empty(axes, "no layer has a tail index")
        return figure
    for number, (name, colour) in enumerate(zip(names, palette(len(names)), strict=True)):
        line = sorted((row for row in rows if row["layer_name"] == name), key=lambda row: row["step"])
        steps = [row["step"] for row in line]
        values = [min(row["alpha"], _LAST) for row in line]
        ends = np.clip([[row["alpha_low"], row["alpha_high"]] for row in line], 0, _LAST).T
        axes.fill_between(steps, *ends, color=colour, alpha=0.12, linewidth=0)
        axes.plot(
            steps,
            values,
            "o-",
            color=colour,
            markersize=2.5,
            linewidth=0.9,
            label=f"{number}: {shorten_left(name, 24)}",
        )
    axes.axhline(2.0, color=GREY, linestyle="--", linewidth=0.7, zorder=0)
    axes.set(xlabel="step", ylabel=r"tail index $\hat\alpha$ of rows", ylim=(_limit([row | {"entries_alpha": None} for row in rows]), _LAST))  # fmt: skip
    if len(names) <= _NAMED:
        figure.legend(loc="outside upper center", ncols=3)
    else:
        scale = ScalarMappable(Normalize(0, len(names) - 1), colour_map())
        figure.colorbar(scale, ax=axes, label="layer, from first to last", pad=0.01)
    return figure
