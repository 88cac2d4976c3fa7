"""Panels of runs: one per model, dataset and variant of SGD."""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from matplotlib.axes import Axes

from sgdtails.figures import theme
from sgdtails.figures.plot import Panel
from sgdtails.io.tables import converged, panel_title

Rows = list[dict[str, Any]]
_LEFT_OUT = {"diverged": "diverged", "budget": "over budget"}  # words by status


def by_title(rows: Rows) -> dict[str, Rows]:
    """Group rows by the title of their panel.

    Parameters
    ----------
    rows : list of dict
        Rows of a table with columns ``model``, ``dataset`` and ``variant``.

    Returns
    -------
    dict
        Rows by title, in order of first appearance.

    Examples
    --------
    >>> by_title([{"model": "fcn4", "dataset": "mnist", "variant": ""}])
    {'FCN4, MNIST': [{'model': 'fcn4', 'dataset': 'mnist', 'variant': ''}]}
    """
    groups: dict[str, Rows] = {}
    for row in rows:
        groups.setdefault(panel_title(row), []).append(row)
    return groups


def run_panels(
    runs: pa.Table,
    draw: Callable[[Axes, Rows], None],
    *,
    among: Iterable[str] | None = None,
    count: Callable[[Rows], str] = lambda rows: f"$n$ = {len(rows)}",
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

    Returns
    -------
    dict
        Panels by title.

    Examples
    --------
    >>> from sgdtails.io import tables
    >>> runs = tables.read("studies/mnist-narrow/tables/runs.parquet")
    >>> run_panels(runs, lambda axes, rows: None)["FCN4, MNIST"].note
    '$n$ = 59; 1 diverged'
    """
    if among is not None:
        runs = runs.filter(pc.field("run").isin(pa.array(list(among), pa.string())))
    shown = by_title(converged(runs))

    def panel(title: str, everything: Rows) -> Panel:
        rows = shown.get(title, [])
        counts = {word: sum(row["status"] == status for row in everything) for status, word in _LEFT_OUT.items()}
        note = "; ".join([count(rows), *(f"{number} {word}" for word, number in counts.items() if number)])

        def on_axes(axes: Axes) -> None:
            if not rows:
                theme.annotate_empty(axes, "no run converged")
            draw(axes, rows)

        return Panel(on_axes, title, note)

    return {title: panel(title, rows) for title, rows in by_title(runs.to_pylist()).items()}
