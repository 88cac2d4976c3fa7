"""The weights in what a file holds: dictionaries at any depth, lists, whole modules, and objects of unknown classes."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sgdtails.audit.checkpoint import Checkpoint, Skipped, free, left_out, name_of
from sgdtails.audit.formats.inert_pickles import StandIn, array_of
from sgdtails.errors import InputError, unknown

_DEEPEST = 60
_MOST = 10**6  # arrays: more can only come of containers that hold each other many times over
# Names of what training scripts save beside a network.
_TRAINING = re.compile(
    r"(.*_)?(optim|optimizers?|optimizer_states?|opt_state|lr_schedulers?|schedulers?|scaler|grad_scaler|rng|rng_states?|"
    r"random_states?|loops|callbacks|hyper_parameters|hparams|hparams_name|loss|criterion|metrics|losses)(_.*)?",
    re.IGNORECASE,
)
_PACKED = "torch.ScriptObject"  # in a module: weight and bias of a quantised layer
_SCRIPTED = "__torch__."  # of the classes in a TorchScript archive
_WRAPPERS = re.compile(
    r"([^.]*_)?(state|state_dict|model|module|net|network|params|params_ema|weights|ema|generator|backbone)(_.*)?",
    re.IGNORECASE,
)
_LEAVES = {"kernel", "bias", "weight", "scale", "embedding", "mean", "var"}


@dataclass(frozen=True)
class _Leaf:
    """An array in a tree: the keys that lead to it, and why it is no weight."""

    path: tuple[str, ...]
    array: Any
    reason: str | None


def weights(loaded: Any, *, where: str, part: str | None = None) -> Checkpoint:
    """Take the arrays of a network out of what a file holds.

    Parameters
    ----------
    loaded : object
        Containers with arrays of torch or numpy, and stand-ins.
    where : str
        The file, for sentences.
    part : str, optional
        Keys with dots between them: only the arrays below are taken, such as ``teacher``.

    Returns
    -------
    Checkpoint
        Arrays by name. Keys that lead to all of them are left out of their names; arrays of optimisers, and buffers of whole
        modules, are in ``skipped``.

    Raises
    ------
    InputError
        If there are no arrays, or no such part.

    Examples
    --------
    >>> import numpy as np
    >>> list(weights({"model": {"fc.weight": np.ones((2, 2))}, "epoch": 3}, where="example"))
    ['fc.weight']
    """
    leaves = list(itertools.islice(_leaves(loaded, (), None, frozenset(), {}), _MOST + 1))
    if len(leaves) > _MOST:
        raise InputError(f"{where} holds more than {_MOST:,} arrays; save one network's state dict alone.")
    if not leaves:
        raise InputError(
            f"{where} holds {_what(loaded)} without arrays, not a state dict; "
            "save one with torch.save(model.state_dict(), path)."
        )
    kept = [leaf for leaf in leaves if leaf.reason is None]
    skipped = [leaf for leaf in leaves if leaf.reason is not None]
    if part is not None:
        keys = part.split(".")
        inside = [leaf for leaf in kept if _below(leaf.path, keys)]
        if not inside:
            known = {name.partition(".")[0] for leaf in kept if "." in (name := ".".join(leaf.path))}
            raise unknown("part", part, f"config key audit.part, of {where}", known)
        skipped += [_Leaf(leaf.path, leaf.array, f"not in part {part}") for leaf in kept if leaf not in inside]
        kept = inside
    kept, prefix = _unwrapped(kept)
    return Checkpoint(
        _named(kept),
        [_entry(leaf) for leaf in skipped],
        f"its {'.'.join(prefix)}" if prefix else "",
    )


def _what(loaded: Any) -> str:
    if isinstance(loaded, StandIn):
        return f"an object of {loaded.origin}" if loaded.origin else "an object"
    return f"a {type(loaded).__name__}"


def _below(path: Sequence[str], keys: Sequence[str]) -> bool:
    return ".".join(path).startswith(".".join(keys) + ".") or list(path) == list(keys)


def _entry(leaf: _Leaf) -> Skipped:
    return left_out(".".join(leaf.path), leaf.array, leaf.reason or "")


def is_array(value: Any) -> bool:
    """Whether a value has a shape and a type of numbers."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _leaves(
    value: Any, path: tuple[str, ...], reason: str | None, above: frozenset[int], barren: dict[int, Any]
) -> Iterator[_Leaf]:
    """Give the arrays in a tree, depth first; what contains itself, or is known to hold no array, is not entered again."""
    value = array_of(value)
    if is_array(value):
        yield _Leaf(path or ("tensor",), value, reason)
    elif id(value) not in above and id(value) not in barren and len(path) <= _DEEPEST:
        empty = True
        for leaf in _inside(value, path, reason, above | {id(value)}, barren):
            empty = False
            yield leaf
        if empty and isinstance(value, Mapping | list | tuple | StandIn):
            barren[id(value)] = value  # which keeps it, and so its id


