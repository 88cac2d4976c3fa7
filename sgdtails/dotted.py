"""Functions of the user's own, named in the config by their dotted paths."""

import importlib
from collections.abc import Collection, Mapping
from typing import Any

from sgdtails.errors import InputError


def load(path: str, where: str) -> Any:
    """What a dotted path names. InputError, naming the config key ``where``, if it cannot be imported."""
    module_name, _, attribute = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{where}: cannot import {path!r} ({error}); give package.module.function, importable from the Snakefile's folder."
        ) from error


def load_all(paths: Mapping[str, str], where: str, taken: Collection[str]) -> dict[str, Any]:
    """Functions by the names that the config key ``where`` gives them; InputError if one is among those ``taken``."""
    for name in paths:
        if name in taken:
            raise InputError(f"{where}: there is a {name} already; give yours another name.")
    return {name: load(path, f"{where}.{name}") for name, path in paths.items()}
