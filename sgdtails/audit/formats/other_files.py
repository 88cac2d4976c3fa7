"""Files of other libraries, read with their own packages: GGUF, Keras, Flax, numpy."""

import io
import math
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.audit.checkpoint import Checkpoint, Deferred, Skipped, free
from sgdtails.audit.formats import inputs_first, nested
from sgdtails.audit.formats.extras import imported
from sgdtails.audit.formats.sizes import ran_out, refuse_larger
from sgdtails.config import validation
from sgdtails.errors import InputError, out_of_memory

_OBJECTS = "holds Python objects alone, no arrays of numbers; save these."
_LAYOUTS = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}


def read(path: Path, where: str, kind: str, part: str | None) -> Checkpoint:
    """Read a file of numpy, Keras, Flax or llama.cpp.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    where : str
        What named it, for sentences.
    kind : str
        As ``kinds.kind_of`` says.
    part : str or None
        The part of a nested file that is asked for.

    Returns
    -------
    Checkpoint
        Arrays by name, outputs first. Those of a GGUF file are computed when they are asked for.

    Raises
    ------
    InputError
        Without the package that reads the format, and for a damaged file.
    """
    reader = {"gguf": _gguf, "hdf5": _hdf5, "keras": _keras, "msgpack": _msgpack, "npz": _numpy, "npy": _numpy}[kind]
    try:
        found = reader(path, where)
    except InputError:
        raise
    except Exception as error:  # of a damaged file these packages raise whatever they meet
        if out_of_memory(error):
            raise ran_out(f"{where}: {path}") from error
        raise InputError(
            f"{where}: {path} is damaged, or not what its first bytes say ({validation.reason(error)}); give another."
        ) from error
    checkpoint = nested.weights(found, where=f"{where}: {path}", part=part)
    checkpoint.skipped += getattr(found, "skipped", ())
    return checkpoint if kind == "gguf" else inputs_first.as_torch(checkpoint)


def _gguf(path: Path, where: str) -> dict[str, Any]:
    gguf = imported("gguf", "gguf", f"{where}: {path} is a GGUF file")

    def numbers(tensor: Any, rows: int | None = None) -> NDArray[np.float32]:
        found: NDArray[np.float32] = gguf.quants.dequantize(tensor.data[:rows], tensor.tensor_type)
        return found

    arrays = {}
    for tensor in gguf.GGUFReader(path).tensors:
        kind, reason = tensor.tensor_type.name, None
        try:
            numbers(tensor, 1)
        except NotImplementedError:
            reason = f"numbers of type {kind}, which the package gguf cannot turn into floating-point ones"
        shape = tuple(int(n) for n in reversed(tensor.shape))
        arrays[tensor.name] = Deferred(shape, kind, partial(numbers, tensor), reason)
    return arrays


def _hdf5(path: Path, where: str, content: IO[bytes] | None = None) -> dict[str, Any]:
    h5py = imported("h5py", "keras", f"{where}: {path} is an HDF5 file")
    sets: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiubc":
            sets[name] = item

    found: dict[str, Any] = {}
    with h5py.File(content or path, "r") as file:
        file.visititems(visit)
        refuse_larger(sum((item.size or 0) * item.dtype.itemsize for item in sets.values()), f"{where}: {path}")
        for name, item in sets.items():
            keys = [key.partition(":")[0] for key in name.split("/")]
            unique = [key for n, key in enumerate(keys) if n == 0 or key != keys[n - 1]]
            inner = found
            for key in unique[:-1]:
                inner = inner.setdefault(key, {})
            inner[unique[-1]] = item[()]
    found.pop("optimizer_weights", None)
    return found


def _keras(path: Path, where: str) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        refuse_larger(archive.getinfo("model.weights.h5").file_size, f"{where}: {path}")
        return _hdf5(path, where, io.BytesIO(archive.read("model.weights.h5")))


def _msgpack(path: Path, where: str) -> Any:
    msgpack = imported("msgpack", "flax", f"{where}: {path} is a msgpack file")

    def extension(code: int, data: bytes) -> Any:
        if code not in (1, 3):  # an array, and a number of numpy; a complex number is none of either
            return None
        shape, dtype, content = msgpack.unpackb(data, raw=False)
        return _of_bytes(content, str(dtype), shape)

    refuse_larger(path.stat().st_size, f"{where}: {path}")
    found = msgpack.unpackb(path.read_bytes(), ext_hook=extension, raw=False, strict_map_key=False)
    return _joined(found)


def _of_bytes(content: bytes, dtype: str, shape: list[int]) -> NDArray[Any]:
    if dtype == "bfloat16":
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(content, _LAYOUTS.get(dtype, dtype)).reshape(shape)


def _joined(tree: Any) -> Any:
    """Give a tree in which Flax's pieces of large arrays are arrays."""
    if not isinstance(tree, Mapping):
        return tree
    if "__msgpack_chunked_array__" in tree:
        chunks, shape = tree["chunks"], tree["shape"]
        flat = [chunks[str(number)] for number in range(len(chunks))]
        return np.concatenate(flat).reshape([shape[str(number)] for number in range(len(shape))])
    return {key: _joined(value) for key, value in tree.items()}


def _numpy(path: Path, where: str) -> Mapping[str, Any]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            _, size, kind = _header(file)
        if kind.hasobject:
            raise InputError(f"{where}: {path} {_OBJECTS}")
        refuse_larger(size, f"{where}: {path}")
        return {"array": np.load(path, allow_pickle=False)}
    with zipfile.ZipFile(path) as archive:
        headers = {}
        for name in archive.namelist():
            with archive.open(name) as file:
                headers[name.removesuffix(".npy")] = _header(file)
    refuse_larger(sum(size for _, size, _ in headers.values()), f"{where}: {path}")
    found: dict[str, Any] = {}
    objects = []
    with np.load(path, allow_pickle=False) as loaded:
        for name, (shape, _, kind) in headers.items():
            if kind.hasobject:
                objects.append(Skipped(name, shape, "object", "Python objects, which are not read"))
            else:  # Flax's names are paths
                found[free(name.replace("/", "."), found)] = loaded[name]
    if not found:
        raise InputError(f"{where}: {path} {_OBJECTS}")
    return Checkpoint(found, objects)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], int, np.dtype[Any]]:
    """Give the shape, the bytes and the type of an array, without reading it."""
    first = np.lib.format.read_magic(file) == (1, 0)
    read_header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, kind = read_header(file)
    return shape, math.prod(shape) * kind.itemsize, kind
