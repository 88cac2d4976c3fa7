"""Figures beyond the paper that say how far tail indices can be trusted: profiles with nulls, calibration, confusion."""

from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgdtails.figures.style import BLUE, GREEN, GREY, ORANGE, PAGE, ending, grouped, say, with_legend, wrapped

_NULLS = (
    ("gaussian", "Gaussian", GREY),
    ("shuffled", "entries shuffled", ORANGE),
    ("initial", "initial weights", GREEN),
)
_ESTIMATORS = (("mmo_multivariate", "rows"), ("mmo_univariate", "entries"))
_TICKS = (2, 5, 20, 100, 500)  # of block lengths
_TOP = 3.0  # of the axis of tail indices: estimates above are drawn at it


def profiles(profiles: pa.Table) -> Figure:
    """Tail index against block length, layer by layer, of one run per panel, over the bands of three nulls."""
    groups = grouped(profiles.to_pylist())
    counts = {title: 1 + max(row["layer"] for row in rows) for title, rows in groups.items()}
    columns = max(counts.values(), default=1)
    lines = len(_ESTIMATORS) * max(1, len(groups))
    figure = Figure(figsize=(1.35 * columns + 0.6, 1.45 * lines + 0.4), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for number, (title, rows) in enumerate(groups.items()):
        for offset, (estimator, kind) in enumerate(_ESTIMATORS):
            line = grid[len(_ESTIMATORS) * number + offset]
            line[0].set_ylabel(f"{wrapped(title, 1.4)}\n{kind}: $\\hat\\alpha$", fontsize=7)
            for unused in line[counts[title] :]:
                unused.remove()
            for layer, axes in enumerate(line[: counts[title]]):
                of_layer = [row for row in rows if row["layer"] == layer]
                _profile(axes, [row for row in of_layer if row["estimator"] == estimator])
                if offset == 0 and of_layer:
                    axes.set_title(_named(of_layer[0]), fontsize=7)
    if not groups:
        say(grid[0][0], "no run converged")
    least = [row["alpha"] for rows in groups.values() for row in rows if row["series"] == "observed"]
    grid[0][0].set_ylim(min([1.0, *least]), _TOP)
    figure.supxlabel("block length $K_1$", fontsize=8)
    return with_legend(figure)


def _named(row: dict[str, Any]) -> str:
    word = row["reading"].removesuffix("-like").replace("finite-variance", "finite var.")
    name, short = ending(row["layer_name"], 18), len(row["layer_name"]) < 10
    name = name if short else f"{row['layer']}: {name}"  # its end may be that of other layers
    return f"{name}:{' ' if short else chr(10)}{word.replace('scale-mixture', 'scale mixt.')}"


def _profile(axes: Axes, rows: list[dict[str, Any]]) -> None:
    if not rows:
        axes.set_xticks([])
        say(axes, "no profile", fontsize=7)
        return
    for name, label, colour in _NULLS:
        band = [row for row in rows if row["series"] == name]
        if not band:  # initial weights that are all equal
            continue
        ends = np.minimum([[row["alpha_low"], row["alpha_high"]] for row in band], _TOP)
        axes.fill_between([row["k1"] for row in band], *ends.T, color=colour, alpha=0.35, linewidth=0, label=label)
    line = [row for row in rows if row["series"] == "observed"]
    values = np.minimum([row["alpha"] for row in line], _TOP)
    axes.plot([row["k1"] for row in line], values, "o-", color=BLUE, markersize=2, linewidth=1, label="layer")
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [f"{tick}" for tick in _TICKS], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlim(1.7, 1.2 * max(row["k1"] for row in rows))
    axes.tick_params(labelsize=6)


def calibration(calibration: pa.Table) -> Figure:
    """Bias and spread of 1/alpha and coverage of its 95% intervals against the true alpha, a column per shape of layer."""
    rows = [
        row for row in calibration.to_pylist() if row["k1"] is None and not row["estimator"].startswith("published")
    ]
    shapes = sorted({(row["observations"], row["dimension"]) for row in rows})
    lines = [(name, "independent") for name in dict.fromkeys(row["estimator"] for row in rows)]
    lines.insert(1, ("mmo_multivariate", "elliptical"))
    figure = Figure(figsize=(max(PAGE, 1.6 * len(shapes) + 1.9), 5.2), layout="constrained")
    grid = figure.subplots(3, len(shapes), squeeze=False, sharex=True, sharey="row")
    for column, (observations, dimension) in enumerate(shapes):
        here = [row for row in rows if (row["observations"], row["dimension"]) == (observations, dimension)]
        grid[0, column].set_title(f"{observations} \u00d7 {dimension}")
        for quantity, axes in zip(("bias", "spread", "coverage"), grid[:, column], strict=True):
            for number, (estimator, structure) in enumerate(lines):
                points = [
                    (row["alpha"], row[quantity])
                    for row in here
                    if (row["estimator"], row["structure"]) == (estimator, structure) and row[quantity] is not None
                ]
                if points:
                    axes.plot(*zip(*sorted(points), strict=True), **_line(estimator, structure, number))
    for axes in grid[0]:
        axes.axhline(0, color=GREY, linewidth=0.5, zorder=0)
        axes.set_yscale("symlog", linthresh=0.01)
    for axes in grid[1]:
        axes.set_yscale("log")
    for axes in grid[2]:
        axes.axhspan(0.93, 0.97, color=GREY, alpha=0.3, linewidth=0)
        axes.set_ylim(0, 1.02)
    for axes, label in zip(
        grid[:, 0], (r"bias of $1/\hat\alpha$", r"spread of $1/\hat\alpha$", "coverage"), strict=True
    ):
        axes.set_ylabel(label)
    figure.supxlabel(r"true tail index $\alpha$", fontsize=8)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure


def _line(estimator: str, structure: str, number: int) -> dict[str, Any]:
    """How the line of an estimator looks: the published ones stand out."""
    label = estimator.replace("_", " ")
    if not estimator.startswith("mmo"):
        style = {"linestyle": "--", "marker": ".", "linewidth": 0.8, "markersize": 3}
        return style | {"color": f"C{number % 10}", "label": label}
    style = {"linestyle": "-", "linewidth": 1.2, "markersize": 3.5}
    if structure == "elliptical":
        return style | {"color": "black", "marker": "o", "label": f"{label}, elliptical"}
    univariate = estimator == "mmo_univariate"
    return style | {"color": ORANGE if univariate else BLUE, "marker": "s" if univariate else "o", "label": label}


def confusion(confusion: pa.Table) -> Figure:
    """How often layers of a known law are read as each word; a frame marks what they should be read as."""
    rows = confusion.to_pylist()
    shapes = sorted({(row["observations"], row["dimension"]) for row in rows})
    laws, words = (list(dict.fromkeys(row[key] for row in rows)) for key in ("law", "reading"))
    figure = Figure(figsize=(max(PAGE, 2.0 * len(shapes) + 1.4), 0.24 * len(laws) + 1.3), layout="constrained")
    grid = figure.subplots(1, len(shapes), squeeze=False, sharey=True)[0]
    for axes, shape in zip(grid, shapes, strict=True):
        table = {(row["law"], row["reading"]): row for row in rows if (row["observations"], row["dimension"]) == shape}
        shares = np.array([[table[law, word]["count"] / table[law, word]["layers"] for word in words] for law in laws])
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for y, law in enumerate(laws):
            for x, word in enumerate(words):
                if shares[y, x]:
                    colour = "white" if shares[y, x] > 0.6 else "black"
                    axes.text(x, y, f"{100 * shares[y, x]:.0f}", ha="center", va="center", fontsize=6, color=colour)
                if table[law, word]["truth"] == word:
                    axes.add_patch(_frame(x, y))
        axes.set_title(f"{shape[0]} \u00d7 {shape[1]}, {rows[0]['layers']} layers each")
        axes.set_xticks(range(len(words)), [word.removesuffix("-like") for word in words], rotation=25, ha="right")
        axes.set_yticks(range(len(laws)), [law.replace("_", " ") for law in laws])
        axes.grid(False)
    figure.supxlabel("reading: % of the layers of each law; framed: what the law is", fontsize=8)
    return figure


def _frame(x: int, y: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fill=False, edgecolor=ORANGE, linewidth=1.2)
