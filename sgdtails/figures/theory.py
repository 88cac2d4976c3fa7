"""Figure 11, and figures of the theorems on stable samples and of Lemma 1 on the study's networks."""

from functools import partial
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sgdtails.figures import theme
from sgdtails.figures.elements import ticks
from sgdtails.figures.elements.arrange import grid
from sgdtails.figures.elements.run_panels import NAMES, Rows, by_title
from sgdtails.figures.plot import Panel, Plot
from sgdtails.labels import Labels

# Quantity, share of alpha that p has to exceed, title and label of the size, by theorem.
_THEOREMS = {
    "theorem_2_global": ("error", 1.0, "Theorem 2 (i): all weights together", "entries $d$"),
    "theorem_2_layers": ("largest_error", 1.0, "Theorem 2 (ii): three layers", "entries $d$"),
    "theorem_3": ("eigenvalue_error", 0.5, "Theorem 3: eigenvalues", "width $h$"),
    "theorem_4": ("error", 1.0, "Theorem 4: columns", "width $h$"),
    "proposition_8": ("kappa", 1.0, "Proposition 8: $\\kappa_p$ by tail index", "entries $d$"),
}


def theorems(theorems: pa.Table) -> Plot:
    """Plot the relative error of pruning stable samples against their size: mean and band.

    Solid lines: p > alpha (for eigenvalues p > alpha/2), where the theorems say that the error tends to 0. Dashed lines: they
    say nothing, and the error tends to the tick at the right, where the limit is known. Proposition 8 compares kappa
    of the dashed lines.

    Parameters
    ----------
    theorems : pyarrow.Table
        Table ``theorems``.

    Returns
    -------
    Plot
        One panel per theorem, under its name in column ``theorem``.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> list(theorems(tables.read("studies/mnist-narrow/tables/theorems.parquet")).panels)
    ['theorem_2_global', 'theorem_2_layers', 'theorem_3', 'theorem_4', 'proposition_8']
    """
    rows = theorems.to_pylist()
    kappa = min(row["kappa"] for row in rows if row["kappa"] is not None)
    alphas = sorted({row["alpha"] for row in rows})
    colours = dict(zip(alphas, theme.palette(len(alphas)), strict=True))
    panels = {}
    for theorem, (quantity, share, title, size) in _THEOREMS.items():
        shown = [row for row in rows if (row["theorem"], row["quantity"]) == (theorem, quantity)]
        drawn = [row for row in shown if row["kappa"] in (None, kappa)]
        label = rf"$\kappa_p$ at $\epsilon$ = {shown[0]['epsilon']:g}" if quantity == "kappa" else "relative error"
        panels[theorem] = Panel(partial(_theorem, rows=drawn, colours=colours, share=share), title, "", size, label)
    norms = " and ".join(f"{p:g}" for p in sorted({row["p"] for row in rows if row["theorem"] == "theorem_4"}))
    note = f"{theme.KEPT} = {kappa:g}\n$p$ = {norms}; of eigenvalues, half that"
    return Plot(panels, partial(_five, handles=_handles(colours), note=note))


def _theorem(axes: Axes, *, rows: Rows, colours: dict[float, str], share: float) -> None:
    for alpha, colour in colours.items():
        norms = sorted({row["p"] for row in rows})
        for p in norms:
            line = [row for row in rows if (row["alpha"], row["p"]) == (alpha, p)]
            label = _alpha(alpha) if p == norms[-1] else None  # one entry in the legend
            _band(axes, line, colour, label, promised=p > alpha * share and alpha < 2)
    axes.set(xscale="log", ylim=(0, 1))
    if rows[0]["theorem"] in ("theorem_3", "theorem_4"):
        ticks.label_log(axes.xaxis)


def _alpha(alpha: float) -> str:
    return rf"$\alpha$ = {alpha:g}" + (" (normal)" if alpha == 2 else "")


def _band(axes: Axes, line: Rows, colour: str, label: str | None, *, promised: bool) -> None:
    """Draw mean and band of one curve against size, and a tick at its limit."""
    sizes = [row["size"] for row in line]
    style, width = "-" if promised else "--", theme.line(1)
    low, high = ([row[end] for row in line] for end in ("low", "high"))
    axes.plot(sizes, [row["mean"] for row in line], style, color=colour, linewidth=width, label=label)
    axes.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
    limit = line[0]["limit"]
    if limit is not None and not promised:
        right = axes.get_yaxis_transform()
        tick = theme.line(1.5)
        axes.plot([1.0, 1.04], [limit, limit], color=colour, linewidth=tick, transform=right, clip_on=False)


