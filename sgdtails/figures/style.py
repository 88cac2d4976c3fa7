"""How every figure looks: sizes, colours, type, panels and legends."""

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import matplotlib.ticker
import pyarrow as pa
import pyarrow.compute as pc
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sgdtails.io.tables import converged, panel_title

COLUMN, PAGE = 3.35, 7.0  # inches: one column and both of a two-column page
ORANGE, BLUE, GREEN, GREY = "#E69F00", "#0072B2", "#009E73", "#555555"  # Okabe and Ito's colour-blind-safe set
_SHAPES, _COLOURS = "o^sDvP", (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00")
MARKERS = tuple(
    (shape, _COLOURS[(n + turn) % 6]) for turn in range(6) for n, shape in enumerate(_SHAPES)
)  # 36 that differ
GAUSSIAN, UNIFORM = 0.2653, 0.2154  # pruning ratios of such samples at a relative l2 error of 0.1
KAPPA = r"pruning ratio $1-\kappa$"
RATIO = r"step size / batch size $\eta/b$"
STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.linewidth": 0.3, "grid.color": "#dddddd", "pdf.fonttype": 42, "savefig.dpi": 300,
}  # fmt: skip
_LOG_STEPS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))  # ticks of a decade: the first that give three
Panels = Iterator[tuple[Axes, list[dict[str, Any]]]]


def colours(count: int) -> list[str]:
    """So many colours that differ: the palette's, or a scale's where it has fewer."""
    if count <= len(_COLOURS):
        return list(_COLOURS[:count])
    return [to_hex(colormaps["viridis"](number / (count - 1))) for number in range(count)]


def verbatim(name: str) -> str:
    """A name as matplotlib writes it out: what stands between two dollar signs would be a formula."""
    return name.replace("$", r"\$")


def ending(name: str, longest: int) -> str:
    """The end of a long name, which tells layers apart, as matplotlib writes it out."""
    return verbatim(name if len(name) <= longest else "…" + name[1 - longest :])


def wrapped(title: str, inches: float) -> str:
    """A panel's title in as many lines as its width asks for."""
    return "\n".join(textwrap.wrap(title, max(10, int(13 * inches))))


def say(axes: Axes, words: str, **style: Any) -> None:
    """Words in the middle of a panel that shows nothing."""
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, **style)


def grouped(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows by panel title, in the order of first appearance."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(panel_title(row), []).append(row)
    return groups


def _across(count: int) -> int:
    """How many of so many panels stand in a line."""
    return max(1, min(3, count))


def panel_grid(count: int, *, height: float, nothing: str) -> tuple[Figure, Sequence[Axes]]:
    """A figure with ``count`` panels, three to a line, each ``height`` inches; with one that says ``nothing`` for a count of 0."""
    columns = _across(count)
    lines = max(1, -(-count // columns))
    figure = Figure(figsize=(max(COLUMN, PAGE * columns / 3), height * lines + 0.5), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for unused in grid[max(1, count) :]:
        unused.remove()
    if not count:
        say(grid[0], nothing)
    return figure, list(grid[: max(1, count)])


def run_panels(
    runs: pa.Table, among: Iterable[str] | None = None, count: Callable[[list[dict[str, Any]]], str] | None = None
) -> tuple[Figure, Panels]:
    """A figure with one titled panel per model, dataset and variant, and an iterator over panels and their converged runs.

    The title says how many runs are shown, or what ``count`` says of them, and how many are left out, and why.
    ``among``: only these runs.
    """
    if among is not None:
        runs = runs.filter(pc.field("run").isin(pa.array(list(among), pa.string())))
    groups = grouped(runs.to_pylist())
    shown = grouped(converged(runs))
    figure, grid = panel_grid(len(groups), height=2.1, nothing="no network has such a layer")
    width = figure.get_figwidth() / _across(len(groups))

    def panels() -> Panels:
        for axes, (title, everything) in zip(grid, groups.items(), strict=False):
            rows = shown.get(title, [])
            left_out = [
                f"{sum(row['status'] == status for row in everything)} {word}"
                for status, word in (("diverged", "diverged"), ("budget", "over budget"))
            ]
            drawn = count(rows) if count else f"$n$ = {len(rows)}"
            note = "; ".join([drawn, *(text for text in left_out if not text.startswith("0 "))])
            axes.set_title(f"{wrapped(title, width)}\n{note}")
            if not rows:
                say(axes, "no run converged")
            yield axes, rows

    return figure, panels()


def label_log(axis: Any) -> None:
    """At least three ticks, written out, on a log axis whose data are drawn: short ones hold no power of ten."""
    low, high = axis.get_view_interval()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates = [[step * 10.0**decade for decade in decades for step in steps] for steps in _LOG_STEPS]
    candidates.append(list(matplotlib.ticker.MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)))
    inside = [[tick for tick in ticks if low <= tick <= high] for ticks in candidates]
    axis.set_major_locator(matplotlib.ticker.FixedLocator(next((t for t in inside if len(t) >= 3), inside[-1])))
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def with_legend(figure: Figure) -> Figure:
    """One legend for all panels, above them, in as few lines as the figure's width allows."""
    entries = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    for columns in range(len(entries), 0, -1):
        legend = figure.legend(list(entries.values()), list(entries), loc="outside upper right", ncols=columns)
        if columns == 1 or legend.get_window_extent().x0 >= 0:
            break
        legend.remove()
    return figure
