"""The only place that writes and reads Parquet."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sgdtails.errors import InputError
from sgdtails.io import storage
from sgdtails.runtime import container

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
    """A table of this workflow. InputError for a file that is not what was written, or no table."""
    return parse(storage.read(path), path)


def parse(data: bytes, path: str | Path) -> pa.Table:
    """The table that a file consists of. InputError, naming ``path``, for a damaged one."""
    try:
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            # With threads a process that is done sometimes aborts at its exit (apache/arrow issue 34314).
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise InputError(
            f"{path} is not a table of this workflow, or it is damaged ({reason}); delete it and run again."
        ) from error


def record(schema: pa.Schema) -> dict[str, Any]:
    """What a table of this workflow says of how it was made; empty for another program's."""
    return json.loads((schema.metadata or {}).get(b"sgdtails", b"{}"))


def read_record(path: str | Path) -> dict[str, Any]:
    """The same from a file, whose footer alone is read. InputError for a damaged one."""
    with Path(path).open("rb") as file:  # whose errors are no damage
        try:
            return record(pq.read_schema(pa.PythonFile(file, mode="r")))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(
                f"{path} is not a table of this workflow, or it is damaged; delete it and run again."
            ) from error


def store(table: pa.Table, path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write a table with, in its metadata, what it depends on, the libraries' versions and the container image or None."""
    libraries = {library: _version(library) for library in _LIBRARIES}
    made_by = json.dumps({"image": container.digest(), "libraries": libraries, **provenance}, sort_keys=True)
    table = table.replace_schema_metadata({"sgdtails": made_by})
    with storage.atomic(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)
        back = parse(temporary.read_bytes(), path)
        if not back.schema.equals(table.schema, check_metadata=True) or back.num_rows != table.num_rows:
            raise InputError(f"{path} reads back as another table than was written; is its disk sound?")


def _version(library: str) -> str | None:
    """None where it is not installed: an audit can do without torch."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None
