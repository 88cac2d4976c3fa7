"""Files of claims: read, checked to the last key, and written out for each value of ``for_each``."""

import inspect
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from sgdtails.claims.kinds import KINDS
from sgdtails.claims.quantities import QUANTITIES
from sgdtails.claims.relations.two_lines import SHAPES
from sgdtails.claims.verdicts import SIGNS, SUPPORTS
from sgdtails.config import validation
from sgdtails.errors import InputError, unknown
from sgdtails.schemas.study_schemas import SCHEMAS
from sgdtails.tail_index import layer_tails
from sgdtails.tail_index.laws.families import LAWS
from sgdtails.tail_index.network_index import LAYERS, VALUES
from sgdtails.theory.independence import MEASURES
from sgdtails.theory.layer_errors import STRUCTURES

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
    "trend": {"x": str, "y": dict},
    "two_lines": {"x": dict, "y": dict, "shape": str},
}
_OPTIONAL: dict[str, dict[str, type]] = {
    "rank_correlation": {"control": dict, "statistic": str},
    "layer_correlation": {"value": str},
    "initial_index": {"value": str},
    "sweep_change": {"value": str},
}
_WORDS = {str: "text", float: "a number", int: "a whole number", dict: "a mapping"}
# What each kind's effect lies between; a margin beyond would decide every study alike.
_EFFECTS = {"rank_correlation": (-1, 1), "layer_correlation": (-1, 1), "histogram_distance": (0, 1)}
# Columns of the run table that are numbers, which a quantity or a trend can name.
COLUMNS = tuple(field.name for field in SCHEMAS["runs"] if field.type in (pa.int64(), pa.float64()))
# The names that every study has, by the key of a claim or of a quantity.
_NAMES: dict[str, tuple[str, ...]] = {
    "estimator": layer_tails.NAMES,
    "method": ("layer_magnitude", "global_magnitude", "singular_value", "node", "row", "kernel", "filter", "channel"),
    "column": COLUMNS,
    "measure": MEASURES,
    "weights": ("initial", "converged", "last", "average"),
    "layers": LAYERS,
}
# Words that mean something else in each quantity; a claim's own value is that of a tail index.
_WORDS_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "alpha": {"value": VALUES},
    "distance": {"structure": ("independent", "columns", "layer")},
    "relative_error": {"structure": STRUCTURES, "value": ("measured", "simulated", "excess")},
    "generalisation_gap": {"value": ("accuracy", "nll"), "weights": ("converged", "last", "average")},
    "log_likelihood": {"observed": tuple(LAWS)},
}
_LIMITS: dict[str, dict[str, tuple[float, float]]] = {
    "accuracy_left": {"ratio": (-1, 1)},
    "robust_accuracy": {"ratio": (-1, 1)},
    "alpha": {"k1": (1, math.inf)},
    **{
        name: {"layer": (0, math.inf)}
        for name in ("removable", "stable_rank", "pq_index", "dependence", "relative_error", "log_likelihood")
    },
}
_STATISTICS = ("spearman", "kendall", "granulated_kendall")  # of rank correlations
_KEYS = {"kappa": "errors"}  # sections of the config that list numbers, if it is not compression
_SERIES = ("half_a", "half_b", "all", "stable")  # of a layer's histogram
Choices = Mapping[str, Collection[Any]]
_NOTHING: Choices = MappingProxyType({})


def read(paths: str | Path | Iterable[str | Path], computed: Choices = _NOTHING) -> Claims:
    """Read the claims of one or several files.

    Parameters
    ----------
    paths : path or iterable of paths
        YAML files.
    computed : mapping of str to collection
        As in ``checked``.

    Returns
    -------
    dict of str to dict
        Claims by name.

    Raises
    ------
    InputError
        If a file cannot be read, says anything that ``checked`` refuses, or has a claim of the same name as another file.
    """
    claims: Claims = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        found = checked(validation.read_yaml(path, "config key claims.path"), str(path), computed)
        if twice := sorted(claims.keys() & found.keys()):
            raise InputError(
                f"claim {twice[0]!r} of {path} is in another file of config key claims.path; rename one of them."
            )
        claims |= found
    return claims


