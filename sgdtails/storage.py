"""Arrays at rest: safetensors with one JSON record of metadata, written atomically."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sgdtails.errors import InputError

_RECORD = "sgdtails"  # one key: safetensors writes several in no particular order


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place when the block succeeds and vanishes when it fails."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Let what was written reach the disk before anything relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_arrays(path: str | Path, arrays: Mapping[str, NDArray], record: Mapping[str, Any]) -> None:
    """Write named arrays in their order, a JSON-able record, and a digest of both."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps({"order": list(arrays), **record}, sort_keys=True)
    header = json.dumps({"digest": _digest(arrays, text), "record": text})
    with atomic(path) as temporary:
        save_file(arrays, temporary, {_RECORD: header})


def load_arrays(path: str | Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The arrays, in the order in which they were saved, and the record. InputError for a damaged file."""
    with _opened(path) as (file, header):
        record = json.loads(header["record"])
        arrays = {name: file.get_tensor(name) for name in record.pop("order")}
        if _digest(arrays, header["record"]) != header["digest"]:
            raise ValueError("its contents are not what was written")
    return arrays, record


def read_record(path: str | Path) -> dict[str, Any]:
    """The record of a file, without its arrays. InputError for a file that has none."""
    with _opened(path) as (_, header):
        record = json.loads(header["record"])
        del record["order"]
    return record


def digest(path: str | Path) -> str:
    """The digest that a file of ``save_arrays`` carries. InputError for a file without one."""
    with _opened(path) as (_, header):
        return header["digest"]


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, dict[str, str]]]:
    try:
        with safe_open(path, framework="numpy") as file:
            yield file, json.loads((file.metadata() or {})[_RECORD])
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"{path} is not a file of this workflow, or it is damaged ({error}); delete it and run again."
        ) from error


def _digest(arrays: Mapping[str, NDArray], record: str) -> str:
    digest = hashlib.sha256(record.encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
