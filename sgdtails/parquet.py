"""The only place that writes and reads Parquet."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sgdtails import image
from sgdtails.storage import atomic

_LIBRARIES = ("numpy", "pyarrow", "scipy", "torch")


def write(
    schema: pa.Schema, rows: Iterable[Mapping[str, Any]], path: str | Path, *, provenance: Mapping[str, Any]
) -> None:
    """Write rows as a table; ValueError if a row's keys are not exactly the declared columns."""
    listed = list(rows)
    for row in listed:
        if set(row) != set(schema.names):
            raise ValueError(f"a row for {path} differs from its schema in {sorted(set(row) ^ set(schema.names))}")
    store(pa.Table.from_pylist(listed, schema=schema), path, provenance=provenance)


def read(path: str | Path) -> pa.Table:
    """A table of this workflow."""
    return pq.read_table(path)


def store(table: pa.Table, path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write a table with, in its metadata, what it depends on, the libraries' versions and the container image or None."""
    libraries = {library: version(library) for library in _LIBRARIES}
    record = json.dumps({"image": image.digest(), "libraries": libraries, **provenance}, sort_keys=True)
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata({"sgdtails": record}), temporary)