def check_train_sizes(claims: Claims, sources: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that datasets which a claim compares by their size differ in nothing else.

    Parameters
    ----------
    claims : dict of str to dict
        Claims by name.
    sources : mapping of str to mapping
        Sources of the datasets that are trained on: entries of config key ``datasets.sources``.

    Raises
    ------
    InputError
        If a trend is over ``train_size`` and two datasets that have one differ in more.

    Examples
    --------
    >>> check_train_sizes({"a": {"kind": "trend", "x": "train_size"}}, {"small": {"kind": "mnist", "train_size": 500}})
    """
    sized = {
        name: {key: value for key, value in source.items() if key not in ("train_size", "label")}
        for name, source in sources.items()
        if source.get("train_size")
    }
    first = next(iter(sized), "")
    other = next((dataset for dataset, source in sized.items() if source != sized[first]), None)
    for name, claim in claims.items():
        if other and claim["kind"] == "trend" and claim["x"] == "train_size":
            raise InputError(
                f"claim {name!r}: x is train_size, but the datasets {first!r} and {other!r} differ in more; "
                "train on them in studies of their own."
            )


def checked(content: Any, path: str, computed: Choices = _NOTHING) -> Claims:
    """Check the content of a file of claims, and write out each claim for each value of its for_each.

    Parameters
    ----------
    content : Any
        What the file holds.
    path : str
        Its name, for error messages.
    computed : mapping of str to collection
        What can be named because of the study's config, from ``config_schema.computed``. A number that it does not list may have
        any value.

    Returns
    -------
    dict of str to dict
        Claims by name.

    Raises
    ------
    InputError
        For an unknown, missing or wrong key or value.
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
    """Return what a study computes, by the key that names it: what every study does, and what its config adds."""
    return {key: {*_NAMES.get(key, ()), *computed.get(key, ())} for key in (*_NAMES, *computed)}


def check_names(entry: Mapping[str, Any], where: str, choices: Choices) -> None:
    """Raise InputError for a name or number of which the study computes nothing."""
    for key, values in choices.items():
        if key not in entry or entry[key] in values:
            continue
        if isinstance(entry[key], str):
            raise unknown(key, entry[key], where, values)
        known = ", ".join(f"{value:g}" for value in sorted(values))
        raise InputError(
            f"{key} of {where} is {entry[key]:g}, and the study computes {key} = {known}; use one of these, or add yours to "
            f"config key {_KEYS.get(key, 'compression')}.{key}."
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
    return [([str(value)], _replaced(rest, f"{{{key}}}", value)) for value in values]


def _replaced(value: Any, old: str, new: Any) -> Any:
    """Put a value in place of its placeholder: a text that is nothing else becomes the value, such as a number; in longer texts it becomes words."""
    if isinstance(value, dict):
        return {key: _replaced(part, old, new) for key, part in value.items()}
    if value == old:
        return new
    return value.replace(old, str(new)) if isinstance(value, str) else value


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
    check_names(claim, where, {**choices, "value": VALUES})
    check_names(claim, where, {"statistic": _STATISTICS, "shape": tuple(SHAPES)})
    if claim.get("statistic", "spearman") != "spearman" and "control" in claim:
        raise InputError(f"{where}: only statistic: spearman has a control; leave one of them out.")
    if kind == "trend" and claim["x"] not in COLUMNS:
        raise unknown("column", claim["x"], f"x of {where}", COLUMNS)
    for key in {**needed, **optional}:
        if isinstance(claim.get(key), dict):
            check_quantity(claim[key], f"{key} of {where}", choices)
    for key in ("first", "second"):  # of paired_difference they are quantities
        if isinstance(claim.get(key), str) and claim[key] not in _SERIES:
            raise unknown("series", claim[key], f"{key} of {where}", _SERIES)


def _check_margin(claim: Mapping[str, Any], where: str) -> None:
    """Raise InputError for a margin with which every study would be decided alike."""
    low, high = _EFFECTS.get(claim["kind"], (-math.inf, math.inf))
    low = max(low, 0) if claim["supports"] == "within" else low
    if not low < claim["margin"] < high:
        least, most = f"above {low:g}", "" if high == math.inf else f" and below {high:g}"
        raise InputError(
            f"margin of {where} is {claim['margin']:g}; for {claim['kind']} with supports: {claim['supports']} "
            f"it must be {least}{most}."
        )


def check_quantity(quantity: Mapping[str, Any], where: str, choices: Choices) -> None:
    """Raise InputError for a quantity that is not defined, lacks a part, or has one that the study does not compute."""
    of = quantity.get("of")
    if of not in QUANTITIES:
        raise unknown("quantity", of, where, QUANTITIES)
    parameters = [
        part for part in inspect.signature(QUANTITIES[of]).parameters.values() if part.kind is part.KEYWORD_ONLY
    ]
    needed = {part.name: part.annotation for part in parameters if part.default is part.empty}
    optional = {part.name: part.annotation for part in parameters if part.default is not part.empty}
    _keys(quantity, {"of": str} | needed, optional, where)
    check_names(quantity, where, {**choices, **_WORDS_OF.get(of, {})})
    if of in _LIMITS and not all(low <= quantity.get(key, low) <= high for key, (low, high) in _LIMITS[of].items()):
        limits = " and ".join(f"{key} between {low:g} and {high:g}" for key, (low, high) in _LIMITS[of].items())
        raise InputError(f"{where}: give {limits}.")
    if of == "robust_accuracy" and not choices.get("attack", True):
        raise InputError(
            f"{where} is a robust accuracy, but config key pruning.attack is null; give it epsilon and steps."
        )
    if of == "area" and not quantity["low"] < quantity["high"]:
        raise InputError(f"{where}: low must be below high.")
    if of == "area" and not (quantity["low"] >= -1 and quantity["high"] <= 1):  # below 0: of singular values only
        raise InputError(f"{where}: low and high are pruned ratios; they lie between -1 and 1.")
    if of == "distance" and quantity["bins"] < 1:
        raise InputError(f"{where}: bins must be at least 1.")
    if of == "log_likelihood":
        check_names(quantity, where, {"law": [law.name for law in LAWS[quantity.get("observed", "entries")]]})


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
