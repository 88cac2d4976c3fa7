"""Figure trajectory: tail indices of networks while they train."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from sgdtails.figures import theme
from sgdtails.figures.elements import colours, names, ticks
from sgdtails.figures.elements.arrange import grid
from sgdtails.figures.elements.run_panels import NAMES, Rows, converged_by_title, run_panels
from sgdtails.figures.plot import Plot
from sgdtails.labels import Labels
from sgdtails.tail_index.network_index import Index

PAPERS = Index()
_ESTIMATOR = "mmo_multivariate"  # the only one that table trajectory has
Points = Mapping[str, list[tuple[int, float]]]  # iterations and tail indices, by run


def trajectory(
    runs: pa.Table, trajectory: pa.Table, history: pa.Table, *, index: Index = PAPERS, labels: Labels = NAMES
) -> Plot:
    """Plot the tail index against the iteration: one line per converged run, coloured by eta/b.

    A mark on a line is where the run's training accuracy first was 100% in its history. A dashed line is the mean of the initial networks.

    Parameters
    ----------
    runs, trajectory, history : pyarrow.Table
        Tables of these names.
    index : Index
        The definition of a network's tail index, whose estimator is always ``mmo_multivariate`` here.
    labels : Labels
        Labels of models and datasets, for titles.

    Returns
    -------
    Plot
        One panel per model, dataset and variant. One colour scale for all, unless it would hide the order in a panel.
    """
    index = replace(index, estimator=_ESTIMATOR)
    shown = converged_by_title(runs, labels)
    ratios = {title: [row["eta_over_b"] for row in rows] for title, rows in shown.items()}
    scales = colours.scales(ratios, theme.RATIO, reverse=True, logarithmic=True)
    by_run = {row["run"]: scales[title].mappable for title, rows in shown.items() for row in rows}
    one = colours.common(scales)
    draw = partial(_draw, points=_points(trajectory, index), learned=_learned(history), by_run=by_run)
    return Plot(
        run_panels(runs, draw, labels=labels, scales={} if one else scales),
        partial(grid, legend=True),
        xlabel="iteration",
        ylabel=names.axis(index),
        scale=one,
    )


def _points(trajectory: pa.Table, index: Index) -> Points:
    """Compute each network's tail index at each snapshot where it has one."""
    networks: dict[tuple[str, int], Rows] = defaultdict(list)
    for row in trajectory.filter(pc.field("k1").is_null()).to_pylist():
        networks[row["run"], row["iteration"]].append(row)
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for (run, iteration), rows in sorted(networks.items()):
        alpha = index.of_network(rows)
        if alpha is not None and math.isfinite(alpha):
            found[run].append((iteration, alpha))
    return found


def _learned(history: pa.Table) -> dict[str, int]:
    """Find the iteration of the first row of each run's history with a training accuracy of 100%."""
    found: dict[str, int] = {}
    for row in history.filter(pc.field("train_accuracy") >= 1).sort_by("iteration").to_pylist():
        found.setdefault(row["run"], row["iteration"])
    return found


def _draw(
    axes: Axes, rows: Rows, *, points: Points, learned: Mapping[str, int], by_run: Mapping[str, ScalarMappable]
) -> None:
    start = [alpha for row in rows for iteration, alpha in points.get(row["run"], ()) if iteration == 0]
    if start:
        axes.axhline(
            float(np.mean(start)),
            color=theme.grey(),
            linestyle="--",
            linewidth=theme.line(0.7),
            label="before training",
        )
    marks = []
    for row in rows:
        line = [point for point in points.get(row["run"], ()) if point[0] > 0]
        if not line:
            continue
        x, y = np.array(line).T
        axes.plot(x, y, color=by_run[row["run"]].to_rgba(row["eta_over_b"]), linewidth=theme.line(0.8))
        if (iteration := learned.get(row["run"], 0)) > 0:
            marks.append((iteration, float(np.interp(math.log(iteration), np.log(x), y))))
    if marks:
        axes.plot(
            *zip(*marks, strict=True), "o", color="none", markeredgecolor=theme.foreground(), markersize=theme.marker(3),
            markeredgewidth=theme.line(0.6), zorder=3, label="training accuracy 100%",
        )  # fmt: skip
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:  # fewer than two powers of ten
        ticks.label_log(axes.xaxis)
