"""The only place that writes and reads Parquet, and what tables have in common: who converged, what is published."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sgdtails.schemas import SCHEMAS
from sgdtails.storage import atomic

_LIBRARIES = ("numpy", "pyarrow", "scipy", "torch")


def write(name: str, rows: Iterable[Mapping[str, Any]], path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write rows as table ``name``; ValueError if a row's keys are not exactly the declared columns."""
    schema = SCHEMAS[name]
    listed = list(rows)
    for row in listed:
        if set(row) != set(schema.names):
            raise ValueError(f"row of table {name!r} differs from its schema in {sorted(set(row) ^ set(schema.names))}")
    _store(pa.Table.from_pylist(listed, schema=schema), path, provenance)


def concatenate(name: str, parts: Iterable[str | Path], path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write the tables at ``parts``, one after the other, as one table ``name``."""
    schema = SCHEMAS[name]
    read = [pq.read_table(part).select(schema.names).cast(schema) for part in parts]
    _store(pa.concat_tables(read) if read else schema.empty_table(), path, provenance)


def read(path: str | Path) -> pa.Table:
    """A table of this module."""
    return pq.read_table(path)


def joined_runs(training: Iterable[str | Path], averaging: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Rows of table ``runs``: a run whose weights left the finite numbers while they were averaged has diverged too."""
    averages = {row["run"]: row for part in averaging for row in read(part).to_pylist()}
    rows = []
    for row in (row for part in training for row in read(part).to_pylist()):
        average = averages[row["run"]]
        status = "diverged" if average["status"] == "diverged" else row["status"]
        seconds = row["seconds"] + average["seconds"]
        rows.append(
            row | {"status": status, "seconds": seconds, "average_test_accuracy": average["average_test_accuracy"]}
        )
    return rows


def with_status(parts: Iterable[str | Path], runs: pa.Table) -> list[dict[str, Any]]:
    """Rows of table ``pruning`` from the files of single runs and methods: each row gets its run's status."""
    status = {row["run"]: row["status"] for row in runs.select(["run", "status"]).to_pylist()}
    return [row | {"status": status[row["run"]]} for part in parts for row in read(part).to_pylist()]


def published(tails: pa.Table, weights: str = "average") -> pa.Table:
    """The rows of ``tails`` that the paper reports: multivariate aggregates of the averaged weights, one per layer."""
    return tails.filter(
        (pc.field("weights") == weights) & (pc.field("estimator") == "mmo_multivariate") & pc.field("k1").is_null()
    )


def mean_alpha(tails: pa.Table) -> dict[str, float]:
    """Per run, the mean over layers of the published tail index."""
    means = published(tails).group_by("run").aggregate([("alpha_published", "mean")])
    return dict(zip(means["run"].to_pylist(), means["alpha_published_mean"].to_pylist(), strict=True))


def converged(runs: pa.Table, tails: pa.Table) -> list[dict[str, Any]]:
    """Rows of converged runs with their mean tail index, ``alpha``."""
    alpha = mean_alpha(tails)
    rows = (row for row in runs.to_pylist() if row["status"] == "converged" and row["run"] in alpha)
    return [row | {"alpha": alpha[row["run"]]} for row in rows]


def _store(table: pa.Table, path: str | Path, provenance: Mapping[str, Any]) -> None:
    libraries = {library: version(library) for library in _LIBRARIES}
    record = json.dumps({"libraries": libraries, **provenance}, sort_keys=True)
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata({"sgdtails": record}), temporary)
