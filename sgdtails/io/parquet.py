"""The only place that writes and reads Parquet."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sgdtails.errors import InputError
from sgdtails.io import storage
from sgdtails.runtime import container


def write(
    schema: pa.Schema, rows: Iterable[Mapping[str, Any]], path: str | Path, *, provenance: Mapping[str, Any]
) -> None:
    """Write rows as a table.

    Parameters
    ----------
    schema
        Its columns.
    rows
        Values by column.
    path
        The file.
    provenance
        What the table depends on; it stands in the file's metadata.

    Raises
    ------
    ValueError
        A row's keys are not exactly the columns.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(pa.schema({"x": pa.int64()}), [{"x": 1}], f"{folder}/t.parquet", provenance={})
    ...     read(f"{folder}/t.parquet").to_pylist()
    [{'x': 1}]
    """
    listed = list(rows)
    for row in listed:
        if set(row) != set(schema.names):
            raise ValueError(f"a row for {path} differs from its schema in {sorted(set(row) ^ set(schema.names))}")
    store(pa.Table.from_pylist(listed, schema=schema), path, provenance=provenance)


def read(path: str | Path) -> pa.Table:
    """Read a table of this workflow.

    Raises
    ------
    InputError
        The file is not what was written, or no table.
    """
    return parse(storage.read(path), path)


def parse(data: bytes, path: str | Path) -> pa.Table:
    """Read the table that a file consists of.

    Parameters
    ----------
    data
        The file's bytes.
    path
        Its name in errors.

    Raises
    ------
    InputError
        The file is damaged.
    """
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
    """Return what a table of this workflow says of how it was made; empty for another program's."""
    return dict(json.loads((schema.metadata or {}).get(b"sgdtails", b"{}")))


def read_record(path: str | Path) -> dict[str, Any]:
    """Read how a table was made from the file's footer alone.

    Raises
    ------
    InputError
        The file is damaged.
    """
    with Path(path).open("rb") as file:  # whose errors are no damage
        try:
            return record(pq.read_schema(pa.PythonFile(file, mode="r")))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(
                f"{path} is not a table of this workflow, or it is damaged; delete it and run again."
            ) from error


def store(table: pa.Table, path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write a table with what it depends on, the libraries' versions and the container image in its metadata.

    Parameters
    ----------
    table
        The table.
    path
        The file.
    provenance
        What the table depends on.

    Raises
    ------
    InputError
        The file reads back as another table.
    """
    made_by = json.dumps({**container.software(), **provenance}, sort_keys=True)
    table = table.replace_schema_metadata({"sgdtails": made_by})
    with storage.atomic(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)
        back = parse(temporary.read_bytes(), path)
        if not back.schema.equals(table.schema, check_metadata=True) or back.num_rows != table.num_rows:
            raise InputError(f"{path} reads back as another table than was written; is its disk sound?")
