"""The arrays of a checkpoint: of a file in any format that is read, of shards, or of a torchvision model."""

import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sgdtails.audit import checkpoints
from sgdtails.audit.checkpoint import Checkpoint, free, name_of
from sgdtails.audit.formats import inputs_first, kinds, nested, onnx_files, other_files, safetensors_files
from sgdtails.config import validation
from sgdtails.errors import InputError, unknown

_TORCH = (kinds.TORCH_ZIP, kinds.TORCHSCRIPT, kinds.TORCH_LEGACY, kinds.PICKLE)


def read(source: str, *, weights: str | None, seed: int, part: str | None = None) -> Checkpoint:
    """Read a checkpoint.

    Parameters
    ----------
    source : str
        As ``checkpoints.sources`` gives it.
    weights : str or None
        A file of weights for a torchvision model; without one it has those of its initialisation from ``seed``.
    seed : int
        Of that initialisation.
    part : str, optional
        The part of a file that is asked for, such as ``teacher``; all of it otherwise.

    Returns
    -------
    Checkpoint
        Arrays by name, mapped from the file where its format allows: nothing is read before it is used.

    Raises
    ------
    InputError
        For a file without weights, or in a format that cannot be read here: what it is, and what to do.
    """
    if source.startswith(checkpoints.TORCHVISION):
        return _torchvision(source.removeprefix(checkpoints.TORCHVISION), weights, seed)
    path = validation.regular(source, checkpoints.KEY)
    found = _file(path, checkpoints.KEY, part)
    return Checkpoint(found, (*found.skipped, *checkpoints.beside(path)), found.read_as)


def of_mapping(given: Mapping[Any, Any], where: str, part: str | None = None) -> Checkpoint:
    """Take the arrays out of a mapping, such as ``model.state_dict()``.

    Parameters
    ----------
    given : mapping
        Arrays by name: a key that is no text is written as text. Tensors of a GPU are copied from there.
    where : str
        What the mapping is called, for sentences.
    part : str, optional
        The part that is asked for, such as ``teacher``.

    Returns
    -------
    Checkpoint
        The arrays, without gradients.

    Raises
    ------
    InputError
        If there is no such part.

    Examples
    --------
    >>> list(of_mapping({"fc.weight": np.ones((2, 2)), "steps": 3}, "example"))
    ['fc.weight']
    """
    found: dict[str, Any] = {}
    copies: dict[Any, Any] = {}  # of tensors that several keys share, so that they still do
    for key, array in given.items():
        if hasattr(array, "ndim"):
            found[free(name_of(key), found)] = _here(array, copies)
    return Checkpoint(found) if part is None else nested.weights(found, where=where, part=part)


def _here(array: Any, copies: dict[Any, Any]) -> Any:
    """Give a tensor without its gradient, in the memory of the machine."""
    if not hasattr(array, "detach"):
        return array
    array = array.detach()
    if array.device.type in ("cpu", "meta"):
        return array
    if str(array.layout) != "torch.strided":
        return array.cpu()
    place = (array.device, array.data_ptr(), array.dtype, array.shape, array.stride())
    if place not in copies:
        copies[place] = array.cpu()
    return copies[place]


def _file(path: Path, where: str, part: str | None = None) -> Checkpoint:
    kind = kinds.kind_of(path, where)
    if kind == kinds.INDEX:
        files = sorted({*checkpoints.shards(path).values()})
        shards = [_file(path.parent / file, where) for file in files]
        arrays = {name: array for shard in shards for name, array in shard.items()}
        found = nested.weights(safetensors_files.in_order(path, arrays), where=f"{where}: {path}", part=part)
        skipped = [entry for each in (*shards, found) for entry in each.skipped]
        return Checkpoint(found, skipped, f"{len(files)} shards with an index")
    found = _of_kind(path, where, kind, part)
    words = ": ".join(filter(None, (kinds.WORDS[kind], found.read_as)))
    return Checkpoint(_usable(found), found.skipped, words)


def _of_kind(path: Path, where: str, kind: str, part: str | None) -> Checkpoint:
    if kind == kinds.SAFETENSORS:
        return nested.weights(safetensors_files.read(path, where), where=f"{where}: {path}", part=part)
    if kind == kinds.ONNX:
        return nested.weights(onnx_files.read(path, where), where=f"{where}: {path}", part=part)
    if kind not in _TORCH:
        return other_files.read(path, where, kind, part)
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            f"{where}: {path} is {kinds.WORDS[kind]} and can only be read with torch; install it, or give a safetensors file."
        )
    from sgdtails.audit.formats import torch_files

    found = nested.weights(torch_files.read(path, where, kind), where=f"{where}: {path}", part=part)
    return inputs_first.as_torch(found) if kind == kinds.PICKLE else found


def _usable(arrays: Checkpoint) -> dict[str, Any]:
    """Arrays of numpy as tensors where torch is installed, as an evaluation function expects them; numbers in native byte order."""
    torch_is_there = importlib.util.find_spec("torch") is not None
    found: dict[str, Any] = dict(arrays)
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            continue
        if array.dtype.name.startswith(("bfloat", "float8")):  # of the package ml_dtypes
            array = array.astype(np.float32)
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
        found[name] = _tensor(array) if torch_is_there else array
    return found


def _tensor(array: np.ndarray) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of memory that cannot be written to: nothing is
        try:
            return torch.from_numpy(array)
        except TypeError:  # a type that torch lacks
            return array


def _torchvision(name: str, weights: str | None, seed: int) -> Checkpoint:
    try:
        import torch
        from torchvision import models
    except ModuleNotFoundError as error:
        raise InputError(f"{checkpoints.KEY}: torchvision:{name} needs torch and torchvision; install them.") from error

    if name not in models.list_models():
        raise unknown("torchvision model", name, checkpoints.KEY, models.list_models())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models.get_model(name, weights=None)
    if weights is None:
        state = {key: value.detach() for key, value in model.state_dict().items()}
        return Checkpoint(state, read_as="a random initialisation")
    where = "config key audit.weights"
    found = _file(validation.regular(weights, where), where)
    try:
        model.load_state_dict(found, assign=True)
    except RuntimeError as error:
        raise InputError(
            f"{where}: {weights} does not fit torchvision's {name} ({validation.reason(error)}); "
            "give its own weights, or the file alone as config key checkpoint."
        ) from error
    return found
