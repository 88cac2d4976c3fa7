"""How layers are laid out in a weight: gates, fused attention, stacked experts, transposed weights."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any

from sgdtails.audit.formats.recurrent import GATES
from sgdtails.audit.weights.stored import Weight, recent

RECURRENT = re.compile(r"(^|[._])weight_(ih|hh|hr)(_l\d+)?(_reverse)?$")
STACKED = re.compile(r"exp(ert)?s(?!\.\d)", re.IGNORECASE)  # a digit would name one expert's own module
_FUSED = ("in_proj_weight", "qkv", "qkv_proj", "Wqkv", "c_attn", "attn_qkv")
_OUTPUTS = ("out_proj", "o_proj", "c_proj", "proj", "dense", "wo", "attn_output", "out")
_CONV1D = ("c_attn", "c_proj", "c_fc")  # of GPT-2, stored as (in, out) in some files
TRANSPOSED = re.compile(r"conv(\dd)?_?trans|trans(posed?)?_?conv|deconv|conv\d?d?_?t(?![a-z])|upconv", re.IGNORECASE)
_DOWN = re.compile(r"down|w2|wo|fc2", re.IGNORECASE)
_ROUTERS = ("gate.weight", "router.weight", "router.classifier.weight", "gate.wg.weight", "router.layer.weight")


def parts(weight: Weight, state: Mapping[str, Any]) -> Iterator[Weight]:
    """Give the layers that a weight holds.

    Parameters
    ----------
    weight : stored.Weight
        As it is stored.
    state : mapping of str to array
        The whole checkpoint; shapes of neighbours tell layouts apart.

    Yields
    ------
    stored.Weight
        Layers with outputs first.
    """
    leaf = weight.name.rpartition(".")[2]
    if found := RECURRENT.search(weight.name):
        yield from _gates(weight, found, state)
    elif len(weight.shape) == 3 and STACKED.search(weight.name):
        yield from _experts(weight, state)
    elif len(weight.shape) > 2:
        yield _turned_convolution(weight, state)
    else:
        weight = _turned(weight, leaf, state)
        yield from _attention(weight, state) if leaf in _FUSED or _is_fused(weight, leaf, state) else [weight]


def _is_fused(weight: Weight, leaf: str, state: Mapping[str, Any]) -> bool:
    """Whether a matrix called in_proj is fused attention: Mamba has one, too, beside an output projection that is not square."""
    rows, columns = weight.shape
    beside = f"{weight.name.removesuffix('in_proj')}out_proj.weight"
    return leaf == "in_proj" and rows == 3 * columns and _shape(state, beside) == (columns, columns)


def _shape(state: Mapping[str, Any], key: str) -> tuple[int, ...] | None:
    return tuple(state[key].shape) if key in state else None


def _rows(weight: Weight, sizes: Sequence[int], names: Sequence[str], note: str) -> Iterator[Weight]:
    """Give the first rows of a weight, the next ones, and so on."""
    weight, stops = recent(weight), accumulate(sizes)
    for size, stop, name in zip(sizes, stops, names, strict=True):
        yield weight.mapped(itemgetter(slice(stop - size, stop)), name=f"{weight.name}[{name}]", note=note)


def _gates(weight: Weight, found: re.Match[str], state: Mapping[str, Any]) -> Iterator[Weight]:
    """Give the gates of an LSTM or a GRU, by the number of rows for each hidden unit."""
    suffix = weight.name[found.start(2) + 2 :]
    prefix = weight.name[: found.start(2)]
    projection = _shape(state, f"{prefix}hr{suffix}")
    # The last two endings are of weights that are normalised, or pruned with a mask.
    hidden = next((shape for end in ("", "_v", "_orig") if (shape := _shape(state, f"{prefix}hh{suffix}{end}"))), None)
    units = projection[1] if projection else hidden[1] if hidden and len(hidden) == 2 else 0
    gates = weight.shape[0] / units if units else 1
    if found.group(2) == "hr" or gates not in GATES or gates == 1 or len(weight.shape) != 2:
        yield weight
        return
    names = GATES[int(gates)]
    layer = "an LSTM" if gates == 4 else "a GRU"
    yield from _rows(weight, [units] * len(names), names, f"a gate of {layer}")


def _attention(weight: Weight, state: Mapping[str, Any]) -> Iterator[Weight]:
    """Give queries, keys and values, which lie one below the other; fewer keys and values than queries are grouped queries."""
    rows, columns = weight.shape
    parent = weight.name.rpartition(".")[0]
    outputs = [
        shape for name in _OUTPUTS if (shape := _shape(state, f"{parent}.{name}.weight".lstrip("."))) is not None
    ]
    queries = next((shape[1] for shape in outputs if len(shape) == 2 and shape[0] == columns), columns)
    keys, odd = divmod(rows - queries, 2)
    if odd or keys <= 0 or queries % keys:
        yield weight
    else:
        words = "a third of fused q, k, v" if keys == queries else "a part of fused q, k, v with grouped queries"
        yield from _rows(weight, [queries, keys, keys], "qkv", words)


def _turned(weight: Weight, leaf: str, state: Mapping[str, Any]) -> Weight:
    """Give a matrix with outputs first: its bias, or a GPT-2's fused attention, tells that they are last."""
    rows, columns = weight.shape
    bias = _shape(state, f"{weight.name}.bias")
    by_bias = bias == (columns,) and rows != columns
    by_name = leaf in _CONV1D and not (bias == (rows,) and rows != columns) and _is_gpt2(state)
    if by_bias or by_name:
        return weight.mapped(lambda tensor: tensor.T, note="stored transposed")
    return weight


