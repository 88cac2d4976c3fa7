"""Intervals of a network's tail index, from those of its layers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from sgdtails.tail_index import network_index
from sgdtails.tail_index.network_index import Index


def of_runs(tails: pa.Table, index: Index, weights: str = "average") -> dict[str, tuple[float, float]]:
    """Compute a 95% interval for the index of every run.

    Errors of different layers are taken as independent: half the length of the interval of a mean is the root of the
    sum of the squares of the layers' half lengths, over their number, upwards and downwards apart.

    Parameters
    ----------
    tails : pyarrow.Table
        Table ``tails``.
    index : Index
        Definition of the index. Only a mean over layers of ``alpha``, not clipped, has intervals here: the tables have
        none for ``alpha_published``, and clipping hides errors above 2.
    weights : str
        Kind of weights.

    Returns
    -------
    dict of str to (float, float)
        Lower and upper end by run, of runs whose layers all have finite intervals.

    Examples
    --------
    >>> row = {"run": "a", "weights": "average", "estimator": "hill", "k1": None, "layer_name": "fc1", "alpha_published": None}
    >>> rows = [row | {"layer": n, "alpha": 1.7, "alpha_low": 1.6, "alpha_high": 1.8} for n in range(4)]
    >>> low, high = of_runs(pa.Table.from_pylist(rows), Index("hill", value="alpha"))["a"]
    >>> round(low, 6), round(high, 6)
    (1.65, 1.75)
    """
    if index.clipped or index.layers != "mean":
        return {}
    found = {}
    for run, layers in network_index.aggregates(tails, index.estimator, weights).items():
        if ends := of_mean(_counted(layers, index)):
            found[run] = ends
    return found


def _counted(layers: Iterable[Mapping[str, Any]], index: Index) -> list[Mapping[str, Any]]:
    """Leave out the layers that the index leaves out."""
    rows = sorted(layers, key=lambda row: row["layer"])
    named = {"first": rows[0]["layer_name"], "head": rows[-1]["layer_name"]}
    left_out = {named.get(name, name) for name in index.exempt}
    return [row for row in rows if row["layer_name"] not in left_out and row["alpha"] is not None]


def of_mean(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """Compute a 95% interval for the mean of independent estimates.

    Parameters
    ----------
    rows : sequence of mapping
        Estimates: ``alpha``, and the ends ``alpha_low`` and ``alpha_high`` of their 95% intervals.

    Returns
    -------
    tuple of float or None
        Lower and upper end; None if there is no estimate, or one without a finite interval.

    Examples
    --------
    >>> of_mean([{"alpha": 1.7, "alpha_low": 1.5, "alpha_high": 2.0}])
    (1.5, 2.0)
    """
    values = [row[name] for row in rows for name in ("alpha", "alpha_low", "alpha_high")]
    if not values or None in values or not all(map(math.isfinite, values)):
        return None
    middle = sum(row["alpha"] for row in rows) / len(rows)
    below = math.sqrt(sum((row["alpha"] - row["alpha_low"]) ** 2 for row in rows)) / len(rows)
    above = math.sqrt(sum((row["alpha_high"] - row["alpha"]) ** 2 for row in rows)) / len(rows)
    return middle - below, middle + above
