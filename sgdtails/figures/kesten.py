"""True against estimated tail indices, where mathematics gives the true one: the figure of table ``kesten``."""

from functools import partial

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sgdtails.figures import theme
from sgdtails.figures.elements import names
from sgdtails.figures.elements.run_panels import Rows
from sgdtails.figures.plot import Panel, Plot

_LARGEST = ("hill", "pickands", "moment", "de_haan_resnick", "paulauskas")
_TICKS = (0.5, 0.7, 1, 1.25, 1.5, 2, 3, 5, np.inf)
_SAMPLES = {"last": "last iterates", "average": "ergodic averages"}
Series = dict[tuple[str, int | None], str]  # estimator and K1: label


def kesten(kesten: pa.Table) -> Plot:
    """Plot the estimated against the true tail index of SGD on linear regression, of last iterates and of averages.

    Averages tend to the lower of identity and ceiling as they grow longer, and so should block sums and
    estimators of the whole sample there. At a given length, averages have the index of the iterates far enough out, so
    what the largest values show lies between the two. Both axes are linear in 1/alpha, where intervals are symmetric.

    Parameters
    ----------
    kesten : pyarrow.Table
        Table ``kesten``.

    Returns
    -------
    Plot
        A panel per sample and family of estimators, such as ``last iterates, block sums``.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> list(kesten(tables.read("studies/mnist-narrow/tables/kesten.parquet")).panels)[:2]
    ['last iterates, block sums', 'ergodic averages, block sums']
    """
    rows = kesten.to_pylist()
    panels = {}
    for family, series in _families(rows).items():
        for weights, name in _SAMPLES.items():
            title = f"{name}, {family}"
            shown = [row for row in rows if row["weights"] == weights]
            panels[title] = Panel(partial(_kesten, rows=shown, series=series), title)
    first = rows[0]
    about = (
        f"SGD on linear regression: {first['parts']} samples of {first['chains'] // first['parts']:,} chains, "
        f"averages of {first['length']:,} iterates; mean and 95% interval"
    )
    xlabel = "tail index by Kesten's equation"
    return Plot(panels, partial(_families_across, about=about), xlabel=xlabel, ylabel="estimated tail index")


def _families_across(plot: Plot, *, about: str) -> Figure:
    """Arrange last iterates above averages, a column per family of estimators, and its legend below."""
    figure = theme.new_figure(theme.PAGE, 6.1)
    places = figure.add_gridspec(3, 3, height_ratios=(1, 1, 0.56))
    first = axes = figure.add_subplot(places[0, 0])
    for number, panel in enumerate(plot.panels.values()):
        column, line = divmod(number, len(_SAMPLES))
        axes = figure.add_subplot(places[line, column], sharex=first, sharey=first) if number else first
        panel.draw(axes)
        axes.set_title(panel.title)
        if line == len(_SAMPLES) - 1:
            axes.set_xlabel(plot.xlabel)
            below = figure.add_subplot(places[2, column])
            below.set_axis_off()
            below.legend(*axes.get_legend_handles_labels(), loc="upper center", borderaxespad=0).set_in_layout(False)
    figure.supylabel(plot.ylabel)
    figure.suptitle(about)
    return figure


def _families(rows: Rows) -> dict[str, Series]:
    """Group the estimators; of block sums, show three block lengths that all settings have."""
    settings: dict[tuple[float, int, int], set[int]] = {}
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
    labels = {name: names.estimator(name) for name in others}
    return {
        "block sums": block_sums,
        "largest values": {(name, None): label for name, label in labels.items() if name in _LARGEST},
        "whole sample": {(name, None): label for name, label in labels.items() if name not in _LARGEST},
    }


def _kesten(axes: Axes, *, rows: Rows, series: Series) -> None:
    ends = [1 / end([row["alpha_true"] for row in rows]) for end in (min, max)]
    grey, width = theme.grey(), theme.line(0.7)
    axes.plot(ends, ends, color=grey, linewidth=theme.line(0.8), label="identity")
    axes.axhline(1 / 2, color=grey, linewidth=width, linestyle="--", label="2, the ceiling of stable laws")
    for (key, label), (shape, colour) in zip(series.items(), theme.markers(), strict=False):
        points = [row for row in rows if (row["estimator"], row["k1"]) == key]
        middle, low, high = (
            1 / np.array([row[name] for row in points]) for name in ("alpha", "alpha_low", "alpha_high")
        )
        x = [1 / row["alpha_true"] for row in points]
        axes.vlines(x, high, low, color=colour, linewidth=width)
        axes.plot(
            x, middle, shape, color=colour, label=label, linestyle="none",
            markersize=theme.marker(3.5), markeredgewidth=width, markerfacecolor="none",
        )  # fmt: skip
    _in_alpha(axes)


def _in_alpha(axes: Axes) -> None:
    """Label both axes, which hold 1/alpha, with alpha, growing rightwards and upwards."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_inverted(True)
        low, high = sorted(axis.get_view_interval())
        ticks = [1 / alpha for alpha in _TICKS if low <= 1 / alpha <= high]
        axis.set_ticks(ticks, [f"{1 / tick:g}" if tick else r"$\infty$" for tick in ticks])
