"""The file of claims: read, checked to the last key, and written out for each value of ``for_each``."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sgdtails import inputs
from sgdtails.claim_kinds import KINDS
from sgdtails.claim_quantities import QUANTITIES
from sgdtails.errors import InputError, unknown
from sgdtails.network_index import LAYERS, VALUES
from sgdtails.verdicts import SIGNS, SUPPORTS

Claims = dict[str, dict[str, Any]]
MOST_COPIES = 1000  # of one claim
_COMMON = {"statement": str, "where": str, "kind": str, "supports": str}
# The parameters of each kind of test, and their types; a dict is a quantity.
_PARAMETERS: dict[str, dict[str, type]] = {
    "rank_correlation": {"x": dict, "y": dict},
    "layer_correlation": {"p": float, "epsilon": float},
    "paired_difference": {"first": dict, "second": dict},
    "matched_difference": {"y": dict},
    "initial_index": {},
    "sweep_change": {},
    "histogram_distance": {"first": str, "second": str},
}
_OPTIONAL: dict[str, dict[str, type]] = {
    "rank_correlation": {"control": dict},
    "layer_correlation": {"value": str},
    "initial_index": {"value": str},
    "sweep_change": {"value": str},
}
_WORDS = {str: "text", float: "a number", int: "a whole number", dict: "a mapping"}
_CHOICES = {
    "method": ("layer_magnitude", "global_magnitude", "singular_value", "node", "kernel"),
    "structure": ("independent", "columns", "layer"),
    "weights": ("initial", "final", "average"),
    "value": VALUES,
    "layers": LAYERS,
}


def read(path: str | Path, methods: Iterable[str] = ()) -> Claims:
    """Claims by name. InputError if the file cannot be read, or says anything that ``checked`` refuses."""
    return checked(inputs.read_yaml(path, "config key claims.path"), str(path), methods)


def checked(content: Any, path: str, methods: Iterable[str] = ()) -> Claims:
    """The claims of a file's content, one per value of for_each; InputError for an unknown, missing or wrong key.

    ``methods``: pruning methods beside the workflow's own.
    """
    choices = _CHOICES | {"method": (*_CHOICES["method"], *methods)}
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} must hold at least one claim, as a mapping from its name to what it says.")
    claims: Claims = {}
    for name, entry in content.items():
        where = f"claim {name!r} of {path}"
        _typed(entry, dict, where)
        for suffix, claim in _expanded(entry, where):
            _check(claim, where, choices)
            claims["_".join([str(name), *suffix])] = claim
    return claims


def _expanded(entry: dict[str, Any], where: str) -> list[tuple[list[str], dict[str, Any]]]:
    rest = {key: value for key, value in entry.items() if key != "for_each"}
    if "for_each" not in entry:
        return [([], rest)]
    each = entry["for_each"]
    if not isinstance(each, dict) or len(each) != 1 or not isinstance(values := next(iter(each.values())), list):
        raise InputError(f"{where}: for_each must name one list, such as {{method: [node, kernel]}}.")
    if len(values) > MOST_COPIES:
        raise InputError(f"{where}: for_each has {len(values)} values; it may have {MOST_COPIES}.")
    key = next(iter(each))
    return [([str(value)], _replaced(rest, f"{{{key}}}", str(value))) for value in values]


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(part, old, new) for key, part in value.items()}
    return value.replace(old, new) if isinstance(value, str) else value


def _check(claim: Mapping[str, Any], where: str, choices: Mapping[str, tuple[str, ...]]) -> None:
    kind = claim.get("kind")
    if kind not in KINDS:
        raise unknown("kind", kind, where, KINDS)
    needed = _COMMON | _PARAMETERS[kind]
    optional = {"margin": float} | _OPTIONAL.get(kind, {})
    _keys(claim, needed, optional, where)
    if claim["supports"] not in SUPPORTS:
        raise unknown("value of supports", claim["supports"], where, SUPPORTS)
    if (claim["supports"] in SIGNS) == ("margin" in claim):
        raise InputError(f"{where}: give a margin with supports: within, above or below, and only with these.")
    if "value" in claim and claim["value"] not in VALUES:
        raise unknown("value", claim["value"], where, VALUES)
    for key in {**needed, **optional}:
        if isinstance(claim.get(key), dict):
            _check_quantity(claim[key], f"{key} of {where}", choices)


def _check_quantity(quantity: Mapping[str, Any], where: str, choices: Mapping[str, tuple[str, ...]]) -> None:
    of = quantity.get("of")
    if of not in QUANTITIES:
        raise unknown("quantity", of, where, QUANTITIES)
    parameters = [
        part for part in inspect.signature(QUANTITIES[of]).parameters.values() if part.kind is part.KEYWORD_ONLY
    ]
    needed = {part.name: part.annotation for part in parameters if part.default is part.empty}
    optional = {part.name: part.annotation for part in parameters if part.default is not part.empty}
    _keys(quantity, {"of": str} | needed, optional, where)
    for key, values in choices.items():
        if key in quantity and quantity[key] not in values:
            raise unknown(key, quantity[key], where, values)
    if of == "area" and not quantity["low"] < quantity["high"]:
        raise InputError(f"{where}: low must be below high.")
    if of == "distance" and quantity["bins"] < 1:
        raise InputError(f"{where}: bins must be at least 1.")


def _keys(entry: Mapping[str, Any], needed: Mapping[str, type], optional: Mapping[str, type], where: str) -> None:
    known = {**needed, **optional}
    for key, value in entry.items():
        if key not in known:
            raise unknown("key", key, where, known)
        _typed(value, known[key], f"{key} of {where}")
    missing = [key for key in needed if key not in entry]
    if missing:
        raise InputError(f"{where} lacks {', '.join(missing)}; config/claims.yaml says what each is.")


def _typed(value: Any, wanted: type, where: str) -> None:
    kinds = (int, float) if wanted is float else (wanted,)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InputError(f"{where} is {value!r}; it must be {_WORDS[wanted]}.")
