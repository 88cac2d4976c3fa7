"""Checkpoints of any origin: which files a config asks for, their arrays, and the matrices among them."""

import hashlib
import importlib.util
import math
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtails.config import validation
from sgdtails.errors import InputError, unknown

if TYPE_CHECKING:
    from torch import Tensor  # or, where torch is not installed, numpy's array

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
TORCHVISION = "torchvision:"
FEW = 64  # outputs: with fewer of them a linear layer's inputs are its observations
_KEY = "config key checkpoint"
_SPECIAL = re.compile(r"[^A-Za-z0-9_.-]")
_PLAIN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_LONGEST = 100
_NESTED = ("state_dict", "model_state_dict", "model", "module", "net", "params", "params_ema")
_FUSED = ("in_proj_weight", "in_proj", "qkv", "qkv_proj", "Wqkv", "c_attn")
_CONV1D = ("c_attn", "c_proj", "c_fc")  # of GPT-2, stored as (in, out) in some files
_ATTENTION = re.compile(r"attn|attention|(^|\.)(q|k|v|o|out|qkv|query|key|value|w[qkvo])(_proj|_lin)?$", re.IGNORECASE)
_EMBEDDING = re.compile(r"^(wte|wpe)$|embed|position|token_type", re.IGNORECASE)


@dataclass(frozen=True)
class Matrix:
    """A layer of a checkpoint: a view of its tensor whose first axis, or first two for a convolution, are observations."""

    name: str
    kind: str  # linear, attention, embedding, convolution or pointwise convolution
    orientation: str  # what an observation is, and why
    tensor: "Tensor"  # (observations, dimension), or (out, in, *kernel) for a convolution


def sources(checkpoint: str | None, weights: str | None = None) -> dict[str, str]:
    """Files, or a torchvision model with the ``weights`` of a file, by the name of their folder of results; reads no contents.

    The name says where the file lies below the working directory, so that no two files share one. InputError if there is none.
    """
    if not checkpoint:
        raise InputError(
            f"{_KEY} is not set; give a file, a folder or a torchvision model, "
            "such as --config checkpoint=my.safetensors or checkpoint=torchvision:resnet18."
        )
    if checkpoint.startswith(TORCHVISION):
        model = f"torchvision--{_SPECIAL.sub('_', checkpoint.removeprefix(TORCHVISION))}"
        return {f"{model}--{_name(weights)}" if weights else model: checkpoint}
    path = Path(checkpoint)
    if not path.exists():
        raise InputError(
            f"{_KEY}: there is no {checkpoint!r}; give a file, a folder, or a torchvision model, such as torchvision:resnet18."
        )
    if not path.is_dir():
        return {_name(validation.regular(path, _KEY)): checkpoint}
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise InputError(f"{_KEY}: {checkpoint} holds no {', '.join(SUFFIXES)} file; give a folder with checkpoints.")
    return {_name(file): str(file) for file in files}


def _name(path: str | Path) -> str:
    """``A--best.pt`` of A/best.pt, ``best`` of best.safetensors; with a digest of the path where that would be another's too."""
    relative = os.path.relpath(path)
    *folders, file = Path(relative).parts
    parts = [*folders, file.removesuffix(".safetensors")]
    name = "--".join(parts)
    plain = all(_PLAIN.fullmatch(part) and "--" not in part for part in parts) and len(name) <= _LONGEST
    if plain and parts[0] != "torchvision" and (parts[-1] == file or not parts[-1].endswith(SUFFIXES)):
        return name
    digest = hashlib.sha256(os.fsencode(relative)).hexdigest()[:8]
    readable = _SPECIAL.sub("_", "--".join(part for part in parts[-2:] if part != ".."))[-_LONGEST:].lstrip(".-")
    return f"{readable or 'checkpoint'}-{digest}"


