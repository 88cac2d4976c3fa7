"""Weights stored as few bits with scales, of the layouts that are known: dequantised when they are asked for."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.audit.checkpoint import dtype_of
from sgdtails.audit.weights.stored import Weight, numbers, whole

_BLOCK = 128  # rows and columns that have one scale, in checkpoints of 8-bit floats
_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # places of AWQ's eight 4-bit numbers in a word
_FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)  # of the OCP's MX formats
Found = tuple[Weight, tuple[str, ...]] | None


def weight(key: str, state: Mapping[str, Any]) -> Found:
    """Give the quantised weight that an array belongs to, and the arrays that it is made from.

    Parameters
    ----------
    key : str
        Of the array that holds the few bits.
    state : mapping of str to array
        Arrays by name.

    Returns
    -------
    tuple of stored.Weight and names of arrays, or None
        None for other arrays, and for layouts that are not known.
    """
    array = state[key]
    if getattr(array, "is_meta", False) or 0 in tuple(array.shape):
        return None
    if key.endswith("qweight"):
        return _integers(key, state)
    if key.endswith(("_blocks", ".blocks")):
        return _microscaled(key, state)
    if key.endswith("weight") and dtype_of(array).startswith(("float8_e4", "float8_e5", "int8", "uint8", "float4")):
        return _scaled(key, state)
    return None


def _made(key: str, shape: tuple[int, ...], array: Any, note: str, load: Callable[[], NDArray[np.float32]]) -> Weight:
    return Weight(key.removesuffix(".weight"), shape, dtype_of(array), load, (note,))


def _scaled(key: str, state: Mapping[str, Any]) -> Found:
    """8-bit numbers, less a zero point, times a scale: of the tensor, a row, groups of columns, or blocks; or 4-bit floats."""
    array = state[key]
    name = next((f"{key}{end}" for end in ("_scale_inv", "_scale") if f"{key}{end}" in state), None)
    if name is None or len(array.shape) != 2:
        return None
    scale, zero, shape = state[name], state.get(f"{key}_zero_point"), tuple(map(int, array.shape))
    if zero is None and dtype_of(array) in ("uint8", "float4_e2m1fn_x2"):
        return _four_bits(key, name, state)
    sizes = _blocks(shape, tuple(map(int, scale.shape)))
    if sizes is None or (zero is not None and math.prod(zero.shape) not in (1, math.prod(scale.shape))):
        return None
    powers = dtype_of(array).startswith("float8")  # bytes beside such floats are exponents, as in MXFP8

    def load() -> NDArray[np.float32]:
        values = numbers(array)
        if zero is not None:
            values = values - _spread(numbers(zero), shape, sizes)
        return values * _spread(_factors(scale) if powers else numbers(scale), shape, sizes)

    less = "" if zero is None else ", less a zero point,"
    words = f"8-bit numbers{less} times scales of {' x '.join(map(str, sizes))} numbers"
    return _made(key, shape, array, words, load), tuple(k for k in (key, name, f"{key}_zero_point") if k in state)


def _spread(values: NDArray[np.float32], shape: tuple[int, ...], sizes: tuple[int, ...]) -> NDArray[np.float32]:
    """Give each number of a matrix the value of its block; one value alone is that of all."""
    if values.size == 1:
        return values.reshape(1, 1)
    values = values.reshape(*(math.ceil(n / size) for n, size in zip(shape, sizes, strict=True)))
    for axis, size in enumerate(sizes):
        values = np.repeat(values, size, axis=axis)
    return values[: shape[0], : shape[1]]


def _blocks(shape: tuple[int, ...], scales: tuple[int, ...]) -> tuple[int, int] | None:
    """How many rows and columns have one scale; None where the shapes do not fit."""
    if math.prod(scales) == 1:
        return shape[0], shape[1]
    if len(scales) == 1:
        scales = (*scales, 1)
    if len(scales) != 2:
        return None
    sizes = []
    for n, count in zip(shape, scales, strict=True):
        if n % count and count != math.ceil(n / _BLOCK):
            return None
        sizes.append(_BLOCK if 1 < count == math.ceil(n / _BLOCK) else n // count)
    return sizes[0], sizes[1]


def _four_bits(key: str, name: str, state: Mapping[str, Any]) -> Found:
    """Two 4-bit floats in a byte, with a scale for 16 or 32 of them in a row, and perhaps one of the tensor."""
    array, scale = state[key], state[name]
    rows, half = map(int, array.shape)
    if len(scale.shape) != 2 or scale.shape[0] != rows or (2 * half) % scale.shape[1]:
        return None
    size = 2 * half // int(scale.shape[1])
    if size not in (16, 32) or not dtype_of(scale).startswith(("float8", "uint8")):
        return None
    overall = f"{key}_scale_2"

    def load() -> NDArray[np.float32]:
        values = _FP4[_nibbles(_bytes(array))].reshape(rows, -1, size) * _factors(scale)[:, :, None]
        factor = numbers(state[overall]) if overall in state else np.float32(1)
        return np.asarray(values.reshape(rows, -1) * factor, np.float32)

    keys = (key, name, *([overall] if overall in state else []))
    return _made(key, (rows, 2 * half), array, f"4-bit floats times scales of {size} numbers", load), keys


def _bytes(array: Any) -> NDArray[np.uint8]:
    if hasattr(array, "detach"):
        import torch

        data: NDArray[np.uint8] = array.detach().view(torch.uint8).numpy()
        return data
    return np.asarray(array).view(np.uint8)


def _factors(scale: Any) -> NDArray[np.float32]:
    """Scales as numbers; bytes, and floats without a fraction, are exponents of two plus 127."""
    if dtype_of(scale) in ("uint8", "float8_e8m0fnu"):
        return np.ldexp(np.float32(1), _bytes(scale).astype(np.int32) - 127)
    return numbers(scale)


def _nibbles(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the low and the high four bits of each byte, side by side along the last axis."""
    return np.stack([data & 15, data >> 4], -1).reshape(*data.shape[:-1], -1)