def _handles(colours: dict[float, str]) -> list[Line2D]:
    grey, width = theme.grey(), theme.line(1.5)
    handles = [Line2D([], [], color=colour, linewidth=width, label=_alpha(alpha)) for alpha, colour in colours.items()]
    outside = "$p \\leq \\alpha$, or normal: tends to the tick,\nif there is one"
    return [
        *handles,
        Line2D([], [], linestyle="-", color=grey, linewidth=width, label="$p > \\alpha$: tends to 0"),
        Line2D([], [], linestyle="--", color=grey, linewidth=width, label=outside),
    ]


def _five(plot: Plot, *, handles: list[Line2D], note: str) -> Figure:
    """Arrange the five panels, with a legend in the sixth place."""
    figure = theme.new_figure(theme.PAGE, 4.6)
    places = figure.subplots(2, 3).ravel()
    for axes, panel in zip(places, plot.panels.values(), strict=False):
        panel.draw(axes)
        axes.set(title=panel.title, xlabel=panel.xlabel, ylabel=panel.ylabel)
    places[-1].remove()
    figure.legend(handles=handles, loc="center left", bbox_to_anchor=(0.7, 0.25), title=note, alignment="left")
    return figure


def perturbation(perturbation: pa.Table, *, labels: Labels = NAMES) -> Plot:
    """Plot the largest change of the logits under layer-wise magnitude pruning against both bounds of Lemma 1.

    Parameters
    ----------
    perturbation : pyarrow.Table
        Table ``perturbation``.
    labels : Labels
        What models and datasets are called.

    Returns
    -------
    Plot
        One panel per model, dataset and variant.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> list(perturbation(tables.read("studies/mnist-narrow/tables/perturbation.parquet")).panels)
    ['FCN4, MNIST']
    """
    panels = {}
    moved = [row for row in perturbation.to_pylist() if row["measured"] > 0]
    for title, rows in by_title(moved, labels).items():
        runs = len({row["run"] for row in rows})
        note = f"{runs} run{'s' * (runs > 1)}, {len(rows)} pruned networks"
        panels[title] = Panel(partial(_perturbation, rows=rows), title, note)
    return Plot(
        panels,
        partial(grid, height=2.4, nothing="no run to prune", legend=True),
        xlabel="bound of the change of the logits",
        ylabel="largest change measured",
    )


def _perturbation(axes: Axes, *, rows: Rows) -> None:
    measured = [row["measured"] for row in rows]
    layers, network = theme.palette(2)
    for name, shape, colour, label in (
        ("bound_network", "^", network, "bound (C.2)"),
        ("bound_layers", "o", layers, "bound (C.1)"),
    ):
        axes.plot(
            [row[name] for row in rows], measured, shape, color=colour, label=label, alpha=0.5,
            markersize=theme.marker(2.5), linestyle="none", markeredgewidth=0,
        )  # fmt: skip
    ends = min(measured) / 2, 2 * max(row["bound_network"] for row in rows)
    axes.plot(ends, ends, color=theme.grey(), linewidth=theme.line(0.8), label="measured = bound")
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)


def factor(theory: pa.Table) -> Plot:
    """Plot the factor p_epsilon(kappa) of Theorem 7, and its simpler upper bound.

    Parameters
    ----------
    theory : pyarrow.Table
        Table ``theory``.

    Returns
    -------
    Plot
        One panel, ``factor``.

    References
    ----------
    Figure 11 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> factor(tables.read("studies/mnist-narrow/tables/theory.parquet")).figure().axes[0].get_ylim()
    (np.float64(0.0), np.float64(1.05))
    """
    panel = Panel(partial(_factor, rows=theory.to_pylist()), xlabel=theme.KEPT, ylabel=r"$p_\epsilon(\kappa)$")
    return Plot({"factor": panel}, _beside_legend)


def _factor(axes: Axes, *, rows: list[dict[str, Any]]) -> None:
    levels = sorted({row["epsilon"] for row in rows})
    for epsilon, colour in zip(levels, theme.palette(len(levels)), strict=True):
        line = [row for row in rows if row["epsilon"] == epsilon]
        kappa, exact, bound = ([row[name] for row in line] for name in ("kappa", "p_epsilon", "bound"))
        axes.plot(kappa, exact, color=colour, linewidth=theme.line(1), label=rf"$\epsilon$ = {epsilon:g}")
        axes.plot(kappa, bound, color=colour, linewidth=theme.line(0.8), linestyle="--")
    axes.plot([], [], color=theme.grey(), linewidth=theme.line(0.8), linestyle="--", label="bound")
    axes.set_ylim(0, 1.05)


def _beside_legend(plot: Plot) -> Figure:
    figure = theme.new_figure(theme.COLUMN, 2.5)
    axes = figure.subplots()
    plot.draw(axes, legend=False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
