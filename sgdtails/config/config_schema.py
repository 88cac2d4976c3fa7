"""The one place where a config is validated: by its JSON schema, and for keys that do not go together. Imports nothing heavy."""

import textwrap
from collections.abc import Mapping
from typing import Any

from sgdtails.config import planning, validation
from sgdtails.errors import InputError, unknown


def validate(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """InputError for the first thing in the config that the schema refuses, unknown keys at any level included.

    And for values that do not go together.
    """
    from jsonschema import Draft202012Validator, validators

    validation.plain(config, "the config")
    # JSON calls 200.0 an integer, which Python's ranges are not
    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    validator = validators.extend(Draft202012Validator, type_checker=whole)(schema)
    if error := next(validator.iter_errors(config), None):
        raise _explained(error)
    planning.check_together(config)


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
