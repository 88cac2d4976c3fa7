"""True against estimated tail indices, where mathematics gives the true one: the figure of table ``kesten``."""

from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgdtails.figures.style import GREY, MARKERS, PAGE

_LARGEST = ("hill", "pickands", "moment", "de_haan_resnick", "paulauskas")
_TICKS = (0.5, 0.7, 1, 1.25, 1.5, 2, 3, 5, np.inf)
_SAMPLES = {"last": "last iterates", "average": "ergodic averages"}
_HOLLOW: dict[str, Any] = {"linestyle": "none", "markersize": 3.5, "markeredgewidth": 0.7, "markerfacecolor": "none"}
Series = dict[tuple[str, int | None], str]  # estimator and K1: label


def kesten(kesten: pa.Table) -> Figure:
    """Estimated against true index: last iterates above, averages below, one column per family of estimators.

    The lower of identity and ceiling is what averages tend to with their length, and so what block sums and estimators of the
    whole sample should give there. For a given length, averages have the index of the iterates far enough out: what
    the largest values show lies between the two readings. Both axes are linear in 1/alpha, where intervals are symmetric.
    """
    rows = kesten.to_pylist()
    figure = Figure(figsize=(PAGE, 6.1), layout="constrained")
    grid = figure.add_gridspec(3, 3, height_ratios=(1, 1, 0.56))
    first = rows[0]
    shared: dict[str, Axes] = {}
    for column, (family, series) in enumerate(_families(rows).items()):
        for line, (weights, name) in enumerate(_SAMPLES.items()):
            axes = figure.add_subplot(grid[line, column], **shared)
            shared = {"sharex": axes, "sharey": axes}
            _panel(axes, [row for row in rows if row["weights"] == weights], series)
            axes.set_title(f"{name}, {family}")
        axes.set_xlabel("tail index by Kesten's equation")
        below = figure.add_subplot(grid[2, column])
        below.set_axis_off()
        below.legend(*axes.get_legend_handles_labels(), loc="upper center", borderaxespad=0).set_in_layout(False)
    _in_alpha(axes)  # the axes are shared
    figure.supylabel("estimated tail index", fontsize=8)
    figure.suptitle(
        f"SGD on linear regression: {first['parts']} samples of {first['chains'] // first['parts']:,} chains, "
        f"averages of {first['length']:,} iterates; mean and 95% interval",
        fontsize=8,
    )
    return figure


def _families(rows: list[dict[str, Any]]) -> dict[str, Series]:
    """Columns of the figure: three block lengths that all settings have stand for all of them."""
    settings: dict[tuple, set[int]] = {}
    for row in rows:
        if row["estimator"] == "mmo_univariate" and row["k1"] is not None:
            settings.setdefault((row["eta"], row["batch_size"], row["dimension"]), set()).add(row["k1"])
    lengths = sorted(set.intersection(*settings.values())) if settings else []
    shown = dict.fromkeys(lengths[i] for i in (0, len(lengths) // 2, -1) if lengths)
    others = dict.fromkeys(row["estimator"] for row in rows if not row["estimator"].startswith("mmo_"))
    block_sums: Series = {("mmo_univariate", k1): f"univariate, $K_1$ = {k1}" for k1 in shown}
    block_sums["mmo_univariate", None] = "univariate, published"
    if any(row["estimator"] == "mmo_multivariate" for row in rows):
        block_sums["mmo_multivariate", None] = "multivariate, published"
    return {
        "block sums": block_sums,
        "largest values": {(name, None): _label(name) for name in others if name in _LARGEST},
        "whole sample": {(name, None): _label(name) for name in others if name not in _LARGEST},
    }


def _panel(axes: Axes, rows: list[dict[str, Any]], series: Series) -> None:
    ends = [1 / end([row["alpha_true"] for row in rows]) for end in (min, max)]
    axes.plot(ends, ends, color=GREY, linewidth=0.8, label="identity")
    axes.axhline(1 / 2, color=GREY, linewidth=0.7, linestyle="--", label="2, the ceiling of stable laws")
    for (key, label), (marker, colour) in zip(series.items(), MARKERS, strict=False):
        points = [row for row in rows if (row["estimator"], row["k1"]) == key]
        middle, low, high = (
            1 / np.array([row[name] for row in points]) for name in ("alpha", "alpha_low", "alpha_high")
        )
        x = [1 / row["alpha_true"] for row in points]
        axes.vlines(x, high, low, color=colour, linewidth=0.7)
        axes.plot(x, middle, marker, color=colour, label=label, **_HOLLOW)


def _in_alpha(axes: Axes) -> None:
    """Label both axes, which hold 1/alpha, with alpha, growing rightwards and upwards."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_inverted(True)
        low, high = sorted(axis.get_view_interval())
        ticks = [1 / alpha for alpha in _TICKS if low <= 1 / alpha <= high]
        axis.set_ticks(ticks, [f"{1 / tick:g}" if tick else r"$\infty$" for tick in ticks])


def _label(estimator: str) -> str:
    known = {"hill": "Hill", "pickands": "Pickands", "paulauskas": "Paulauskas", "de_haan_resnick": "de Haan-Resnick"}
    return known.get(estimator, estimator.replace("_", " "))
