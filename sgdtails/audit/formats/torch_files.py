"""Files of torch.save, new and old, whole modules, and TorchScript archives: their tensors, mapped from the file."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from sgdtails.audit.formats import tensor_builders
from sgdtails.audit.formats.inert_pickles import Unpickler
from sgdtails.audit.formats.sizes import TOO_LARGE, ran_out
from sgdtails.config import validation
from sgdtails.errors import InputError, out_of_memory

if TYPE_CHECKING:
    import torch

_HEADER = struct.Struct("<26xHH")  # of a file in a zip archive: the lengths of its name and of its extra field


def read(path: Path, where: str, kind: str) -> Any:
    """Read what a file of torch holds, as plain containers, tensors and inert stand-ins.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    where : str
        What named it, for sentences.
    kind : str
        As ``kinds.kind_of`` says.

    Returns
    -------
    object
        What was saved. Tensors of zip archives are mapped from the file; nothing is read before it is used.

    Raises
    ------
    InputError
        For a damaged file.
    """
    reader: Callable[[Path], Any] = _zip if kind in ("torch zip", "torchscript") else _old
    try:
        return reader(path)
    except InputError as error:
        raise InputError(f"{where}: {path} {error}") from error
    except Exception as error:  # of a damaged pickle it raises whatever it meets
        if out_of_memory(error):
            raise ran_out(f"{where}: {path}") from error
        raise InputError(
            f"{where}: {path} is not what torch.save writes, or it is damaged ({validation.reason(error)}); give another."
        ) from error


def _zip(path: Path) -> Any:
    import torch

    with zipfile.ZipFile(path) as archive:
        (record,) = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        prefix = record.removesuffix("data.pkl")
        order = f"{prefix}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise InputError("was written by a big-endian machine; save it with torch.save on another.")
        whole: Any = torch.UntypedStorage.from_file(str(path), False, path.stat().st_size)
        storages: dict[str, Any] = {}

        def storage(found: Any) -> tensor_builders.Storage:
            _, kind, key, _, count = found[:5]
            if key not in storages:
                storages[key] = _member(archive, f"{prefix}data/{key}", whole)
            return tensor_builders.Storage(storages[key], _dtype(kind), int(count))

        return Unpickler(io.BytesIO(archive.read(record)), tensor_builders.known(), storage).load()


def _dtype(kind: Any) -> "torch.dtype":
    if not isinstance(kind, tensor_builders.StorageType):
        raise pickle.UnpicklingError("it has storages of an unknown type")
    return kind.dtype


def _member(archive: zipfile.ZipFile, name: str, whole: Any) -> Any:
    """Give the bytes of a file in an archive: a piece of the mapped archive if it is not compressed."""
    import torch

    info = archive.getinfo(name)
    if info.file_size > validation.memory():
        raise InputError(TOO_LARGE)
    if info.compress_type != zipfile.ZIP_STORED:
        data = bytearray(archive.read(name))
        return (
            torch.frombuffer(data, dtype=torch.uint8).untyped_storage()
            if data
            else torch.empty(0, dtype=torch.uint8).untyped_storage()
        )
    file = archive.fp
    assert file is not None
    file.seek(info.header_offset)
    start = info.header_offset + 30 + sum(_HEADER.unpack(file.read(30)))
    return whole[start : start + info.file_size]


@dataclass
class _Filled:
    """A storage of an old file, whose bytes come after the pickle that names it."""

    untyped: "torch.UntypedStorage"
    width: int


def _old(path: Path) -> Any:
    """Read a file of before torch 1.6, or a pickle of anything else: a single one without storages."""
    import torch

    size = path.stat().st_size
    storages: dict[str, _Filled] = {}

    def storage(found: Any) -> Any:
        if found[0] == "module":  # a class, with its source code
            return found[1]
        _, kind, key, _, count, view = (*found, None)[:6]
        dtype = _dtype(kind)
        if key not in storages:
            if not 0 <= count * dtype.itemsize <= size:
                raise pickle.UnpicklingError("a storage is larger than the file")
            storages[key] = _Filled(
                torch.empty(count * dtype.itemsize, dtype=torch.uint8).untyped_storage(), dtype.itemsize
            )
        untyped = storages[key].untyped
        if view is not None:
            _, start, count = view
            untyped = untyped[start * dtype.itemsize : (start + count) * dtype.itemsize]
        return tensor_builders.Storage(untyped, dtype, count)

    with path.open("rb") as file:
        known = tensor_builders.known()
        found = Unpickler(file, known).load()
        if type(found) is not int or found != tensor_builders.MAGIC:
            return found
        for _ in ("protocol", "system"):
            Unpickler(file, known).load()
        start = file.tell()
        # First the storages alone: some tensors are built from numbers, which stand behind the pickle.
        Unpickler(file, tensor_builders.storage_types(), storage).load()
        for key in Unpickler(file, known).load():
            _fill(file, storages[key])
        file.seek(start)
        return Unpickler(file, known, storage).load()


def _fill(file: IO[bytes], storage: _Filled) -> None:
    """Read a storage: how many numbers, then these."""
    import torch

    (count,) = struct.unpack("<q", file.read(8))
    target: Any = torch.empty(0, dtype=torch.uint8).set_(storage.untyped).numpy()
    if count * storage.width != len(target) or cast("io.BufferedReader", file).readinto(target) != len(target):
        raise pickle.UnpicklingError("the file is cut off")