def read(source: str, *, weights: str | None, seed: int) -> dict[str, "Tensor"]:
    """The tensors of a checkpoint by name, mapped from the file: nothing is read before it is used.

    Without torch, the arrays of a safetensors file, which are read at once.
    A torchvision model has the ``weights`` of a file, or without one those of its initialisation from ``seed``.
    InputError for a file that is no state dict.
    """
    if source.startswith(TORCHVISION):
        return _torchvision(source.removeprefix(TORCHVISION), weights, seed)
    return _file(validation.regular(source, _KEY), _KEY)


def _file(path: Path, where: str) -> dict[str, Any]:
    if importlib.util.find_spec("torch") is None:
        return _without_torch(path, where)
    import torch

    loaded = _safetensors(path, where) if path.suffix == ".safetensors" else _pickled(path, where)
    state = _unnested(loaded)
    if state is None:
        raise InputError(
            f"{where}: {path} holds {type(loaded).__name__}, not a state dict; "
            "save one with torch.save(model.state_dict(), path)."
        )
    return {key: value.detach() for key, value in state.items() if isinstance(value, torch.Tensor)}


def _safetensors(path: Path, where: str) -> dict[str, "Tensor"]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (SafetensorError, ValueError, LookupError) as error:
        raise InputError(
            f"{where}: {path} is not a safetensors file, or it is damaged ({validation.reason(error)}); give another."
        ) from error
    # The format sorts names by type and as text: layer 10 would come before layer 2.
    return {key: state[key] for key in sorted(state, key=_natural)}


