"""The paper's Tables 1 and 2: parameters of the networks and ranges of eta/b."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from sgdtails import layers
from sgdtails.config import run_ids
from sgdtails.io import tables
from sgdtails.labels import Labels


def parameters(runs: pa.Table, initial: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Count the weights of each panel's network: rows of table ``table1``.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.
    initial : mapping
        Files of weights by initial network: those of at least one run of each panel.

    Yields
    ------
    dict
        One row per panel.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sgdtails.io import storage
    >>> row = {"run": "fcn4-mnist-b50-lr0.1-s1", "dataset": "mnist", "model": "fcn4", "variant": ""}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     storage.save_arrays(f"{folder}/a.safetensors", {"l.weight": np.zeros((4, 5))}, {})
    ...     rows = list(parameters(pa.Table.from_pylist([row]), {"fcn4-mnist-s1": f"{folder}/a.safetensors"}))
    >>> rows[0]["parameters"]
    20
    """
    for rows in tables.panels(runs.to_pylist()).values():
        path = next(initial[name] for row in rows if (name := run_ids.initial_id(row["run"])) in initial)
        weights, _ = layers.read(path)
        yield tables.panel(rows[0]) | {"parameters": sum(weight.size for weight in weights.values())}


def ranges(runs: pa.Table) -> Iterator[dict[str, Any]]:
    """Find the range of eta/b of each panel: rows of table ``table2``.

    Parameters
    ----------
    runs : pyarrow.Table
        Table ``runs``.

    Yields
    ------
    dict
        One row per panel.

    Examples
    --------
    >>> next(ranges(tables.read("studies/mnist-narrow/tables/runs.parquet")))["converged"]
    58
    """
    for rows in tables.panels(runs.to_pylist()).values():
        ratios = [row["eta_over_b"] for row in rows]
        yield tables.panel(rows[0]) | {
            "eta_over_b_lowest": min(ratios),
            "eta_over_b_highest": max(ratios),
            "runs": len(rows),
            "converged": sum(row["status"] == "converged" for row in rows),
        }


def markdown(rows: list[dict[str, Any]], cell: Callable[[dict[str, Any]], str]) -> str:
    """Write rows as the paper does: one line per dataset, one column per model (and variant of SGD).

    Parameters
    ----------
    rows : list of dict
        Rows of ``table1`` or ``table2``.
    cell : callable
        Writes what a row says; one of ``CELLS``.

    Returns
    -------
    str
        A Markdown table.

    Examples
    --------
    >>> row = {"dataset": "mnist", "model": "fcn4", "variant": "", "parameters": 1234}
    >>> print(markdown([row], CELLS["table1"]), end="")
    | | FCN4 |
    |---|---|
    | MNIST | 1,234 |
    """
    names = Labels()
    cells = {}
    for row in rows:
        network = ", ".join(filter(None, (names.model(row["model"]), row["variant"])))
        cells[row["dataset"], network] = cell(row)
    models = list(dict.fromkeys(model for _, model in cells))
    lines = ["| | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for dataset in dict.fromkeys(dataset for dataset, _ in cells):
        values = (cells.get((dataset, model), "") for model in models)
        lines.append(f"| {names.dataset(dataset)} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


CELLS: dict[str, Callable[[dict[str, Any]], str]] = {
    "table1": lambda row: f"{row['parameters']:,}",
    "table2": lambda row: (
        f"{row['eta_over_b_lowest']:.3g} to {row['eta_over_b_highest']:.3g} ({row['converged']} of {row['runs']} converged)"
    ),
}
