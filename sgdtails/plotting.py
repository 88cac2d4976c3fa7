"""Figures as functions of tables: ``table -> Figure``. Style in one place; nothing here reads or writes a file of data."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.ticker
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from sgdtails.storage import atomic
from sgdtails.tables import converged

COLUMN, PAGE = 3.35, 7.0  # inches: one column and both of a two-column page
ORANGE, BLUE, GREEN, GREY = "#E69F00", "#0072B2", "#009E73", "#555555"  # Okabe and Ito's colour-blind-safe set
MARKERS = (("o", BLUE), ("^", ORANGE), ("s", GREEN), ("D", "#CC79A7"), ("v", "#56B4E9"), ("P", "#D55E00"))
ALPHA = r"mean tail index $\hat\alpha$"
RATIO = r"step size / batch size $\eta/b$"
STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.linewidth": 0.3, "grid.color": "#dddddd", "pdf.fonttype": 42, "savefig.dpi": 300,
}  # fmt: skip
Panels = Iterator[tuple[Axes, list[dict[str, Any]]]]


def figure_1(runs: pa.Table, tails: pa.Table) -> Figure:
    """Mean estimated tail index against eta/b, one point per converged run, one panel per model and dataset."""
    figure, panels = _run_panels(runs, tails)
    sizes = sorted(set(runs["batch_size"].to_pylist()))
    for axes, rows in panels:
        for size, (marker, colour) in zip(sizes, MARKERS * len(sizes), strict=False):
            points = [(row["eta_over_b"], row["alpha"]) for row in rows if row["batch_size"] == size]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    marker,
                    color=colour,
                    markersize=3.5,
                    alpha=0.8,
                    linestyle="none",
                    label=f"$b$ = {size}",
                )
        axes.set_xscale("log")
        _label_log(axes.xaxis)
    figure.supxlabel(RATIO, fontsize=8)
    figure.supylabel(ALPHA, fontsize=8)
    return _with_legend(figure)


def figure_7(runs: pa.Table, tails: pa.Table) -> Figure:
    """Test accuracy against mean estimated tail index, coloured by eta/b on one scale for all panels."""
    figure, panels = _run_panels(runs, tails)
    ratios = [row["eta_over_b"] for row in converged(runs, tails)] or [1e-3, 1e-1]
    norm = LogNorm(min(ratios), max(ratios) if max(ratios) > min(ratios) else 2 * min(ratios))
    points = None
    for axes, rows in panels:
        alpha, accuracy, ratio = ([row[key] for row in rows] for key in ("alpha", "test_accuracy", "eta_over_b"))
        points = axes.scatter(
            alpha,
            [100 * value for value in accuracy],
            c=ratio,
            norm=norm,
            cmap="cividis_r",
            s=14,
            edgecolors=GREY,
            linewidths=0.3,
        )
    if points is not None:
        bar = figure.colorbar(points, ax=figure.axes, pad=0.02, aspect=30, label=RATIO)
        _label_log(bar.ax.yaxis)
    figure.supxlabel(ALPHA, fontsize=8)
    figure.supylabel("test accuracy (%)", fontsize=8)
    return figure


def figure_2(histograms: pa.Table) -> Figure:
    """Above: histograms of the two halves of a random partition of a layer. Below: the layer and a stable sample of its tail index."""
    groups = _grouped(histograms.to_pylist())
    figure = Figure(figsize=(max(COLUMN, 1.75 * len(groups)), 3.4), layout="constrained")
    grid = figure.subplots(2, max(1, len(groups)), squeeze=False, sharey="row")
    comparisons = (
        (("half_a", "half A", BLUE), ("half_b", "half B", ORANGE)),
        (("all", "weights", BLUE), ("stable", "stable sample", ORANGE)),
    )
    for column, (title, rows) in enumerate(groups.items()):
        for axes, series in zip(grid[:, column], comparisons, strict=True):
            for name, label, colour in series:
                bins = [row for row in rows if row["series"] == name]
                edges = [row["low"] for row in bins] + [bins[-1]["high"]]
                axes.stairs([row["density"] for row in bins], edges, color=colour, alpha=0.45, fill=True, label=label)
                axes.stairs([row["density"] for row in bins], edges, color=colour, linewidth=0.6)
            axes.set_yscale("log")
        first = rows[0]
        grid[0, column].set_title(f"{title}\n{first['layer_name']}, $\\hat\\alpha$ = {first['alpha']:.2f}")
    for axes in grid[:, 0]:
        axes.set_ylabel("density")
    figure.supxlabel("weight", fontsize=8)
    for axes in grid[:, -1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


FIGURES: dict[str, Callable[..., Figure]] = {"fig01": figure_1, "fig02": figure_2, "fig07": figure_7}


def render(name: str, tables: Mapping[str, pa.Table], outputs: list[str]) -> None:
    """Draw figure ``name`` from its tables and save it at each path, with no time stamp inside."""
    with matplotlib.rc_context(STYLE):
        figure = FIGURES[name](**tables)
        for path in outputs:
            with atomic(path) as temporary:
                kind = Path(path).suffix[1:]
                figure.savefig(temporary, format=kind, metadata={"CreationDate": None} if kind == "pdf" else None)


def _grouped(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by panel title, in the order of first appearance."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{row['model'].upper()}, {row['dataset'].upper()}", []).append(row)
    return groups


def _run_panels(runs: pa.Table, tails: pa.Table) -> tuple[Figure, Panels]:
    """A figure with one titled panel per model and dataset, and an iterator over panels and their converged runs.

    The title says how many runs are shown and how many are left out, and why.
    """
    groups = _grouped(runs.to_pylist())
    shown = _grouped(converged(runs, tails))
    columns = min(3, len(groups))
    lines = -(-len(groups) // columns)
    figure = Figure(figsize=(max(COLUMN, PAGE * columns / 3), 2.1 * lines + 0.5), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for unused in grid[len(groups) :]:
        unused.remove()

    def panels() -> Panels:
        for axes, (title, everything) in zip(grid, groups.items(), strict=False):
            rows = shown.get(title, [])
            left_out = [
                f"{sum(row['status'] == status for row in everything)} {word}"
                for status, word in (("diverged", "diverged"), ("budget", "over budget"))
            ]
            note = "; ".join([f"$n$ = {len(rows)}", *(text for text in left_out if not text.startswith("0 "))])
            axes.set_title(f"{title}\n{note}")
            if not rows:
                axes.text(0.5, 0.5, "no run converged", ha="center", va="center", transform=axes.transAxes)
            yield axes, rows

    return figure, panels()


def _label_log(axis: Any) -> None:
    """Ticks at 1, 2 and 5 of each decade, written out: short log axes hold no power of ten."""
    axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _with_legend(figure: Figure) -> Figure:
    """One legend for all panels, above them."""
    entries = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if entries:
        figure.legend(list(entries.values()), list(entries), loc="outside upper right", ncols=len(entries))
    return figure
