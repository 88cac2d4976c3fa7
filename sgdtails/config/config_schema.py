"""Validation of a config, in one place: by its JSON schema, and for keys that do not go together. Imports nothing heavy."""

import textwrap
from collections.abc import Mapping
from typing import Any

from sgdtails.config import validation
from sgdtails.config.types import Config
from sgdtails.errors import InputError, unknown

_STEEPEST = 30  # p/alpha: of 5e7 entries of a stable law the largest, to the power p, is still below 1e308


def validate(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Check a config against its schema, and check that its parts go together.

    Parameters
    ----------
    config
        The whole config.
    schema
        The content of ``config/config.schema.yaml``.

    Raises
    ------
    InputError
        For the first key that is wrong; unknown keys are refused at every level.
    """
    from jsonschema import Draft202012Validator, validators

    validation.plain(config, "the config")
    # JSON calls 200.0 an integer, which Python's ranges are not
    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    validator = validators.extend(Draft202012Validator, type_checker=whole)(schema)
    if error := next(validator.iter_errors(config), None):
        raise _explained(error)
    check_together(config)


def _explained(error: Any) -> InputError:
    key = ".".join(map(str, error.absolute_path))
    where = f"config key {key}" if key else "the config"
    if error.validator == "additionalProperties":
        valid = error.schema.get("properties", {})
        name = next(name for name in error.instance if name not in valid)
        return unknown("key", name, where, valid)
    if "propertyNames" in error.absolute_schema_path:
        return InputError(f"{where}: the name {error.instance!r} must be letters, digits and underscores.")
    if error.validator == "oneOf":
        return InputError(
            f"{where} needs exactly one of: {', '.join(part['required'][0] for part in error.schema['oneOf'])}."
        )
    if "dependentSchemas" in error.absolute_schema_path:
        other = error.absolute_schema_path[error.absolute_schema_path.index("dependentSchemas") + 1]
        return InputError(f"{where} does not go together with {other}; remove one of them.")
    if error.validator == "not":
        return InputError(f"{where} is {error.instance!r}, which is taken; choose another name.")
    if error.validator == "enum":
        return unknown("value", error.instance, where, map(str, error.validator_value))
    if error.validator == "contains":
        needed = error.validator_value["const"]
        return InputError(f"{where} lacks {needed}, which figures and claims are made from; add it.")
    if error.validator == "anyOf":
        return InputError(f"{where} is {error.instance!r:.100}; config/config.yaml says what it may be.")
    hint = (
        " (YAML reads 1e-3 as text; write 1.0e-3; and within the braces of --config everything is text: use a file)"
        if error.validator == "type" and isinstance(error.instance, str)
        else ""
    )
    said = textwrap.shorten(error.message, 300)
    return InputError(f"{where}: {said}{hint}; see config/config.yaml for what it means.")


def whole_models(models: Any, defaults: Config) -> Any:
    """Take out of models what defaults of the same name, but of another kind, have added to them.

    A ``--configfile`` is merged key by key: ``fcn4: {cnn: [...]}`` would be both an fcn, by default, and a cnn.

    Parameters
    ----------
    models
        Config key ``models``, merged.
    defaults
        The same key of ``config/config.yaml``.

    Examples
    --------
    >>> whole_models({"a": {"fcn": [4], "cnn": [8]}}, {"a": {"fcn": [4]}})
    {'a': {'cnn': [8]}}
    """
    if not isinstance(models, Mapping):
        return models
    return {name: _without(entry, defaults.get(name, {})) for name, entry in models.items()}


def _without(entry: Any, default: Config) -> Any:
    if not isinstance(entry, Mapping) or not {"fcn", "cnn", "factory"} & (entry.keys() - default.keys()):
        return entry
    return {key: value for key, value in entry.items() if default.get(key) != value}


def check_together(config: Config) -> None:
    """Check values that are each sound, but may not go together.

    Parameters
    ----------
    config
        A config that the schema has passed.

    Raises
    ------
    InputError
        For the first pair that does not.
    """
    stop, band, alpha = config["stop"], config["theorems"]["band"], config["synthetic"]["alpha"]
    if stop["gate"] > stop["budget"]:
        raise InputError(
            f"config key stop.gate is {stop['gate']}, more than stop.budget, {stop['budget']}: "
            "no run would be looked at before its end; make it smaller."
        )
    if isinstance(config["snapshots"], list) and config["snapshots"]:
        if min(config["snapshots"]) > stop["budget"]:
            raise InputError(
                f"config key snapshots has nothing up to stop.budget, {stop['budget']}: no run would get there; give smaller iterations."
            )
        for iteration in config["snapshots"]:
            if iteration % stop["gate"]:
                raise InputError(
                    f"config key snapshots has {iteration}, which is no multiple of stop.gate, {stop['gate']}: runs are looked at "
                    "at gates only; give multiples of it."
                )
    if band[0] >= band[1]:
        raise InputError(f"config key theorems.band is {band}; give the lower quantile first, such as [0.05, 0.95].")
    if alpha[0] > alpha[1]:
        raise InputError(f"config key synthetic.alpha is {alpha}; give the smaller tail index first.")
    if config["pruning"]["scheme"] == "error" and not config["pruning"]["adaptive"]["epsilon"]:
        raise InputError(
            "config key pruning.scheme is error, but pruning.adaptive.epsilon is empty; give relative errors there, or draw by ratio."
        )
    p, lowest = max(config["theorems"]["p"]), min(config["theorems"]["alpha"])
    if p > _STEEPEST * lowest:
        raise InputError(
            f"config key theorems: p = {p:g} at alpha = {lowest:g} leaves the range of float64; "
            f"keep p at most {_STEEPEST} times alpha."
        )


def computed(config: Config) -> dict[str, list[Any]]:
    """List what claims can name because of this config, beside the workflow's own names.

    Parameters
    ----------
    config
        The whole config.

    Returns
    -------
    dict
        Names and numbers, by the key of a claim that names them.
    """
    return {
        "estimator": sorted(config["tails"]["own"]),
        "method": sorted(config["pruning"]["own"]),
        "weights": [config["pruning"]["weights"]],
        "p": config["compression"]["p"],
        "epsilon": config["compression"]["epsilon"],
        "kappa": config["errors"]["kappa"],
        "attack": list(config["pruning"]["attack"] or ()),
    }