def _microscaled(key: str, state: Mapping[str, Any]) -> Found:
    """MX blocks: (…, rows, groups, 16) bytes of two 4-bit floats, and (…, rows, groups) exponents of two."""
    name = f"{key.removesuffix('blocks')}scales"
    array, scale = state[key], state.get(name)
    if scale is None or tuple(array.shape[:-1]) != tuple(scale.shape) or dtype_of(array) != "uint8":
        return None
    *outer, groups, half = map(int, array.shape)
    shape = (*outer, groups * half * 2)

    def load() -> NDArray[np.float32]:
        return np.asarray((_FP4[_nibbles(_bytes(array))] * _factors(scale)[..., None]).reshape(shape), np.float32)

    base = key.removesuffix("blocks").rstrip("._")
    return _made(base, shape, array, "4-bit floats times powers of two for 32 numbers", load), (key, name)


def _integers(key: str, state: Mapping[str, Any]) -> Found:
    """GPTQ and AWQ: whole numbers packed into words of 32 bits, less a zero, times a scale for each group of inputs."""
    base = key.removesuffix("qweight")
    packed, zeros, scales = state[key], state.get(f"{base}qzeros"), state.get(f"{base}scales")
    if zeros is None or scales is None or len(packed.shape) != 2 or len(scales.shape) != 2:
        return None
    inputs_order = state.get(f"{base}g_idx")
    groups, outputs = map(int, scales.shape)
    if outputs == 0 or zeros.shape[0] != groups or (32 * int(zeros.shape[1])) % outputs:
        return None
    bits = 32 * int(zeros.shape[1]) // outputs
    if bits not in (2, 4, 8):
        return None
    awq = int(packed.shape[1]) != outputs
    inputs = int(packed.shape[0]) if awq else int(packed.shape[0]) * 32 // bits
    if inputs % groups or (awq and (bits != 4 or int(packed.shape[1]) * 8 != outputs)):
        return None

    def load() -> NDArray[np.float32]:
        if awq:
            values = _unpacked(whole(packed), bits, axis=1, order=_AWQ_ORDER)
            zero = _unpacked(whole(zeros), bits, axis=1, order=_AWQ_ORDER)
        else:
            values = _unpacked(whole(packed), bits, axis=0)
            zero = _unpacked(whole(zeros), bits, axis=1)
            # The first version of the format stores zeros less one; symmetric weights of the second have the middle.
            zero = zero + (0 if np.all(zero == 2 ** (bits - 1)) else 1)
        group = np.arange(inputs) // (inputs // groups) if inputs_order is None else whole(inputs_order)
        return np.asarray(((values - zero[group]) * numbers(scales)[group]).T, np.float32)

    layout = "AWQ" if awq else "GPTQ"
    keys = tuple(name for name in (key, f"{base}qzeros", f"{base}scales", f"{base}g_idx") if name in state)
    return _made(base.rstrip("."), (outputs, inputs), packed, f"{layout}'s {bits}-bit numbers times scales", load), keys


def _unpacked(words: NDArray[Any], bits: int, *, axis: int, order: tuple[int, ...] | None = None) -> NDArray[np.int32]:
    """Give the numbers in words of 32 bits, the lowest bits first, along an axis."""
    count = 32 // bits
    places = np.array(order or range(count), np.uint32) * np.uint32(bits)
    unsigned = words.astype(np.int32).view(np.uint32)
    values = (np.expand_dims(unsigned, axis + 1) >> places.reshape([-1 if n == axis + 1 else 1 for n in range(3)])) & (
        2**bits - 1
    )
    shape = list(words.shape)
    shape[axis] *= count
    return np.asarray(values.reshape(shape), np.int32)
