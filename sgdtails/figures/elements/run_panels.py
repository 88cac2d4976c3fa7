"""Panels of runs: one per model, dataset and variant of SGD."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes

from sgdtails.figures import theme
from sgdtails.figures.plot import ColourScale, Panel
from sgdtails.io.tables import converged, panels
from sgdtails.labels import Labels

Rows = list[dict[str, Any]]
NAMES = Labels()  # names of models and datasets where no labels are given
_LEFT_OUT = {"diverged": "diverged", "budget": "over budget"}  # words by status


def by_title(rows: Rows, labels: Labels = NAMES) -> dict[str, Rows]:
    """Group rows by the title of their panel.

    Parameters
    ----------
    rows : list of dict
        Rows of a table with columns ``model``, ``dataset`` and ``variant``.
    labels : Labels
        What models and datasets are called. Where panels would have one title, their names stand behind it.

    Returns
    -------
    dict
        Rows by title, in order of first appearance.

    Examples
    --------
    >>> by_title([{"model": "fcn4", "dataset": "mnist", "variant": ""}])
    {'FCN4, MNIST': [{'model': 'fcn4', 'dataset': 'mnist', 'variant': ''}]}
    """
    groups = panels(rows)
    titles = {key: theme.escape_mathtext(labels.title(group[0])) for key, group in groups.items()}
    shared = {title for title, count in Counter(titles.values()).items() if count > 1}
    for key, title in titles.items():
        if title in shared:
            titles[key] = f"{title} ({theme.escape_mathtext(', '.join(filter(None, key)))})"
    return {titles[key]: group for key, group in groups.items()}


def converged_by_title(runs: pa.Table, labels: Labels = NAMES) -> dict[str, Rows]:
    """Group converged runs by the title of their panel; a panel without any has an empty list.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    labels : Labels
        What models and datasets are called.

    Returns
    -------
    dict
        Rows by title.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> runs = tables.read("studies/mnist-narrow/tables/runs.parquet")
    >>> {title: len(rows) for title, rows in converged_by_title(runs).items()}
    {'FCN4, MNIST': 58}
    """
    known = {row["run"] for row in converged(runs)}
    groups = by_title(runs.to_pylist(), labels)
    return {title: [row for row in rows if row["run"] in known] for title, rows in groups.items()}


def run_panels(
    runs: pa.Table,
    draw: Callable[[Axes, Rows], None],
    *,
    among: Iterable[str] | None = None,
    count: Callable[[Rows], str] = lambda rows: f"$n$ = {len(rows)}",
    labels: Labels = NAMES,
    scales: Mapping[str, ColourScale] = MappingProxyType({}),
) -> dict[str, Panel]:
    """Make one panel per model, dataset and variant, whose title counts the runs that are shown and left out.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    draw : callable
        Draws the rows of converged runs on axes.
    among : iterable of str, optional
        Only these runs.
    count : callable
        What the title says of the rows that are shown.
    labels : Labels
        What models and datasets are called.
    scales : mapping of str to ColourScale
        By title, the colour scales of panels that have one of their own.

    Returns
    -------
    dict
        Panels by title.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> runs = tables.read("studies/mnist-narrow/tables/runs.parquet")
    >>> run_panels(runs, lambda axes, rows: None)["FCN4, MNIST"].note
    '$n$ = 58; 2 diverged'
    """
    if among is not None:
        runs = runs.filter(pc.field("run").isin(pa.array(list(among), pa.string())))
    shown = converged_by_title(runs, labels)

    def panel(title: str, everything: Rows) -> Panel:
        rows = shown[title]
        counts = {word: sum(row["status"] == status for row in everything) for status, word in _LEFT_OUT.items()}
        ended = sum(row["status"] == "converged" for row in everything)
        counts["without a tail index"] = ended - len(rows)
        note = "; ".join([count(rows), *(f"{number} {word}" for word, number in counts.items() if number)])

        def on_axes(axes: Axes) -> None:
            if not rows:
                theme.annotate_empty(axes, "no run has a tail index" if ended else "no run converged")
            draw(axes, rows)

        return Panel(on_axes, title, note, scale=scales.get(title))

    return {title: panel(title, rows) for title, rows in by_title(runs.to_pylist(), labels).items()}
