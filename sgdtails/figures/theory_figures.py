"""Figures of the theory: the theorems on stable samples, and Lemma 1 on the study's networks."""

from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdtails.figures.style import BLUE, GREY, ORANGE, PAGE, colours, grouped, label_log, panel_grid, with_legend

_PANELS = (
    ("theorem_2_global", "error", 1.0, "Theorem 2 (i): all weights together"),
    ("theorem_2_layers", "largest_error", 1.0, "Theorem 2 (ii): three layers"),
    ("theorem_3", "eigenvalue_error", 0.5, "Theorem 3: eigenvalues"),
    ("theorem_4", "error", 1.0, "Theorem 4: columns"),
    ("proposition_8", "kappa", 1.0, "Proposition 8: $\\kappa_p$ by tail index"),
)


def theorems(theorems: pa.Table) -> Figure:
    """Relative error of pruning stable samples against their size, mean and band, one panel per theorem; kappa in the last one.

    Full lines: p > alpha (for eigenvalues p > alpha/2), where the theorems promise 0. Dashed: they promise nothing, and the
    error tends to the tick at the right, where it is known. Proposition 8 compares the dashed lines.
    """
    rows = theorems.to_pylist()
    kappa = min(row["kappa"] for row in rows if row["kappa"] is not None)
    alphas = sorted({row["alpha"] for row in rows})
    by_alpha = dict(zip(alphas, colours(len(alphas)), strict=True))
    figure = Figure(figsize=(PAGE, 4.6), layout="constrained")
    grid = figure.subplots(2, 3).ravel()
    for axes, (theorem, quantity, share, title) in zip(grid, _PANELS, strict=False):
        shown = [row for row in rows if (row["theorem"], row["quantity"]) == (theorem, quantity)]
        for alpha, colour in by_alpha.items():
            for p in sorted({row["p"] for row in shown}):
                line = [
                    row for row in shown if (row["alpha"], row["p"]) == (alpha, p) and row["kappa"] in (None, kappa)
                ]
                _band(axes, line, colour, promised=p > alpha * share and alpha < 2)
        axes.set_xscale("log")
        axes.set_title(title)
        axes.set_ylim(0, 1)
        if theorem in ("theorem_3", "theorem_4"):
            axes.set_xlabel("width $h$")
            label_log(axes.xaxis)
        else:
            axes.set_xlabel("entries $d$")
        first = shown[0]
        label = rf"$\kappa_p$ at $\epsilon$ = {first['epsilon']:g}" if quantity == "kappa" else "relative error"
        axes.set_ylabel(label)
    norms = " and ".join(f"{p:g}" for p in sorted({row["p"] for row in rows if row["theorem"] == "theorem_4"}))
    _key(figure, grid[-1], by_alpha, f"kept share $\\kappa$ = {kappa:g}\n$p$ = {norms}; of eigenvalues, half that")
    return figure


def perturbation(perturbation: pa.Table) -> Figure:
    """Largest change of the logits under layer-wise magnitude pruning against both bounds of Lemma 1, one panel per model."""
    groups = grouped([row for row in perturbation.to_pylist() if row["measured"] > 0])
    figure, grid = panel_grid(len(groups), height=2.4, nothing="no run to prune")
    for axes, (title, rows) in zip(grid, groups.items(), strict=False):
        measured = [row["measured"] for row in rows]
        for name, (marker, colour), label in (
            ("bound_network", ("^", ORANGE), "bound (C.2)"),
            ("bound_layers", ("o", BLUE), "bound (C.1)"),
        ):
            style: dict[str, Any] = {"markersize": 2.5, "linestyle": "none", "alpha": 0.5, "markeredgewidth": 0}
            axes.plot([row[name] for row in rows], measured, marker, color=colour, label=label, **style)
        ends = min(measured) / 2, 2 * max(row["bound_network"] for row in rows)
        axes.plot(ends, ends, color=GREY, linewidth=0.8, label="measured = bound")
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
        runs = len({row["run"] for row in rows})
        axes.set_title(f"{title}\n{runs} run{'s' * (runs > 1)}, {len(rows)} pruned networks")
    figure.supxlabel("bound of the change of the logits", fontsize=8)
    figure.supylabel("largest change measured", fontsize=8)
    return with_legend(figure)


def _band(axes: Axes, line: list[dict[str, Any]], colour: str, *, promised: bool) -> None:
    """Mean and band of one curve against size, and a tick at its limit."""
    sizes = [row["size"] for row in line]
    style = "-" if promised else "--"
    axes.plot(sizes, [row["mean"] for row in line], style, color=colour, linewidth=1)
    axes.fill_between(
        sizes, [row["low"] for row in line], [row["high"] for row in line], color=colour, alpha=0.15, linewidth=0
    )
    limit = line[0]["limit"]
    if limit is not None and not promised:
        axes.plot(
            [1.0, 1.04],
            [limit, limit],
            color=colour,
            linewidth=1.5,
            transform=axes.get_yaxis_transform(),
            clip_on=False,
        )


def _key(figure: Figure, place: Axes, colours: dict[float, str], note: str) -> None:
    """The legend, where a panel was."""
    handles = [
        Line2D([], [], color=colour, label=rf"$\alpha$ = {alpha:g}" + (" (normal)" if alpha == 2 else ""))
        for alpha, colour in colours.items()
    ]
    handles.append(Line2D([], [], linestyle="-", color=GREY, label="$p > \\alpha$: tends to 0"))
    text = "$p \\leq \\alpha$, or normal: tends to the tick,\nif there is one"
    handles.append(Line2D([], [], linestyle="--", color=GREY, label=text))
    place.remove()
    figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=(0.7, 0.25), title=note, alignment="left", title_fontsize=7
    )
