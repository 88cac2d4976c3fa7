"""What a pickle of torch may call: our own builders of tensors, which check that a tensor lies within its storage."""

import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sgdtails.audit.formats.inert_pickles import Builder, StandIn, plain

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file of before torch 1.6
_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexDouble": torch.complex128,
    "ComplexFloat": torch.complex64,
    "QInt8": torch.qint8,
    "QUInt8": torch.quint8,
    "QInt32": torch.qint32,
}
_WHOLE = {torch.qint8: torch.int8, torch.quint8: torch.uint8, torch.qint32: torch.int32}


@dataclass(frozen=True, slots=True)
class StorageType:
    """A class of storages, by the type of their numbers."""

    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes of a file, the type of their numbers, and how many numbers they are."""

    untyped: torch.UntypedStorage
    dtype: torch.dtype
    count: int


def storage_types() -> dict[str, Any]:
    """Give the classes of storages, by module and name."""
    names: dict[str, Any] = {}
    for name, dtype in _STORAGES.items():
        for module in ("torch", "torch.cuda", "torch.storage"):
            names[f"{module}.{name}Storage"] = StorageType(dtype)
    names["torch.storage.UntypedStorage"] = names["torch.UntypedStorage"] = StorageType(torch.uint8)
    return names


def known() -> dict[str, Any]:
    """Give all that a pickle of torch may use, by module and name."""
    names = plain() | storage_types()
    for name in dir(torch):
        if isinstance(value := getattr(torch, name), torch.dtype | torch.qscheme):
            names[f"torch.{name}"] = value
    builders: dict[str, Callable[..., Any]] = {
        "_rebuild_tensor": _tensor,
        "_rebuild_tensor_v2": _tensor,
        "_rebuild_tensor_v3": _tensor_v3,
        "_rebuild_parameter": _first,
        "_rebuild_parameter_with_state": _first,
        "_rebuild_qtensor": _quantised,
        "_rebuild_sparse_tensor": _sparse,
        "_rebuild_sparse_csr_tensor": _sparse,
        "_rebuild_meta_tensor_no_storage": _meta,
    }
    names |= {f"torch._utils.{name}": Builder(function) for name, function in builders.items()}
    names["torch._tensor._rebuild_from_type_v2"] = Builder(_of_type)
    names["torch.nn.parameter.Parameter"] = names["torch.Tensor"] = Builder(_first)
    names["torch.Size"] = Builder(_size)
    return names


def _tensor(storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> Tensor:
    return _view(storage.untyped, storage.dtype, offset, size, stride)


def _tensor_v3(
    storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    return _view(storage.untyped, dtype, offset, size, stride)


def _view(
    untyped: torch.UntypedStorage, dtype: torch.dtype, offset: int, size: Sequence[int], stride: Sequence[int]
) -> Tensor:
    """Give a tensor within a storage; of quantised numbers the whole ones."""
    dtype = _WHOLE.get(dtype, dtype)
    numbers = [offset, *size, *stride]
    if not all(type(number) is int and number >= 0 for number in numbers) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor has no valid shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if math.prod(size) and (last + 1) * dtype.itemsize > untyped.nbytes():
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    if not math.prod(size):
        return torch.empty(tuple(size), dtype=dtype)
    return torch.empty(0, dtype=dtype).set_(untyped, offset, tuple(size), tuple(stride))


def _first(data: Any = None, *_: Any) -> Any:
    """Give the tensor that a parameter is."""
    return data


def _of_type(function: Any, _kind: Any, given: Sequence[Any], _state: Any) -> Any:
    """Give the tensor that one of another class is built from."""
    return function(*given) if isinstance(function, Builder) else StandIn(*given)


def _quantised(
    storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], parameters: Any, *_: Any
) -> Tensor:
    """Give a quantised tensor; its numbers are whole ones times a scale, of the tensor or of each channel."""
    whole = _tensor(storage, offset, size, stride)
    if parameters[0] == torch.per_tensor_affine:
        return torch._make_per_tensor_quantized_tensor(whole, float(parameters[1]), int(parameters[2]))
    _, scales, zeros, axis = parameters[:4]
    return torch._make_per_channel_quantized_tensor(whole, scales, zeros, int(axis))


def _sparse(layout: Any, data: Sequence[Any]) -> Tensor:
    """Give a sparse tensor, with indices that are checked."""
    name = str(layout.given[0] if isinstance(layout, StandIn) else layout)
    if name == "torch.sparse_coo":
        indices, values, size = data[:3]
        return torch.sparse_coo_tensor(indices, values, tuple(size), check_invariants=True)
    first, second, values, size = data[:4]
    layouts = {f"torch.sparse_{kind}": getattr(torch, f"sparse_{kind}") for kind in ("csr", "csc", "bsr", "bsc")}
    return torch.sparse_compressed_tensor(
        first, second, values, tuple(size), layout=layouts[name], check_invariants=True
    )


def _size(numbers: Sequence[int] = ()) -> tuple[int, ...]:
    return tuple(numbers)


def _meta(dtype: torch.dtype, size: Sequence[int], stride: Sequence[int], *_: Any) -> Tensor:
    return torch.empty_strided(tuple(size), tuple(stride), dtype=dtype, device="meta")
