"""A weight as it is stored: its shape is known at once, its numbers are taken when they are asked for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.audit.checkpoint import Deferred, dtype_of
from sgdtails.config import validation

EMPTY = "empty: it has no numbers"
META = "no numbers: it is on the meta device, which holds shapes alone"


@dataclass(frozen=True)
class Weight:
    """A weight of a layer.

    Parameters
    ----------
    name : str
        Of the layer, without ``.weight``.
    shape : tuple of int
        Of its numbers.
    dtype : str
        Of the numbers in the file.
    load : callable
        Gives the numbers, as an array of torch or numpy.
    notes : tuple of str
        What was done to what is stored, and why.
    reason : str, optional
        Why it has no numbers that could be estimated from.
    is_view : bool
        Whether the numbers are those of the file, not computed from them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Any]
    notes: tuple[str, ...] = ()
    reason: str | None = None
    is_view: bool = False

    def mapped(self, function: Callable[[Any], Any], *, name: str | None = None, note: str | None = None) -> "Weight":
        """Give the weight with its axes or rows changed.

        Parameters
        ----------
        function : callable
            Takes an array of torch or numpy and gives a view of it.
        name, note : str, optional
            Of the result; without them as before.

        Returns
        -------
        Weight
            Its numbers are still read when they are asked for.

        Examples
        --------
        >>> weight = of_array("fc", np.ones((3, 2)))
        >>> weight.mapped(lambda array: array.T, note="stored transposed").shape
        (2, 3)
        """
        load = self.load
        shape = function(np.broadcast_to(np.float32(0), self.shape)).shape
        notes = self.notes if note is None else (*self.notes, note)
        return replace(self, name=name or self.name, shape=tuple(shape), notes=notes, load=lambda: function(load()))


@lru_cache(maxsize=2)  # two threads at most look at layers
def _loaded(weight: Weight) -> Any:
    return weight.load()


def recent(weight: Weight) -> Weight:
    """Give a weight whose numbers are computed once for the layers that it holds, if these are asked for one after the other."""
    return weight if weight.is_view else replace(weight, load=partial(_loaded, weight))


def numbers(array: Any) -> NDArray[np.float32]:
    """Give the numbers of an array of any kind, in single precision, as one of numpy's."""
    if isinstance(array, Deferred):
        array = array.load()
    if hasattr(array, "detach"):
        import torch

        single: NDArray[np.float32] = array.detach().to(torch.float32).numpy()
        return single
    return np.asarray(array, np.float32)


def whole(array: Any) -> NDArray[Any]:
    """Give the numbers of an array of integers or of logical values, as one of numpy's."""
    return np.asarray(array.detach().numpy() if hasattr(array, "detach") else array)


def is_floating(array: Any) -> bool:
    """Whether the numbers are real or complex ones with a fraction."""
    return dtype_of(array).startswith(("float", "bfloat", "complex"))


def real_kind(array: Any) -> str | None:
    """Why an array is no dense or sparse array of numbers with a fraction; None if it is one."""
    kind = dtype_of(array)
    if isinstance(array, Deferred) or kind.startswith(("qint", "quint")):
        return None
    if getattr(array, "is_nested", False):
        return "a nested tensor: its rows have several lengths"
    if kind.startswith("float4") or kind in ("float8_e8m0fnu", "bits8"):
        return "packed numbers, or powers of two, without a layout that is known"
    if kind.startswith(("int", "uint", "bool")):
        return "whole numbers or logical values"
    return None if is_floating(array) else f"numbers of type {kind}"


def of_array(name: str, array: Any) -> Weight:
    """Give an array as a weight: sparse and quantised ones dense, complex ones as pairs of real ones.

    Parameters
    ----------
    name : str
        Of the layer.
    array : array of torch or numpy, or Deferred
        Two-dimensional or more.

    Returns
    -------
    Weight
        With a reason if it has no numbers.
    """
    shape, kind = tuple(array.shape), dtype_of(array)
    weight = Weight(name, shape, kind, lambda: array, is_view=True)
    if math.prod(shape) == 0:
        return replace(weight, reason=EMPTY, is_view=False)
    if isinstance(array, Deferred):
        return replace(
            weight,
            load=array.load,
            reason=array.reason,
            is_view=False,
            notes=() if kind.startswith("F") else ("dequantised",),
        )
    if getattr(array, "is_meta", False):
        return replace(weight, reason=META, is_view=False)
    if getattr(array, "is_quantized", False):
        return replace(weight, load=array.dequantize, is_view=False, notes=("dequantised",))
    if hasattr(array, "layout") and str(array.layout) != "torch.strided":
        return _dense(weight, array)
    if kind.startswith("float8"):
        return replace(weight, load=lambda: numbers(array), is_view=False)
    if kind.startswith("complex"):
        return _pairs(weight, array)
    return weight


def _dense(weight: Weight, array: Any) -> Weight:
    """Give a sparse tensor, unless it is too large as a dense one."""
    bytes_ = 4 * math.prod(weight.shape)
    if bytes_ > validation.memory() / 4:
        reason = f"sparse: as a dense matrix it would take {bytes_ / 2**30:.1f} GiB"
        return replace(weight, reason=reason, is_view=False)
    return replace(weight, load=array.to_dense, is_view=False, notes=("stored sparse",))


def _pairs(weight: Weight, array: Any) -> Weight:
    """Complex numbers as real and imaginary parts, side by side."""
    shape: Sequence[int] = (*weight.shape[:-1], 2 * weight.shape[-1])

    def load() -> Any:
        if hasattr(array, "detach"):
            import torch

            return torch.view_as_real(array.resolve_conj()).reshape(shape)
        return np.stack([array.real, array.imag], -1).reshape(shape)

    note = "complex numbers as pairs"
    return replace(weight, shape=tuple(shape), load=load, notes=(note,), is_view=False)
