"""Functions of the user's own, named in the config by their dotted paths."""

import importlib
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
