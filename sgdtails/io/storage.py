"""Files at rest, written atomically: arrays as safetensors that carry a digest; beside other files the digest lies in a file."""

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sgdtails.errors import InputError

_RECORD = "sgdtails"  # one key: safetensors writes several in no particular order
_UMASK = os.umask(0)  # it is read by setting it, for all threads of a process: not while others write
os.umask(_UMASK)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place, with a new digest, when the block succeeds, and else vanishes."""
    target = Path(path)
    checksum = checksum_file(target)
    with _replacing(checksum) as digest, _replacing(target) as temporary:
        yield temporary
        digest.write_text(_checksum_line(target.name, temporary.read_bytes()), encoding="utf-8")
        checksum.unlink(missing_ok=True)  # first the old one goes, then the file comes, then the new one


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".sgdtails-{target.stem}-"  # a name that nobody else gives
    _remove_abandoned(target.parent, prefix, target.suffix)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=target.suffix)
    temporary = Path(name)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)  # says that its process lives
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        os.fsync(handle)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        error.filename = error.filename or str(target)  # what a failed write does not say
        raise
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def _remove_abandoned(folder: Path, prefix: str, suffix: str) -> None:
    """Remove temporary files whose processes were killed."""
    for path in folder.iterdir():
        if path.name.startswith(prefix) and path.suffix == suffix and len(path.name) == len(prefix + suffix) + 8:
            with suppress(OSError), path.open("rb") as file:  # another process's, or gone by now
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def checksum_file(path: Path) -> Path:
    """The file that holds the digest of the file at ``path``, in the form of sha256sum."""
    return path.with_name(f".{path.name}.sha256")


def write_checksum(path: Path) -> None:
    """Take a file as it is, and put its digest beside it."""
    with _replacing(checksum_file(path)) as temporary:
        temporary.write_text(_checksum_line(path.name, path.read_bytes()), encoding="utf-8")


def _checksum_line(name: str, data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n"


def read(path: str | Path) -> bytes:
    """A file as it was written. InputError if it has changed since; a file without a digest is taken as it is.

    OSError if it cannot be read: that is no damage.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is no regular file; remove it and run again.")  # a pipe would be waited for
    for _ in range(2):  # another process may have replaced it in between
        data = target.read_bytes()
        line = read_checksum(target)
        if line is None or line == _checksum_line(target.name, data):
            return data
    raise InputError(f"{path} is not what was written; delete it and run again.")


def read_checksum(path: Path) -> str | None:
    """The line with the digest of a file, or None if there is none, or none that can be read."""
    try:
        line = checksum_file(path).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return line if re.fullmatch(rf"[0-9a-f]{{64}}  {re.escape(path.name)}\n", line) else None


def _sync(path: Path) -> None:
    """Let what was written reach the disk before anything relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_arrays(
    path: str | Path,
    arrays: Mapping[str, NDArray],
    record: Mapping[str, Any],
    *,
    made_by: Mapping[str, Any] | None = None,
    read_back: bool = True,
) -> None:
    """Write named arrays in their order, a JSON-able record, and a digest of both; read them back from the disk.

    ``made_by``, code and settings, stands beside the record where these must not change the file's digest.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps({"order": list(arrays), **record}, sort_keys=True)
    more = {} if made_by is None else {"made_by": made_by}
    header = json.dumps({"digest": _digest(arrays, text), "record": text, **more})
    with _replacing(Path(path)) as temporary:
        # Its save_file would write to a temporary file of its own, which nobody removes after a kill.
        temporary.write_bytes(save(arrays, {_RECORD: header}))
        if read_back:
            load_arrays(temporary)


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


def made_by(path: str | Path) -> dict[str, Any]:
    """Code and settings that a file of ``save_arrays`` was made by, as far as it says. InputError for a file without a digest."""
    with _opened(path) as (_, header):
        record = header.get("made_by") or json.loads(header["record"])
    return {key: record[key] for key in ("code", "settings") if key in record}


class EarlierVersion(InputError):
    """A sound file of a version of this software that this one cannot read."""


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """OSError if the file cannot be read at the moment; InputError if it is another's, damaged or missing."""
    if not _is_there(path):  # nor is a pipe waited for
        raise InputError(_unreadable(path, "there is no such file"))
    with Path(path).open("rb"):  # whose errors say what is wrong: safetensors calls all of them a missing file
        pass
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[_RECORD])
            if "order" in header and "digest" not in header:
                raise EarlierVersion(
                    f"{path} was written by an early version 0.1.0 of this software, from before weights carried digests; "
                    "use it with that version, or delete it and run again."
                )
            yield file, header
    except InputError:
        raise
    except OSError as error:  # without its number or the file's name
        raise OSError(errno.EIO, error.strerror or str(error), str(path)) from error
    except (SafetensorError, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise InputError(_unreadable(path, error)) from error


def _is_there(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _unreadable(path: str | Path, why: object) -> str:
    return f"{path} is not a file of this workflow, or it is damaged ({why}); delete it and run again."


def _digest(arrays: Mapping[str, NDArray], record: str) -> str:
    digest = hashlib.sha256(record.encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
