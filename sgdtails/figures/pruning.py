"""Figures 4, 5, 6, 9 and 10, and those of rows, filters and channels: accuracy against pruning ratio, a line per run."""

from functools import partial

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from sgdtails.figures import theme
from sgdtails.figures.networks import PAPERS
from sgdtails.figures.plot import ColourScale, Plot, grid
from sgdtails.figures.run_panels import Rows, run_panels
from sgdtails.io.tables import converged
from sgdtails.tail_index.network_index import Index


def accuracy(runs: pa.Table, pruning: pa.Table, *, method: str, scheme: str = "ratio", index: Index = PAPERS) -> Plot:
    """Plot relative test accuracy against the pruning ratio: one line per converged run, darker for heavier tails.

    Parameters
    ----------
    runs, pruning : pyarrow.Table
        The tables of these names.
    method : str
        A pruning method, as in column ``method``.
    scheme : {"ratio", "error"}
        Networks whose layers were all pruned by one ratio (lines), or to one relative error (lines with dots).
    index : Index
        The definition of a network's tail index, for the label.

    Returns
    -------
    Plot
        One panel per model, dataset and variant that was pruned by this method. The colour scale is that of all runs, so
        figures of several methods can be compared.

    References
    ----------
    Figures 4 to 6, 9 and 10 of the paper.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> read = [tables.read(f"studies/mnist-narrow/tables/{name}.parquet") for name in ("runs", "pruning")]
    >>> list(accuracy(*read, method="node").panels), list(accuracy(*read, method="kernel").panels)
    (['FCN4, MNIST'], [])
    """
    by_error = scheme == "error"
    lines: dict[str, Rows] = {}
    for row in pruning.to_pylist():
        same = (row["method"], row.get("epsilon") is not None) == (method, by_error)
        if same and row["weights"] != "initial":
            lines.setdefault(row["run"], []).append(row)
    alphas = [row["alpha"] for row in converged(runs)] or [1.9, 2.0]
    colours = ScalarMappable(Normalize(min(alphas), max(alphas)), "cividis")
    error = "\nevery layer at one relative $\\ell_2$ error" if by_error else ""
    return Plot(
        run_panels(runs, partial(_accuracy, lines=lines, colours=colours, dots=by_error), among=lines),
        grid,
        xlabel=theme.KAPPA + error,
        ylabel="relative test accuracy",
        scale=ColourScale(colours, index.axis),
    )


def _accuracy(axes: Axes, rows: Rows, *, lines: dict[str, Rows], colours: ScalarMappable, dots: bool) -> None:
    for run in sorted(rows, key=lambda run: -run["alpha"]):
        line = sorted(lines[run["run"]], key=lambda row: row["pruned_ratio"])
        axes.plot(
            [row["pruned_ratio"] for row in line],
            [row["relative_test_accuracy"] for row in line],
            color=colours.to_rgba(run["alpha"]),
            linewidth=theme.line(0.5 if dots else 0.9),
            marker="o" if dots else None,
            markersize=theme.marker(2.5),
        )
    axes.set_ylim(0, 1.05)
