"""Checks of entries of ``datasets.sources`` that the schema cannot make. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Any

from sgdtails.errors import InputError, unknown

KINDS = ("mnist", "cifar10", "digits", "folder", "npz")
LARGEST_IMAGE = 89_478_485  # pixels, as many as Pillow opens without asking
_KEYS = {
    "path": ("folder", "npz"),
    "sha256": ("folder", "npz"),
    "labels": ("npz",),
    "size": ("folder",),
    "grey": ("folder",),
}  # and the kinds that they mean something to; all others to every kind
_RANGES = {"mean": (0, 1), "std": (0.001, 1)}


def check(name: str, source: Mapping[str, Any]) -> None:
    """Check what an entry of ``datasets.sources`` says beyond its schema.

    Parameters
    ----------
    name
        The dataset's name.
    source
        The entry.

    Raises
    ------
    InputError
        The kind is unknown, a key means nothing for it, ``mean`` or ``std`` is not of pixels/255, or ``size`` is too large.

    Examples
    --------
    >>> check("digits", {"kind": "digits"})
    """
    if source["kind"] not in KINDS:
        raise unknown("kind", source["kind"], f"config key datasets.sources.{name}", KINDS)
    for key, kinds in _KEYS.items():
        if key in source and source["kind"] not in kinds:
            raise InputError(
                f"config key datasets.sources.{name}.{key} means nothing for kind {source['kind']}, only for {' and '.join(kinds)}; leave it out."
            )
    for key, (low, high) in _RANGES.items():
        for value in source.get(key, ()):
            if not low <= value <= high:
                raise InputError(
                    f"config key datasets.sources.{name}.{key} has {value}; it is of pixels/255, from {low} to {high}: {_hint(value, low, high)}."
                )
    if "size" in source and source["size"][0] * source["size"][1] > LARGEST_IMAGE:
        raise InputError(
            f"config key datasets.sources.{name}.size is {source['size']}, {source['size'][0] * source['size'][1]:,} pixels an image; give at most {LARGEST_IMAGE:,}."
        )


def _hint(value: float, low: float, high: float) -> str:
    divided = low <= value / 255 <= high
    return f"write {value / 255:.4g} if it is of pixels from 0 to 255" if divided else "correct it, or leave it out"
