"""Tables by name, and what they have in common: who converged, what is published."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sgdtails.config import run_ids
from sgdtails.io import parquet
from sgdtails.schemas.run_schemas import AVERAGES, PANEL
from sgdtails.schemas.study_schemas import SCHEMAS

read = parquet.read


def write(name: str, rows: Iterable[Mapping[str, Any]], path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write rows as table ``name``; ValueError if a row's keys are not exactly the declared columns."""
    parquet.write(SCHEMAS[name], rows, path, provenance=provenance)


Initial = Mapping[str, pa.Table]  # tables of initial networks, by these


def by_initial(parts: Iterable[str | Path]) -> dict[str, pa.Table]:
    """Tables of initial networks by their names, from files in folders of these names."""
    return {Path(part).parent.name: read(part) for part in parts}


def concatenate(
    name: str,
    parts: Iterable[str | Path],
    path: str | Path,
    *,
    initial: Initial = MappingProxyType({}),
    provenance: Mapping[str, Any],
) -> None:
    """Write the tables of runs at ``parts``, one after the other, as one table ``name``; before each the rows of the network
    that it starts from, if ``initial`` has it, as rows of the run."""
    schema = SCHEMAS[name]
    each = (table for part in parts for table in _with_initial(part, initial))
    found = [table.select(schema.names).cast(schema) for table in each]
    parquet.store(pa.concat_tables(found) if found else schema.empty_table(), path, provenance=provenance)


def _with_initial(part: str | Path, initial: Initial) -> Iterator[pa.Table]:
    """The rows of a run's initial network, if they are known, and the run's own."""
    run = Path(part).parent.name
    if initial and (start := initial.get(run_ids.initial_id(run))) is not None:
        column = start.schema.get_field_index("run")
        yield start.set_column(column, start.schema.field("run"), pa.array([run] * len(start), pa.string()))
    yield read(part)


def joined_runs(training: Iterable[str | Path], averaging: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Rows of training and averaging, joined: a run whose weights left the finite numbers while they were averaged has diverged too."""
    averages = {row["run"]: row for part in averaging for row in read(part).to_pylist()}
    rows = []
    for row in (row for part in training for row in read(part).to_pylist()):
        average = averages[row["run"]]
        status = "diverged" if average["status"] == "diverged" else row["status"]
        measured = {name: average[name] for name, *_ in AVERAGES}
        rows.append(row | measured | {"status": status, "seconds": row["seconds"] + average["seconds"]})
    return rows


_ACCURACIES = {
    "converged": "test_accuracy",
    "last": "last_test_accuracy",
    "average": "average_test_accuracy",
}


def accuracy_of(run: Mapping[str, Any], weights: str) -> Any:
    """Test accuracy of the weights that config key pruning.weights names, from a run's row of table ``runs``; None without such."""
    return run[_ACCURACIES[weights]]


def with_status(
    parts: Iterable[str | Path], runs: pa.Table, *, initial: Initial = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Rows of table ``pruning`` from the files of single runs, and of ``initial`` as in ``concatenate``: each gets its run's status."""
    status = {row["run"]: row["status"] for row in runs.select(["run", "status"]).to_pylist()}
    each = (table for part in parts for table in _with_initial(part, initial))
    return [row | {"status": status[row["run"]]} for table in each for row in table.to_pylist()]


def panel(row: Mapping[str, Any]) -> dict[str, str]:
    """The columns that say to which panel a row belongs: dataset, model and variant of SGD."""
    return {name: row[name] for name, *_ in PANEL}


def panels(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Rows by their panels' values, in the order of first appearance."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(panel(row).values()), []).append(row)
    return groups


def panel_title(row: Mapping[str, Any], *columns: str) -> str:
    """What the panel of a row is called, such as FCN4, DIGITS, or FCN4, DIGITS, m0.9; or the part in ``columns``."""
    title = {"model": row["model"].upper(), "dataset": row["dataset"].upper(), "variant": row["variant"]}
    return ", ".join(filter(None, (title[name] for name in columns or title)))


def published(tails: pa.Table, weights: str = "average", estimator: str = "mmo_multivariate") -> pa.Table:
    """The aggregates of ``tails`` that have a published value, one per layer that has one."""
    wanted = (pc.field("weights") == weights) & (pc.field("estimator") == estimator)
    return tails.filter(wanted & pc.field("alpha_published").is_valid())


def converged(runs: pa.Table) -> list[dict[str, Any]]:
    """Rows of converged runs that have a tail index, ``alpha``."""
    return [row for row in runs.to_pylist() if row["status"] == "converged" and row["alpha"] is not None]
