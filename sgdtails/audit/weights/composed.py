"""Weights that a checkpoint stores in several arrays: with masks, normalised, as LoRA's pairs, quantised with scales."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.audit.checkpoint import dtype_of
from sgdtails.audit.weights import quantised
from sgdtails.audit.weights.stored import EMPTY, META, Weight, numbers

_LORA = re.compile(
    r"(?P<base>.*?)[._]?lora_(?P<embedding>embedding_)?(?P<which>A|a|down)(?P<adapter>\.(?!weight$)[^.]+)?(\.weight)?"
)
_SECOND = {"A": "B", "a": "b", "down": "up"}


def weights(state: Mapping[str, Any]) -> tuple[dict[str, Weight], set[str]]:
    """Find the weights that are stored in several arrays.

    Parameters
    ----------
    state : mapping of str to array
        Arrays by name.

    Returns
    -------
    weights : dict of str to stored.Weight
        By the array that stands first.
    used : set of str
        All arrays that they are made from.
    """
    found: dict[str, Weight] = {}
    used: set[str] = set()
    place = {key: number for number, key in enumerate(state)}
    for key in state:
        for finder in (_masked, _normalised, _parametrised, _lora, quantised.weight):
            composed = finder(key, state)
            if composed is not None and used.isdisjoint(composed[1]):
                weight, keys = composed
                found[min(keys, key=place.__getitem__)] = weight
                used.update(keys)
                break
    return found, used


Found = tuple[Weight, tuple[str, ...]] | None


def _made(name: str, of: Any, note: str, load: Callable[[], NDArray[np.float32]]) -> Weight:
    shape = tuple(of.shape)
    reason = META if getattr(of, "is_meta", False) else EMPTY if 0 in shape else None
    return Weight(name, shape, dtype_of(of), load, (note,), reason)


def _layer(key: str) -> str:
    return key.removesuffix(".weight")


def _masked(key: str, state: Mapping[str, Any]) -> Found:
    """Of torch.nn.utils.prune: weight_orig times weight_mask; alone, with weight_u, the weight before its spectral norm."""
    if not key.endswith("_orig"):
        return None
    base = key.removesuffix("_orig")
    mask, first = state.get(f"{base}_mask"), state[key]
    if mask is not None and tuple(mask.shape) == tuple(first.shape):
        load = lambda: numbers(first) * numbers(mask)  # noqa: E731
        return _made(_layer(base), first, "with its pruning mask applied", load), (key, f"{base}_mask")
    if f"{base}_u" in state:
        vectors = tuple(name for name in (f"{base}_u", f"{base}_v") if name in state)
        return _made(_layer(base), first, "before its spectral norm", lambda: numbers(first)), (key, *vectors)
    return None


def _product(length: Any, direction: Any) -> NDArray[np.float32]:
    """Of weight norm: direction / its norm * length; the length has an axis of size 1 where the norm is taken over."""
    scale, values = numbers(length), numbers(direction)
    axes = tuple(axis for axis in range(values.ndim) if scale.ndim != values.ndim or scale.shape[axis] == 1)
    norm = np.sqrt(np.sum(values * values, axis=axes, keepdims=True))
    return np.asarray(values * (scale / np.maximum(norm, np.finfo(np.float32).tiny)), np.float32)


def _fits(length: Any, direction: Any) -> bool:
    shape, whole = tuple(length.shape), tuple(direction.shape)
    return len(whole) > 1 and (
        shape in ((), (1,))
        or (len(shape) == len(whole) and all(a in (1, b) for a, b in zip(shape, whole, strict=True)))
    )


def _normalised(key: str, state: Mapping[str, Any]) -> Found:
    base = key.removesuffix("_g")
    if base == key or f"{base}_v" not in state or not _fits(state[key], state[f"{base}_v"]):
        return None
    length, direction = state[key], state[f"{base}_v"]
    load = lambda: _product(length, direction)  # noqa: E731
    return _made(_layer(base), direction, "weight norm: length times direction", load), (key, f"{base}_v")


def _parametrised(key: str, state: Mapping[str, Any]) -> Found:
    """Of torch.nn.utils.parametrizations: weight norm has two arrays, others one."""
    if ".parametrizations." not in f".{key}":
        return None
    layer, _, inner = f".{key}".partition(".parametrizations.")
    parameter, _, last = inner.partition(".")
    name = _layer(f"{layer}.{parameter}".lstrip("."))
    second = f"{key[:-1]}1"
    if last == "original0" and second in state and _fits(state[key], state[second]):
        length, direction = state[key], state[second]
        load = lambda: _product(length, direction)  # noqa: E731
        return _made(name, direction, "weight norm: length times direction", load), (key, second)
    if last == "original" and len(state[key].shape) > 1:
        first = state[key]
        return _made(name, first, "before its parametrisation", lambda: numbers(first)), (key,)
    return None


def _inputs_first(first: tuple[int, ...], second: tuple[int, ...], *, mlx: bool) -> bool | None:
    """Whether LoRA's pair is (in, rank), (rank, out), as MLX has it, and not (rank, in, …), (out, rank, …); None if it is neither."""
    if min(len(first), len(second)) < 2:
        return None
    usual, other = first[0] == second[1], len(first) == len(second) == 2 and first[1] == second[0]
    if usual and other:  # of a square weight; the rank is the smaller number
        return mlx and first[0] > first[1]
    return other if usual or other else None


def _lora(key: str, state: Mapping[str, Any]) -> Found:
    """LoRA's pair as the change of the weight that it stands for: B A, of an embedding transposed."""
    found = _LORA.fullmatch(key)
    if found is None:
        return None
    other = f"{key[: found.start('which')]}{_SECOND[found['which']]}{key[found.end('which') :]}"
    first, second = state[key], state.get(other)
    turned = (
        None if second is None else _inputs_first(tuple(first.shape), tuple(second.shape), mlx=found["which"] == "a")
    )
    if second is None or turned is None:
        return None
    rank = int(first.shape[1 if turned else 0])
    shape = (second.shape[1], first.shape[0]) if turned else (second.shape[0], *first.shape[1:])
    shape = tuple(map(int, shape[::-1] if found["embedding"] else shape))
    reason = None
    if getattr(first, "is_meta", False) or getattr(second, "is_meta", False):
        reason = META
    elif not (np.any(numbers(first)) and np.any(numbers(second))):
        reason = "zero: one of LoRA's matrices is, as before training"

    def load() -> NDArray[np.float32]:
        down, up = (numbers(array).T if turned else numbers(array) for array in (first, second))
        product = up.reshape(len(up), rank) @ down.reshape(rank, -1)
        return (product.T if found["embedding"] else product).reshape(shape)

    adapter = (found["adapter"] or "").removeprefix(".")
    base = found["base"].removesuffix("_") or "weight"
    name = f"{base}[lora{'' if adapter in ('', 'default') else ' ' + adapter}]"
    return Weight(name, shape, dtype_of(first), load, (f"LoRA's B A, of rank {rank}",), reason), (key, other)
