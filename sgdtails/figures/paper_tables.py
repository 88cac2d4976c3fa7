"""The paper's Tables 1 and 2: parameters of the networks and ranges of eta/b."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from sgdtails import layers
from sgdtails.config import run_ids
from sgdtails.io import tables


def parameters(runs: pa.Table, initial: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Rows of table ``table1``; ``initial`` gives files of weights by initial network: those of at least one run of each panel."""
    for rows in tables.panels(runs.to_pylist()).values():
        path = next(initial[name] for row in rows if (name := run_ids.initial_id(row["run"])) in initial)
        weights, _ = layers.read(path)
        yield tables.panel(rows[0]) | {"parameters": sum(weight.size for weight in weights.values())}


def ranges(runs: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows of table ``table2``."""
    for rows in tables.panels(runs.to_pylist()).values():
        ratios = [row["eta_over_b"] for row in rows]
        yield {
            **tables.panel(rows[0]),
            **{"eta_over_b_lowest": min(ratios), "eta_over_b_highest": max(ratios)},
            **{"runs": len(rows), "converged": sum(row["status"] == "converged" for row in rows)},
        }


def markdown(rows: list[dict[str, Any]], cell: Callable[[dict[str, Any]], str]) -> str:
    """Rows as a Markdown table: one line per dataset, one column per model (and variant of SGD), as in the paper."""
    cells = {(row["dataset"], tables.panel_title(row, "model", "variant")): cell(row) for row in rows}
    models = list(dict.fromkeys(model for _, model in cells))
    lines = ["| | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for dataset in dict.fromkeys(dataset for dataset, _ in cells):
        values = (cells.get((dataset, model), "") for model in models)
        lines.append(f"| {dataset.upper()} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


CELLS: dict[str, Callable[[dict[str, Any]], str]] = {
    "table1": lambda row: f"{row['parameters']:,}",
    "table2": lambda row: (
        f"{row['eta_over_b_lowest']:.3g} to {row['eta_over_b_highest']:.3g} ({row['converged']} of {row['runs']} converged)"
    ),
}
