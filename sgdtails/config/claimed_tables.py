"""Which tables claims and comparisons are about: the Snakefile asks, so nothing heavy is imported."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sgdtails.config import resources, validation
from sgdtails.errors import InputError

# Tables that a study has only where they are asked for.
ON_DEMAND = ("dependence", "errors")
# Those, and a table that every study has but only claims that name it read.
IF_NAMED = (*ON_DEMAND, "laws")
_TABLES = {
    "alpha": ("tails",),
    "area": ("pruning",),
    "accuracy_left": ("pruning",),
    "robust_accuracy": ("pruning",),
    "removable": ("compression",),
    "stable_rank": ("compression",),
    "pq_index": ("compression",),
    "dependence": ("dependence",),
    "relative_error": ("errors",),
    "log_likelihood": ("laws",),
    "distance": ("tails", "compression", "synthetic"),
}


def paths(given: str | list[str], base: Path) -> list[Path]:
    """Return the files of config key ``claims.path``: in the working directory, else below ``base``."""
    return [resources.beside(path, base) for path in ([given] if isinstance(given, str) else given)]


def of_content(content: Any) -> set[str]:
    """Return the tables, beside ``runs``, of the quantities that are named anywhere in a claim or comparison.

    Examples
    --------
    >>> of_content({"x": "width", "y": {"of": "area", "method": "node"}})
    {'pruning'}
    """
    return {table for name in _quantities(content) for table in _TABLES.get(name, ())}


def of_files(files: Iterable[str | Path]) -> set[str]:
    """Return the tables of ``IF_NAMED`` that files of claims name; none of a file that cannot be read."""
    found = set()
    for file in files:
        try:
            found |= of_content(validation.read_yaml(file, "config key claims.path"))
        except InputError:
            continue  # the check of claims says why
    return found & set(IF_NAMED)


def _quantities(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        if isinstance(content.get("of"), str):
            yield content["of"]
        for value in content.values():
            yield from _quantities(value)
    elif isinstance(content, list):
        for value in content:
            yield from _quantities(value)