def _inside(
    value: Any, path: tuple[str, ...], reason: str | None, above: frozenset[int], barren: dict[int, Any]
) -> Iterator[_Leaf]:
    if isinstance(value, StandIn):
        yield from _of_stand_in(value, path, reason, above, barren)
        return
    if isinstance(value, Mapping):
        pairs: Any = value.items()
        if {"state", "param_groups"} <= {*map(str, value)} or {"exp_avg"} <= {*map(str, value)}:
            reason = reason or "state of an optimiser"
    elif isinstance(value, list | tuple):
        pairs = enumerate(value)
    else:
        return
    for key, inner in pairs:
        name = name_of(key)
        yield from _leaves(inner, (*path, name), reason or _training(path, name, inner), above, barren)


def _training(path: tuple[str, ...], key: str, inner: Any) -> str | None:
    """Why what lies under a key is no part of a network; names of arrays, and of parts deep inside, say nothing of that."""
    if len(path) < 3 and not is_array(inner) and _TRAINING.fullmatch(key):
        return f"training's {key}"
    return None


def _of_stand_in(
    value: StandIn, path: tuple[str, ...], reason: str | None, above: frozenset[int], barren: dict[int, Any]
) -> Iterator[_Leaf]:
    """Give the arrays of an object: of a module its parameters, buffers and modules; of another its attributes and elements."""
    attributes, items = _of_state(value.state)
    module = {"_parameters", "_modules"} <= {*map(str, attributes)}
    if module:
        groups: list[tuple[Any, str | None]] = [
            (attributes["_parameters"], None),
            (attributes.get("_buffers"), "a buffer"),
            (attributes["_modules"], None),
            ({key: inner for key, inner in attributes.items() if getattr(inner, "origin", "") == _PACKED}, None),
        ]
    else:
        elements = dict(enumerate([*value.elements, *value.given, *items]))
        groups = [(attributes, None), (elements, None), ({str(key): inner for key, inner in value.entries}, None)]
    for group, why in groups:
        for key, inner in group.items() if isinstance(group, Mapping) else ():
            if key == "_flat_weights":  # of torch's recurrent layers: their weights once more
                continue
            for leaf in _leaves(inner, (*path, name_of(key)), reason or why, above, barren):
                if module or value.origin.startswith(
                    _SCRIPTED
                ):  # the name within a module is one key, as in a state dict
                    leaf = replace(leaf, path=(*path, ".".join(leaf.path[len(path) :])))
                yield leaf


def _of_state(state: Any) -> tuple[dict[Any, Any], Sequence[Any]]:
    """Give the attributes in an object's state, with those of slots, or the items of a state of its own making."""
    if isinstance(state, Mapping):
        return dict(state), ()
    if not isinstance(state, tuple):
        return {}, ()
    if len(state) == 2 and isinstance(state[0], Mapping | None) and isinstance(state[1], Mapping):
        return {**(state[0] or {}), **state[1]}, ()
    return {}, state


def _unwrapped(leaves: list[_Leaf]) -> tuple[list[_Leaf], tuple[str, ...]]:
    """Leave out the keys that lead to all leaves, or to all but loose arrays; give these keys, too."""
    prefix: tuple[str, ...] = ()
    while True:
        heads = dict.fromkeys(leaf.path[0] for leaf in leaves if len(leaf.path) > 1)
        if len(heads) != 1:
            return leaves, prefix
        (head,) = heads
        loose = [leaf for leaf in leaves if len(leaf.path) == 1]
        inner = [leaf for leaf in leaves if len(leaf.path) > 1]
        module = all(len(leaf.path) == 2 and leaf.path[1] in _LEAVES for leaf in inner)
        if not _WRAPPERS.fullmatch(head) and (loose or module):
            return leaves, prefix
        if {leaf.path[1] for leaf in inner} & {leaf.path[0] for leaf in loose}:
            return leaves, prefix
        leaves = [_Leaf(leaf.path[1:] or leaf.path, leaf.array, None) for leaf in leaves]
        prefix = (*prefix, head)


def _named(leaves: Sequence[_Leaf]) -> dict[str, Any]:
    """Name arrays by the keys that lead to them, with dots between; of two with one name the second has a number."""
    found: dict[str, Any] = {}
    for leaf in leaves:
        found[free(".".join(leaf.path), found)] = leaf.array
    return found
