"""The paper's figures as functions of tables: one per figure, its arguments are the tables it is drawn from."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure

from sgdtails.figures import audit_figures, comparisons, kesten_figures, theory_figures, trust_figures
from sgdtails.figures.style import (
    BLUE,
    COLUMN,
    GAUSSIAN,
    GREY,
    KAPPA,
    MARKERS,
    ORANGE,
    PAGE,
    RATIO,
    STYLE,
    UNIFORM,
    colours,
    ending,
    grouped,
    label_log,
    run_panels,
    say,
    with_legend,
    wrapped,
)
from sgdtails.io.storage import atomic
from sgdtails.io.tables import accuracy_of, converged
from sgdtails.tail_index import network_index
from sgdtails.tail_index.network_index import Index

PAPERS = Index()
# Colours that number layers, without the scale's pale end.
LAYERS = LinearSegmentedColormap.from_list("layers", colormaps["viridis"](np.linspace(0, 0.85, 256)))


def figure_1(runs: pa.Table, *, index: Index = PAPERS) -> Figure:
    """Tail index against eta/b, one point per converged run, one panel per model, dataset and variant."""
    figure, panels = run_panels(runs)
    sizes = sorted(set(runs["batch_size"].to_pylist()))
    for axes, rows in panels:
        for size, (marker, colour) in zip(sizes, itertools.cycle(MARKERS), strict=False):
            points = [(row["eta_over_b"], row["alpha"]) for row in rows if row["batch_size"] == size]
            _scatter(axes, points, marker, colour, label=f"$b$ = {size}")
        axes.set_xscale("log")
        label_log(axes.xaxis)
    figure.supxlabel(RATIO, fontsize=8)
    figure.supylabel(index.axis, fontsize=8)
    return with_legend(figure)


def figure_2(histograms: pa.Table) -> Figure:
    """Above: histograms of the two halves of a random partition of a layer. Below: the layer and a stable sample of its tail index."""
    groups = grouped(histograms.to_pylist())
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
        name = ending(first["layer_name"], 22)
        between = ", " if len(name) < 12 else "\n"
        grid[0, column].set_title(f"{wrapped(title, 1.75)}\n{name}{between}$\\hat\\alpha$ = {first['alpha']:.2f}")
    for axes in grid[:, 0]:
        axes.set_ylabel("density")
    figure.supxlabel("weight", fontsize=8)
    if not groups:
        say(grid[0, 0], "no run converged")
    for axes in grid[:, -1] if groups else ():
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def figure_3(runs: pa.Table, tails: pa.Table, compression: pa.Table, *, index: Index = PAPERS) -> Figure:
    """Tail index against pruning ratio at a relative l2 error of 0.1: one point per layer of a converged run, and of its start.

    Colours number the trained layers.
    """
    points = _layer_points(tails, compression, index)
    heads = {run: max(rows, default=0) for run, rows in points["average"].items()}

    def count(rows: list[dict[str, Any]]) -> str:
        return f"$n$ = {sum(len(points['average'].get(row['run'], {})) for row in rows)} layers of {len(rows)} runs"

    figure, panels = run_panels(runs, count=count)
    numbers = Normalize(1, max([2, *(1 + head for head in heads.values())]))
    for axes, rows in panels:
        shown = [row["run"] for row in rows]
        start = [point for run in shown for point in points["initial"].get(run, {}).values()]
        _scatter(axes, start, "x", GREY, label="at initialisation")
        for marker, label, of_head in (("o", "trained", False), ("^", "trained, head", True)):
            chosen = [
                (layer + 1, *point)
                for run in shown
                for layer, point in points["average"].get(run, {}).items()
                if (layer == heads[run]) == of_head
            ]
            if chosen:
                layers, x, y = zip(*chosen, strict=True)
                axes.scatter(x, y, c=layers, norm=numbers, cmap=LAYERS, marker=marker, s=9, linewidths=0, label=label)
        for value, style, label in ((UNIFORM, ":", "uniform"), (GAUSSIAN, "--", "Gaussian")):
            axes.axvline(value, color=GREY, linestyle=style, linewidth=0.7, zorder=0, label=label)
    figure.colorbar(ScalarMappable(numbers, LAYERS), ax=figure.axes, pad=0.02, aspect=30, label="layer")
    figure.supxlabel(rf"{KAPPA} at a relative $\ell_2$ error of 0.1", fontsize=8)
    figure.supylabel(r"tail index $\hat\alpha$ of the layer" + (", clipped at 2" if index.clipped else ""), fontsize=8)
    return with_legend(figure)


def _layer_points(
    tails: pa.Table, compression: pa.Table, index: Index
) -> dict[str, dict[str, dict[int, tuple[float, float]]]]:
    """(1 - kappa, tail index) of each layer that has both, by weights (initial or average: trained), run and layer."""
    wanted = (pc.field("structure") == "entries") & (pc.field("p") == 2) & (pc.field("epsilon") == 0.1)
    ratio = {
        ("initial" if row["weights"] == "initial" else "average", row["run"], row["layer"]): 1 - row["kappa"]
        for row in compression.filter(wanted).to_pylist()
    }
    found: dict[str, dict[str, dict[int, tuple[float, float]]]] = {}
    for weights in ("initial", "average"):
        for run, rows in network_index.aggregates(tails, index.estimator, weights).items():
            points = found.setdefault(weights, {}).setdefault(run, {})
            for row in rows:
                alpha, pruned = index.of_layer(row), ratio.get((weights, run, row["layer"]))
                if alpha is not None and pruned is not None:
                    points[row["layer"]] = (pruned, alpha)
    return {weights: found.get(weights, {}) for weights in ("initial", "average")}


def figure_4(runs: pa.Table, pruning: pa.Table, *, scheme: str = "ratio", index: Index = PAPERS) -> Figure:
    """Relative test accuracy against pruning ratio, layer-wise magnitude pruning."""
    return _accuracy_curves(runs, pruning, index, "layer_magnitude", scheme)


def figure_5(runs: pa.Table, pruning: pa.Table, *, scheme: str = "ratio", index: Index = PAPERS) -> Figure:
    """Relative test accuracy against pruning ratio, singular value pruning: negative where the factors are larger than the matrix."""
    return _accuracy_curves(runs, pruning, index, "singular_value", scheme)


def figure_6(runs: pa.Table, pruning: pa.Table, *, scheme: str = "ratio", index: Index = PAPERS) -> Figure:
    """Relative test accuracy against pruning ratio, kernel pruning of convolutional networks."""
    return _accuracy_curves(runs, pruning, index, "kernel", scheme)


def figure_7(runs: pa.Table, *, weights: str = "last", index: Index = PAPERS) -> Figure:
    """Test accuracy of the ``weights`` that are pruned against the tail index, coloured by eta/b on one scale for all panels."""
    figure, panels = run_panels(runs)
    ratios = [row["eta_over_b"] for row in converged(runs)] or [1e-3, 1e-1]
    norm = LogNorm(min(ratios), max(ratios) if max(ratios) > min(ratios) else 2 * min(ratios))
    for axes, rows in panels:
        alpha, ratio = ([row[key] for row in rows] for key in ("alpha", "eta_over_b"))
        accuracy = [100 * accuracy_of(row, weights) for row in rows]
        axes.scatter(alpha, accuracy, c=ratio, norm=norm, cmap="cividis_r", s=14, edgecolors=GREY, linewidths=0.3)
    bar = figure.colorbar(ScalarMappable(norm, "cividis_r"), ax=figure.axes, pad=0.02, aspect=30, label=RATIO)
    label_log(bar.ax.yaxis)
    figure.supxlabel(index.axis, fontsize=8)
    figure.supylabel("test accuracy (%)", fontsize=8)
    return figure


def figure_8(synthetic: pa.Table) -> Figure:
    """Tail index against pruning ratio at a fixed error, for sampled matrices: independent entries, columns, whole layer."""
    rows = synthetic.to_pylist()
    figure = Figure(figsize=(PAGE, 2.2), layout="constrained")
    panels = (
        ("independent", r"$W_{\mathrm{ind}}$: entries"),
        ("columns", r"$W_{\mathrm{col}}$: columns"),
        ("layer", r"$W_{\mathrm{lay}}$: layer"),
    )
    grid = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, (structure, title) in zip(grid, panels, strict=True):
        points = [(1 - row["kappa"], row["alpha"]) for row in rows if row["structure"] == structure]
        _scatter(axes, points, "o", BLUE, markersize=2)
        if (rows[0]["p"], rows[0]["epsilon"]) == (2.0, 0.1):
            axes.axvline(GAUSSIAN, color=GREY, linestyle="--", linewidth=0.7, zorder=0, label="Gaussian")
        axes.set_title(title)
    if grid[-1].get_legend_handles_labels()[1]:
        grid[-1].legend(loc="upper right")
    figure.supxlabel(rf"{KAPPA} at a relative $\ell_{{{rows[0]['p']:g}}}$ error of {rows[0]['epsilon']:g}", fontsize=8)
    figure.supylabel(r"tail index $\alpha$", fontsize=8)
    return figure


def figure_9(runs: pa.Table, pruning: pa.Table, *, index: Index = PAPERS) -> Figure:
    """Relative test accuracy against pruning ratio, global magnitude pruning."""
    return _accuracy_curves(runs, pruning, index, "global_magnitude")


def figure_10(runs: pa.Table, pruning: pa.Table, *, scheme: str = "ratio", index: Index = PAPERS) -> Figure:
    """Relative test accuracy against pruning ratio, node pruning of fully connected networks."""
    return _accuracy_curves(runs, pruning, index, "node", scheme)


def figure_11(theory: pa.Table) -> Figure:
    """The factor p_epsilon(kappa) of Theorem 7 and its simpler upper bound."""
    rows = theory.to_pylist()
    figure = Figure(figsize=(COLUMN, 2.5), layout="constrained")
    axes = figure.subplots()
    levels = sorted({row["epsilon"] for row in rows})
    for epsilon, colour in zip(levels, colours(len(levels)), strict=True):
        line = [row for row in rows if row["epsilon"] == epsilon]
        kappa = [row["kappa"] for row in line]
        axes.plot(
            kappa, [row["p_epsilon"] for row in line], color=colour, linewidth=1, label=rf"$\epsilon$ = {epsilon:g}"
        )
        axes.plot(kappa, [row["bound"] for row in line], color=colour, linewidth=0.8, linestyle="--")
    axes.plot([], [], color=GREY, linewidth=0.8, linestyle="--", label="bound")
    axes.set(xlabel=r"kept fraction $\kappa$", ylabel=r"$p_\epsilon(\kappa)$", ylim=(0, 1.05))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def figure_12(magnitudes: pa.Table) -> Figure:
    """Histogram of |x| for independent SaS(1) draws: a few of them hold most of the squared norm."""
    rows = magnitudes.to_pylist()
    figure = Figure(figsize=(COLUMN, 2.3), layout="constrained")
    axes = figure.subplots()
    edges = [row["low"] for row in rows] + [rows[-1]["high"]]
    axes.stairs([row["count"] for row in rows], edges, color=BLUE, fill=True)
    axes.set_yscale("log")
    draws, beyond = sum(row["count"] for row in rows), rows[1:]
    axes.set_title(
        f"{draws:,} draws, $\\alpha$ = {rows[0]['alpha']:g}: the {sum(row['count'] for row in beyond)} above "
        f"{edges[1]:.3g}\nhold {100 * sum(row['share'] for row in beyond):.0f}% of the squared norm"
    )
    axes.set(xlabel=r"$|x|$", ylabel="draws")
    return figure


def pruned_rows(runs: pa.Table, pruning: pa.Table, *, scheme: str = "ratio", index: Index = PAPERS) -> Figure:
    """Relative test accuracy against pruning ratio, rows of linear layers."""
    return _accuracy_curves(runs, pruning, index, "row", scheme)


def pruned_filters(runs: pa.Table, pruning: pa.Table, *, scheme: str = "ratio", index: Index = PAPERS) -> Figure:
    """Relative test accuracy against pruning ratio, filters of convolutions."""
    return _accuracy_curves(runs, pruning, index, "filter", scheme)


def pruned_channels(runs: pa.Table, pruning: pa.Table, *, scheme: str = "ratio", index: Index = PAPERS) -> Figure:
    """Relative test accuracy against pruning ratio, input channels of convolutions."""
    return _accuracy_curves(runs, pruning, index, "channel", scheme)


_ALL: tuple[Callable[..., Figure], ...] = (
    *(figure_1, figure_2, figure_3, figure_4, figure_5, figure_6),
    *(figure_7, figure_8, figure_9, figure_10, figure_11, figure_12),
)
FIGURES: dict[str, Callable[..., Figure]] = {
    **{f"fig{number:02d}": function for number, function in enumerate(_ALL, start=1)},
    "profiles": trust_figures.profiles,
    "calibration": trust_figures.calibration,
    "confusion": trust_figures.confusion,
    "kesten": kesten_figures.kesten,
    "theorems": theory_figures.theorems,
    "perturbation": theory_figures.perturbation,
    "comparisons": comparisons.comparisons,
    "errors": comparisons.errors,
    "audit": audit_figures.audit,
    "rows": pruned_rows,
    "filters": pruned_filters,
    "channels": pruned_channels,
}


def render(name: str, tables: Mapping[str, pa.Table], outputs: list[str], **settings: Any) -> None:
    """Draw figure ``name`` from its tables and settings and save it at each path, with no time stamp inside."""
    with matplotlib.rc_context(STYLE):
        figure = FIGURES[name](**tables, **settings)
        for path in outputs:
            with atomic(path) as temporary:
                kind = Path(path).suffix[1:]
                figure.savefig(temporary, format=kind, metadata={"CreationDate": None} if kind == "pdf" else None)


def _accuracy_curves(runs: pa.Table, pruning: pa.Table, index: Index, method: str, scheme: str = "ratio") -> Figure:
    """One line per converged run, darker for heavier tails, on one colour scale for all panels and methods.

    ``scheme``: networks pruned by one ratio for all layers (ratio), or to one relative error of each layer (error; dots).
    """
    by_error = scheme == "error"
    rows = [
        row
        for row in pruning.to_pylist()
        if (row["method"], row.get("epsilon") is not None) == (method, by_error) and row["weights"] != "initial"
    ]
    figure, panels = run_panels(runs, among={row["run"] for row in rows})
    alphas = [row["alpha"] for row in converged(runs)] or [1.9, 2.0]
    scale = ScalarMappable(Normalize(min(alphas), max(alphas)), "cividis")
    for axes, shown in panels:
        for run in sorted(shown, key=lambda run: -run["alpha"]):
            line = sorted((row for row in rows if row["run"] == run["run"]), key=lambda row: row["pruned_ratio"])
            axes.plot(
                [row["pruned_ratio"] for row in line],
                [row["relative_test_accuracy"] for row in line],
                color=scale.to_rgba(run["alpha"]),
                **({"linewidth": 0.5, "marker": "o", "markersize": 2.5} if by_error else {"linewidth": 0.9}),
            )
        axes.set_ylim(0, 1.05)
    figure.colorbar(scale, ax=figure.axes, pad=0.02, aspect=30, label=index.axis)
    error = "\nevery layer at one relative $\\ell_2$ error" if by_error else ""
    figure.supxlabel(KAPPA + error, fontsize=8)
    figure.supylabel("relative test accuracy", fontsize=8)
    return figure


def _scatter(axes: Axes, points: list[tuple[float, float]], marker: str, colour: str, **style: Any) -> None:
    if points:
        options: dict[str, Any] = {"markersize": 3.5, "alpha": 0.8, "linestyle": "none", "markeredgewidth": 0.7} | style
        axes.plot(*zip(*points, strict=True), marker, color=colour, **options)