def _is_gpt2(state: Mapping[str, Any]) -> bool:
    return any(
        key.endswith("c_attn.weight") and len(array.shape) == 2 and array.shape[1] == 3 * array.shape[0]
        for key, array in state.items()
    )


def _turned_convolution(weight: Weight, state: Mapping[str, Any]) -> Weight:
    """Give a convolution with outputs first: its bias, or its name, tells that they are second."""
    first, second = weight.shape[:2]
    bias = _shape(state, f"{weight.name}.bias")
    by_bias = bias == (second,) and first != second and second > 1
    by_name = TRANSPOSED.search(weight.name) and second > 1 and not (bias == (first,) and first != second)
    if by_bias or by_name:
        return weight.mapped(lambda tensor: tensor.swapaxes(0, 1), note="a transposed convolution, stored (in, out)")
    return weight


def _experts(weight: Weight, state: Mapping[str, Any]) -> Iterator[Weight]:
    """Give the matrices of stacked experts; the router, or the other matrix of the same experts, says which side is the input."""
    count, first, second = weight.shape
    parent, _, leaf = weight.name.rpartition(".")
    hidden = _hidden(weight, parent, state)
    if hidden is None or first == second or hidden not in (first, second):
        turned, said = False, f"one of {count} stacked experts, taken as (out, in)"
    else:
        turned = (hidden == first) != bool(_DOWN.search(leaf))
        said = f"one of {count} stacked experts, stored as {'(in, out)' if turned else '(out, in)'}"
    stack = recent(weight)
    if turned:
        stack = stack.mapped(lambda tensor: tensor.swapaxes(1, 2))
    for number in range(count):
        yield stack.mapped(itemgetter(number), name=f"{weight.name}[{number}]", note=said)


def _hidden(weight: Weight, parent: str, state: Mapping[str, Any]) -> int | None:
    """How many inputs each expert has: as many as the router, or what a gated pair of matrices has in common."""
    above = parent.rpartition(".")[0]
    for folder in (parent, above):
        for router in _ROUTERS:
            shape = _shape(state, f"{folder}.{router}".lstrip("."))
            if shape is not None and len(shape) == 2 and shape[0] == weight.shape[0]:
                return shape[1]
    others = [
        tuple(array.shape)
        for key, array in state.items()
        if key.startswith(parent) and len(array.shape) == 3 and array.shape[0] == weight.shape[0]
    ]
    common = set.intersection(*({*shape[1:]} for shape in others)) if len(others) > 1 else set()
    return common.pop() if len(common) == 1 else None
