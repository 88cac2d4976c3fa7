"""Weights of Keras and Flax, which hold inputs before outputs, as torch has them: outputs first, under torch's names."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sgdtails.audit.checkpoint import Checkpoint, free
from sgdtails.audit.formats.recurrent import reordered
from sgdtails.audit.weights.matrices import EMBEDDING

_HEADS = re.compile(r"(^|[._])(query|key|value)(_dense)?$|(^|\.)[qkv]$")
_JOINED = re.compile(r"(^|[._])(output_dense|attention_output)$|att(entio)?n.*out$", re.IGNORECASE)
_DEPTHWISE = re.compile(r"(^|\.)(depthwise|depthwise_conv\dd(_\d+)?\.weight)$|separable[^.]*\.0\.weight$")
_CELL = re.compile(r"cell(_\d+)?$")
_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def as_torch(checkpoint: Checkpoint) -> Checkpoint:
    """Turn the weights of Keras and Flax.

    Parameters
    ----------
    checkpoint : Checkpoint
        Arrays of numpy by name; those of Keras 3 are numbered within their layer, as in ``layers.dense.vars.0``.

    Returns
    -------
    Checkpoint
        As many arrays. Other libraries' are left as they are, since weights are known by names such as ``kernel``.

    Examples
    --------
    >>> list(as_torch(Checkpoint({"fc.kernel": np.ones((3, 2)), "fc.bias": np.ones(2)})))
    ['fc.weight', 'fc.bias']
    """
    found: dict[str, Any] = {}
    for key, array in checkpoint.items():
        name, turned = _as_torch(key, array, checkpoint) if isinstance(array, np.ndarray) else (key, array)
        found[free(name, found)] = turned
    return Checkpoint(found, checkpoint.skipped, checkpoint.read_as)


def _as_torch(key: str, array: Any, arrays: Mapping[str, Any]) -> tuple[str, Any]:
    parent, leaf = _layer(key, array, arrays)
    if leaf in ("kernel", "recurrent_kernel") and array.ndim > 1:
        cell = key if leaf == "recurrent_kernel" else _beside(key, arrays)
        if cell in arrays:
            return _of_cell(parent, leaf, array, arrays[cell])
    if leaf not in _KERNELS or array.ndim < 2:
        return f"{parent}.{leaf}".lstrip("."), array
    name = f"{parent}.{'weight' if leaf == 'kernel' else leaf.removesuffix('_kernel')}".lstrip(".")
    if array.ndim == 3 and _HEADS.search(parent):  # (inputs, heads, outputs of a head)
        return name, array.reshape(len(array), -1).T
    if array.ndim == 3 and _JOINED.search(parent):  # (heads, inputs of a head, outputs)
        return name, array.reshape(-1, array.shape[-1]).T
    if array.ndim > 2 and _DEPTHWISE.search(name):  # (kernel, channels, multiplier)
        array = array.reshape(*array.shape[:-2], 1, -1)
    return name, np.moveaxis(array, (-1, -2), (0, 1))


def _beside(key: str, arrays: Mapping[str, Any]) -> str:
    """Name the recurrent kernel that a cell with this kernel would have."""
    parent, _, leaf = key.rpartition(".")
    return f"{parent}.1" if leaf == "0" and _is_cell(parent, arrays) else f"{parent}.recurrent_kernel"


def _is_cell(parent: str, arrays: Mapping[str, Any]) -> bool:
    """Whether numbered arrays are those of a recurrent cell: two kernels of as many columns."""
    shapes = [arrays[name].shape for name in (f"{parent}.0", f"{parent}.1") if name in arrays]
    layer = parent.removesuffix(".vars")
    return (
        bool(_CELL.search(layer))
        and [len(shape) > 1 for shape in shapes] == [True, True]
        and (shapes[0][-1] == shapes[1][-1])
    )


def _layer(key: str, array: Any, arrays: Mapping[str, Any]) -> tuple[str, str]:
    """Give an array's layer and its own name there. Keras 3 has numbers instead, in the order in which a layer makes its arrays."""
    parent, _, leaf = key.rpartition(".")
    layer, _, last = parent.rpartition(".")
    first, second = arrays.get(f"{parent}.0"), arrays.get(f"{parent}.1")
    if last != "vars" or first is None:
        return parent, leaf
    if _is_cell(parent, arrays):
        return layer, {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}.get(leaf, leaf)
    biased = second is not None and _is_bias(second, first)
    if leaf == "1" and biased:
        return layer, "bias"
    if array.ndim < 2:
        return parent, leaf
    if leaf == "0" and array.ndim == 2 and not biased and EMBEDDING.search(layer.rpartition(".")[2]):
        return layer, "weight"
    several = second is not None and second.ndim > 1 and not biased
    return (f"{layer}.{leaf}" if several or leaf != "0" else layer), "kernel"


def _is_bias(array: Any, kernel: Any) -> bool:
    """Whether an array has the shape of a kernel's outputs, which a transposed convolution has before its inputs."""
    outputs = kernel.shape[kernel.ndim - array.ndim :]
    turned = kernel.shape[-2:-1] if kernel.ndim > 2 else outputs
    return bool(array.ndim < kernel.ndim and array.shape in (outputs, turned))


def _of_cell(parent: str, leaf: str, array: Any, recurrent: Any) -> tuple[str, Any]:
    """Give a kernel of a recurrent cell; the one that takes the state says how many gates there are."""
    if array.ndim > 2:  # of a convolution
        return f"{parent}.{leaf}.weight".lstrip("."), np.moveaxis(array, (-1, -2), (0, 1))
    name = "weight_hh_l0" if leaf == "recurrent_kernel" else "weight_ih_l0"
    layout = "keras GRU" if recurrent.shape[1] == 3 * recurrent.shape[0] else "keras"
    return f"{parent}.{name}".lstrip("."), reordered(array.T, layout)