def _without_torch(path: Path, where: str) -> dict[str, Any]:
    """The arrays of a safetensors file. InputError for another file, and for types that numpy does not have."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if path.suffix != ".safetensors":
        raise InputError(f"{where}: {path} can only be read with torch; install it, or give a safetensors file.")
    try:
        state = load_file(path)
    except (SafetensorError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{where}: {path} is not a safetensors file, it is damaged, or it has a type that numpy lacks, such as bfloat16 "
            f"({validation.reason(error)}); give another, or install torch."
        ) from error
    return {key: state[key] for key in sorted(state, key=_natural)}


def _natural(key: str) -> list[list[tuple[int, int, str]]]:
    """Sorts names as people count: by their parts between dots, numbers as numbers."""
    parts = ([piece for piece in re.split(r"(\d+)", part) if piece] for part in key.split("."))
    return [[(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in part] for part in parts]


def _pickled(path: Path, where: str) -> Any:
    import torch

    try:
        # Files of before torch 1.6 are no archives, and cannot be mapped.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{where}: {path} holds pickled objects, such as a whole module, which could run any code when opened; "
            "where it was trained save its state dict, torch.save(model.state_dict(), path), and give that."
        ) from error
    except Exception as error:  # of a damaged file torch raises whatever it meets
        raise InputError(
            f"{where}: {path} is not a file of torch.save, or it is damaged ({validation.reason(error)}); give another."
        ) from error


def _unnested(loaded: Any) -> Mapping[str, Any] | None:
    """The state dict in what a file holds: itself, or where training scripts put it; None if there is none."""
    import torch

    if not isinstance(loaded, Mapping):
        return None
    if not any(isinstance(value, torch.Tensor) and value.ndim >= 2 for value in loaded.values()):
        inner = next((loaded[key] for key in _NESTED if isinstance(loaded.get(key), Mapping)), None)
        if inner is not None:
            return _unnested(inner)
    return {str(key): value for key, value in loaded.items()}


def _torchvision(name: str, weights: str | None, seed: int) -> dict[str, "Tensor"]:
    try:
        import torch
        from torchvision import models
    except ModuleNotFoundError as error:
        raise InputError(f"{_KEY}: torchvision:{name} needs torch and torchvision; install them.") from error

    if name not in models.list_models():
        raise unknown("torchvision model", name, _KEY, models.list_models())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = models.get_model(name, weights=None)
    if weights is None:
        return {key: value.detach() for key, value in model.state_dict().items()}
    where = "config key audit.weights"
    state = _file(validation.regular(weights, where), where)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise InputError(
            f"{where}: {weights} does not fit torchvision's {name} ({validation.reason(error)}); "
            "give its own weights, or the file alone as config key checkpoint."
        ) from error
    return state


def matrices(state: Mapping[str, "Tensor"]) -> list[Matrix]:
    """The layers of a state in its order, each as a view of its tensor: docs/audit.md says what becomes what.

    Vectors, biases, whole numbers, complex ones and those of one byte are left out; weights with two names have the first.
    """
    turned = any(_leaf(key) == "c_attn" and _thirds(tensor.T) for key, tensor in state.items() if tensor.ndim == 2)
    found = []
    tied = set()
    for key, tensor in state.items():
        leaf = _leaf(key)
        if not _is_real(tensor) or tensor.ndim < 2 or leaf.endswith("bias"):
            continue
        place = (_address(tensor), tensor.shape)
        if tensor.itemsize == 1 or place in tied:
            continue
        tied.add(place)
        if leaf == key.rpartition(".")[2]:  # a bare parameter, such as ViT's pos_embedding (1, tokens, d)
            while tensor.ndim > 2 and len(tensor) == 1:
                tensor = tensor[0]
        name, stored = key.removesuffix(".weight"), ""
        if turned and leaf in _CONV1D and tensor.ndim == 2:
            tensor, stored = tensor.T, "; stored transposed"
        if leaf in _FUSED and tensor.ndim == 2 and _thirds(tensor):
            third = len(tensor) // 3
            found += [
                _matrix(f"{name}[{part}]", tensor[n * third : (n + 1) * third], "; a third of fused q, k, v" + stored)
                for n, part in enumerate("qkv")
            ]
        else:
            found.append(_matrix(name, tensor, stored))
    return [matrix for matrix in found if min(len(matrix.tensor), math.prod(matrix.tensor.shape[1:])) > 1]


def _is_real(tensor: "Tensor") -> bool:
    """Whether it is dense and of floating-point numbers."""
    from sgdtails.arrays import array_namespace, is_torch_array  # not needed where the Snakefile is parsed

    if is_torch_array(tensor) and tensor.is_sparse:
        return False
    return bool(array_namespace(tensor).isdtype(tensor.dtype, "real floating"))


def _address(tensor: Any) -> int:
    """Where its first number lies."""
    from sgdtails.arrays import is_torch_array

    return tensor.data_ptr() if is_torch_array(tensor) else tensor.__array_interface__["data"][0]


def _leaf(key: str) -> str:
    """The name of the module or of the bare parameter that a key belongs to."""
    return key.removesuffix(".weight").rpartition(".")[2]


def _thirds(tensor: "Tensor") -> bool:
    return tensor.shape[0] == 3 * tensor.shape[1]


def _matrix(name: str, tensor: "Tensor", why: str) -> Matrix:
    if tensor.ndim > 2 and math.prod(tensor.shape[2:]) > 1:
        channels = "a channel: depthwise" if tensor.shape[1] == 1 else "an output and an input channel"
        return Matrix(name, "convolution", f"the kernel of {channels}", tensor)
    kind = "attention" if _ATTENTION.search(name.partition("[")[0]) else "linear"
    if tensor.ndim > 2:
        kind, tensor, why = (
            "pointwise convolution",
            tensor.reshape(len(tensor), -1),
            "; a kernel of size 1 is a linear map",
        )
    elif _EMBEDDING.search(_leaf(name)):
        kind = "embedding"
    row, column = (
        ("token", "dimension of all tokens") if kind == "embedding" else ("output's weights", "input's weights")
    )
    if len(tensor) < FEW and len(tensor) < tensor.shape[1]:
        return Matrix(name, kind, f"one {column}{why}; fewer than {FEW} of the others", tensor.T)
    return Matrix(name, kind, f"one {row}{why}", tensor)
