"""Packages that only some formats need."""

import importlib
from typing import Any

from sgdtails.errors import InputError


def imported(package: str, extra: str, what: str) -> Any:
    """Import the package that reads a format.

    Parameters
    ----------
    package, extra : str
        Its name, and that of the extra of sgdtails which has it.
    what : str
        The file and its format, for the sentence.

    Returns
    -------
    module
        The package.

    Raises
    ------
    InputError
        If it is not installed: which extra has it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{what}, which needs the package {error.name}; install sgdtails[{extra}], or {package} beside sgdtails."
        ) from error
