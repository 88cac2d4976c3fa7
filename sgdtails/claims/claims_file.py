"""The file of claims: read, checked to the last key, and written out for each value of ``for_each``."""

import inspect
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sgdtails.claims.claim_kinds import KINDS
from sgdtails.claims.claim_quantities import QUANTITIES
from sgdtails.claims.verdicts import SIGNS, SUPPORTS
from sgdtails.config import validation
from sgdtails.errors import InputError, unknown
from sgdtails.tail_index import layer_tails
from sgdtails.tail_index.network_index import LAYERS, VALUES

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
# What each kind's effect lies between; a margin beyond would decide every study alike.
_EFFECTS = {"rank_correlation": (-1, 1), "layer_correlation": (-1, 1), "histogram_distance": (0, 1)}
# The names that every study has, by the key of a claim or of a quantity.
_NAMES: dict[str, tuple[str, ...]] = {
    "estimator": layer_tails.NAMES,
    "method": ("layer_magnitude", "global_magnitude", "singular_value", "node", "row", "kernel", "filter", "channel"),
    "structure": ("independent", "columns", "layer"),
    "weights": ("initial", "converged", "last", "average"),
    "value": VALUES,
    "layers": LAYERS,
}
_SERIES = ("half_a", "half_b", "all", "stable")  # of a layer's histogram
Choices = Mapping[str, Collection[Any]]
_NOTHING: Choices = MappingProxyType({})


def read(path: str | Path, computed: Choices = _NOTHING) -> Claims:
    """Claims by name. InputError if the file cannot be read, or says anything that ``checked`` refuses."""
    return checked(validation.read_yaml(path, "config key claims.path"), str(path), computed)


def checked(content: Any, path: str, computed: Choices = _NOTHING) -> Claims:
    """The claims of a file's content, one per value of for_each; InputError for an unknown, missing or wrong key or value.

    ``computed``: what can be named because of the study's config, from ``config_schema.computed``; a number of which it says
    nothing may be any.
    """
    choices = names(computed)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} must hold at least one claim, as a mapping from its name to what it says.")
    claims: Claims = {}
    for name, entry in content.items():
        where = f"claim {name!r} of {path}"
        _typed(entry, dict, where)
        for suffix, claim in _expanded(entry, where):
            _check(claim, where, choices)
            full = "_".join([str(name), *suffix])
            if full in claims:
                raise InputError(f"{where}: there is a claim {full!r} already; give this one another name.")
            claims[full] = claim
    return claims


def names(computed: Choices = _NOTHING) -> Choices:
    """What a study computes, by the key that names it: what every study does, and what its config adds."""
    return {key: {*_NAMES.get(key, ()), *computed.get(key, ())} for key in (*_NAMES, *computed)}


def check_names(entry: Mapping[str, Any], where: str, choices: Choices) -> None:
    """InputError for a name or number of which the study computes nothing."""
    for key, values in choices.items():
        if key not in entry or entry[key] in values:
            continue
        if isinstance(entry[key], str):
            raise unknown(key, entry[key], where, values)
        known = ", ".join(f"{value:g}" for value in sorted(values))
        raise InputError(
            f"{key} of {where} is {entry[key]:g}, and the study computes {key} = {known}; use one of these, or add yours to "
            f"config key compression.{key}."
        )


def _expanded(entry: dict[str, Any], where: str) -> list[tuple[list[str], dict[str, Any]]]:
    rest = {key: value for key, value in entry.items() if key != "for_each"}
    if "for_each" not in entry:
        return [([], rest)]
    each = entry["for_each"]
    if not isinstance(each, dict) or len(each) != 1 or not isinstance(values := next(iter(each.values())), list):
        raise InputError(f"{where}: for_each must name one list, such as {{method: [node, kernel]}}.")
    if not 0 < len(values) <= MOST_COPIES:
        raise InputError(f"{where}: for_each has {len(values)} values; it may have 1 to {MOST_COPIES}.")
    key = next(iter(each))
    return [([str(value)], _replaced(rest, f"{{{key}}}", str(value))) for value in values]


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(part, old, new) for key, part in value.items()}
    return value.replace(old, new) if isinstance(value, str) else value


def _check(claim: Mapping[str, Any], where: str, choices: Choices) -> None:
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
    if "margin" in claim:
        _check_margin(claim, where)
    check_names(claim, where, choices)
    for key in {**needed, **optional}:
        if isinstance(claim.get(key), dict):
            _check_quantity(claim[key], f"{key} of {where}", choices)
    for key in ("first", "second"):  # of paired_difference they are quantities
        if isinstance(claim.get(key), str) and claim[key] not in _SERIES:
            raise unknown("series", claim[key], f"{key} of {where}", _SERIES)


def _check_margin(claim: Mapping[str, Any], where: str) -> None:
    """InputError for a margin with which no study could decide otherwise than another."""
    low, high = _EFFECTS.get(claim["kind"], (-math.inf, math.inf))
    low = max(low, 0) if claim["supports"] == "within" else low
    if not low < claim["margin"] < high:
        least, most = f"above {low:g}", "" if high == math.inf else f" and below {high:g}"
        raise InputError(
            f"margin of {where} is {claim['margin']:g}; for {claim['kind']} with supports: {claim['supports']} "
            f"it must be {least}{most}."
        )


def _check_quantity(quantity: Mapping[str, Any], where: str, choices: Choices) -> None:
    of = quantity.get("of")
    if of not in QUANTITIES:
        raise unknown("quantity", of, where, QUANTITIES)
    parameters = [
        part for part in inspect.signature(QUANTITIES[of]).parameters.values() if part.kind is part.KEYWORD_ONLY
    ]
    needed = {part.name: part.annotation for part in parameters if part.default is part.empty}
    optional = {part.name: part.annotation for part in parameters if part.default is not part.empty}
    _keys(quantity, {"of": str} | needed, optional, where)
    check_names(quantity, where, choices)
    if of == "area" and not quantity["low"] < quantity["high"]:
        raise InputError(f"{where}: low must be below high.")
    if of == "area" and not (quantity["low"] >= -1 and quantity["high"] <= 1):  # below 0: of singular values only
        raise InputError(f"{where}: low and high are pruned ratios; they lie between -1 and 1.")
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
        raise InputError(f"{where} is {value!r:.100}; it must be {_WORDS[wanted]}.")
    if isinstance(value, int | float) and not math.isfinite(value):
        raise InputError(f"{where} is {value}; it must be a finite number.")
