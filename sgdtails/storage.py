"""Arrays at rest: safetensors with one JSON record of metadata, written atomically."""

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
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def save_arrays(path: str | Path, arrays: Mapping[str, NDArray], record: Mapping[str, Any]) -> None:
    """Write named arrays in their order, and a JSON-able record."""
    header = json.dumps({"order": list(arrays), **record}, sort_keys=True)
    with atomic(path) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, {_RECORD: header})


def load_arrays(path: str | Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The arrays, in the order in which they were saved, and the record. InputError for a damaged file."""
    try:
        with safe_open(path, framework="numpy") as file:
            record = json.loads((file.metadata() or {})[_RECORD])
            return {name: file.get_tensor(name) for name in record.pop("order")}, record
    except (SafetensorError, KeyError, OSError) as error:
        raise InputError(
            f"{path} is not a file of this workflow, or it is damaged ({error}); delete it and run again."
        ) from error
