"""A network's tail index: one number from the indices of its layers, as config key ``index`` defines it.

Figures, claims, the report and the table ``runs`` all take it from here.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sgdtails.arrays import Row
from sgdtails.io import parquet
from sgdtails.tail_index import spectrum
from sgdtails.tail_index.mmo import CLIP

VALUES = ("alpha_published", "alpha")


def _harmonic_mean(values: Sequence[float]) -> float:
    """Compute 1 / mean of 1/alpha, infinite only if every value is."""
    inverse = float(np.mean(1 / np.array(values)))
    return 1 / inverse if inverse > 0 else math.inf


_OVER_LAYERS: Mapping[str, Callable[[Sequence[float]], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "harmonic_mean": _harmonic_mean,
}
LAYERS = tuple(_OVER_LAYERS)


@dataclass(frozen=True)
class Index:
    """Which estimate of a layer counts, and how layers become one number.

    Parameters
    ----------
    estimator : str
        Estimator, as in table ``tails``. Exponents of a ``spectrum`` are on another scale than tail indices: never clipped.
    value : {"alpha_published", "alpha"}
        Column of table ``tails``; ``alpha_published`` is clipped at 2.
    clip : bool
        True to clip ``alpha`` at 2.
    layers : {"mean", "median", "harmonic_mean"}
        How layers become one number; the harmonic mean is for estimates that can be infinite.
    exempt : sequence of str
        Layers that are left out: ``first``, ``head`` or names.
    """

    estimator: str = "mmo_multivariate"
    value: str = "alpha_published"
    clip: bool = False
    layers: str = "mean"
    exempt: Sequence[str] = ()

    @property
    def clipped(self) -> bool:
        """True if no layer counts as more than 2."""
        return self.estimator != spectrum.NAME and (self.clip or self.value == "alpha_published")

    @property
    def label(self) -> str:
        """The index in words, such as: mean alpha, clipped at 2."""
        return f"{self._over} alpha" + self._details

    @property
    def axis(self) -> str:
        """The label of an axis on which networks lie."""
        if self.estimator == spectrum.NAME:
            return rf"{self._over} exponent $\hat\alpha$ of the spectrum" + self._details
        by = "" if self.estimator == "mmo_multivariate" else f" ({self.estimator})"
        return rf"{self._over} tail index $\hat\alpha$" + by + self._details

    @property
    def _over(self) -> str:
        return self.layers.replace("_", " ")

    @property
    def _details(self) -> str:
        without = f", without {', '.join(self.exempt)}" if self.exempt else ""
        return without + (", clipped at 2" if self.clipped else "")

    def of_layer(self, row: Mapping[str, Any]) -> float | None:
        """Return the value of one aggregated row of table ``tails``; None where the layer has no estimate.

        An estimator without a published value counts by its own estimate.
        """
        value = row[self.value] if self.value == "alpha" or row["alpha_published"] is not None else row["alpha"]
        if value is None:
            return None
        return min(value, CLIP) if self.clipped else float(value)

    def of_network(self, rows: Iterable[Mapping[str, Any]]) -> float | None:
        """Compute the index of one network from its aggregated rows of one estimator; None if no layer counts.

        Examples
        --------
        >>> Index().of_network([{"layer": 0, "layer_name": "a", "alpha": 1.7, "alpha_published": 1.6},
        ...                     {"layer": 1, "layer_name": "b", "alpha": 2.1, "alpha_published": 2.0}])
        1.8
        """
        rows = sorted(rows, key=lambda row: row["layer"])
        left_out = set(self.exempt)
        named = {"first": rows[0]["layer_name"], "head": rows[-1]["layer_name"]} if rows else {}
        left_out |= {named[name] for name in self.exempt if name in named}
        values = [self.of_layer(row) for row in rows if row["layer_name"] not in left_out]
        known = [value for value in values if value is not None]
        return float(_OVER_LAYERS[self.layers](known)) if known else None


def aggregates(tails: pa.Table, estimator: str, weights: str) -> dict[str, list[Row]]:
    """Select the aggregated rows of an estimator, those without a block length.

    Parameters
    ----------
    tails : pyarrow.Table
        Table ``tails``.
    estimator : str
        Estimator, as in that table.
    weights : str
        Kind of weights, as in that table.

    Returns
    -------
    dict of str to list of dict
        Rows by run.

    Examples
    --------
    >>> columns_of = {"run": ["a", "a"], "weights": ["average"] * 2, "estimator": ["hill"] * 2, "k1": [None, 2]}
    >>> [row["k1"] for row in aggregates(pa.table(columns_of), "hill", "average")["a"]]
    [None]
    """
    wanted = (pc.field("weights") == weights) & (pc.field("estimator") == estimator) & pc.field("k1").is_null()
    found: dict[str, list[Row]] = defaultdict(list)
    for row in tails.filter(wanted).to_pylist():
        found[row["run"]].append(row)
    return found


def of_runs(tails: pa.Table, index: Index, weights: str = "average") -> dict[str, float]:
    """Compute the index of every run.

    Parameters
    ----------
    tails : pyarrow.Table
        Table ``tails``.
    index : Index
        Definition of the index.
    weights : str
        Kind of weights.

    Returns
    -------
    dict of str to float
        The index by run, of runs whose network has one.

    Examples
    --------
    >>> row = {"run": "a", "weights": "average", "estimator": "hill", "k1": None, "layer": 0, "layer_name": "fc1"}
    >>> of_runs(pa.Table.from_pylist([row | {"alpha": 1.7, "alpha_published": None}]), Index("hill"))
    {'a': 1.7}
    """
    rows = aggregates(tails, index.estimator, weights)
    values = {run: index.of_network(layers) for run, layers in rows.items()}
    return {run: value for run, value in values.items() if value is not None and not math.isnan(value)}


def columns(tails: pa.Table, index: Index) -> dict[str, dict[str, float | None]]:
    """Compute the columns of table ``runs``: the index, and the two means over layers that need no definition.

    Parameters
    ----------
    tails : pyarrow.Table
        Table ``tails``.
    index : Index
        Definition of the index.

    Returns
    -------
    dict of str to dict
        Columns ``alpha``, ``mean_alpha`` and ``mean_alpha_published`` by run.

    Examples
    --------
    >>> row = {"run": "a", "weights": "average", "estimator": "mmo_multivariate", "k1": None, "layer": 0, "layer_name": "fc1"}
    >>> columns(pa.Table.from_pylist([row | {"alpha": 2.1, "alpha_published": 2.0}]), Index(layers="median"))
    {'a': {'alpha': 2.0, 'mean_alpha': 2.1, 'mean_alpha_published': 2.0}}
    """
    parts = {
        "alpha": of_runs(tails, index),
        "mean_alpha": of_runs(tails, Index(value="alpha")),
        "mean_alpha_published": of_runs(tails, Index()),
    }
    runs = set().union(*parts.values())
    return {run: {name: values.get(run) for name, values in parts.items()} for run in runs}


def with_index(
    rows: Iterable[Mapping[str, Any]],
    tails: Iterable[str | Path],
    index: Index,
    shapes: Mapping[str, Mapping[str, Any]],
    train_sizes: Mapping[str, int | None] = MappingProxyType({}),
) -> Iterator[Row]:
    """Complete the rows of table ``runs`` with each network's tail index, and what else is known of it.

    Parameters
    ----------
    rows : iterable of dict
        Rows of ``tables.joined_runs``.
    tails : iterable of str or Path
        Files of table ``tails``, one per run.
    index : Index
        Definition of the index.
    shapes : mapping of str to mapping
        Kind, width and depth by model.
    train_sizes : mapping of str to int, optional
        Number of training images by dataset.

    Yields
    ------
    dict
        Columns of table ``runs``.
    """
    nothing = dict.fromkeys(("alpha", "mean_alpha", "mean_alpha_published"))
    found: dict[str, dict[str, float | None]] = {}
    for part in tails:
        found |= columns(parquet.read(part), index)
    for row in rows:
        known = {
            "effective_step_size": effective_step_size(row),
            "train_size": train_sizes.get(row["dataset"]),
        }
        yield dict(row) | known | dict(shapes[row["model"]]) | (found.get(row["run"]) or nothing)


def effective_step_size(run: Mapping[str, Any]) -> float:
    """Return what a gradient moves the weights by in the long run: eta/(1 - mu), less rounding.

    Parameters
    ----------
    run : mapping
        A row of the run table.

    Returns
    -------
    float
        The effective step size.

    Examples
    --------
    >>> effective_step_size({"step_size": 0.01, "momentum": 0.9})
    0.1
    """
    return float(f"{run['step_size'] / (1 - run['momentum']):.9g}")
