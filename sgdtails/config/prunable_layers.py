"""Which layers a pruning method may touch: by its kind, and by config key pruning.exempt. Imports nothing heavy: the rules read it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sgdtails.errors import unknown

Entries = Sequence[str | int]  # words, names of layers, or their indices from 0
LINEAR, CONVOLUTIONAL = ("node", "row"), ("kernel", "filter", "channel")
"""Methods that remove blocks of linear layers, and of convolutions; the others take both kinds of layer."""
PUBLISHED = ("first_convolution", "head")
"""The words: a convolution that comes first, and the last layer. They come before names: ``head`` is the last layer of any model."""


def names(dimensions: Mapping[str, int], entries: Entries) -> set[str]:
    """The layers that are exempt. ``dimensions``: how many each layer's weight has, by name, in order.

    InputError for an entry that is no word, and neither name nor index of one of these layers.
    """
    layers = list(dimensions)
    words = {"first_convolution": [name for name in layers[:1] if dimensions[name] > 2], "head": layers[-1:]}
    found: set[str] = set()
    for entry in entries:
        if not _known(entry, layers):
            raise _unknown(entry, layers)
        found.update(words[str(entry)] if entry in words else [layers[entry] if isinstance(entry, int) else entry])
    return found


def of_model(entries: Entries, model: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> list[str | int]:
    """The entries that concern one model's networks, of descriptions as in config key models; all for a model of one's own.

    A layer that this model lacks and another one has concerns that one only. InputError if no model of the study has it;
    the layers of a model of one's own are not known here.
    """
    layers, known = _layers(model), [_layers(other) for other in others]
    if layers is None:
        return list(entries)
    for entry in entries:
        if not _known(entry, layers) and not any(other is None or _known(entry, other) for other in known):
            raise _unknown(entry, dict.fromkeys([*layers, *(name for other in known for name in other or [])]))
    return [entry for entry in entries if _known(entry, layers)]


def _layers(model: Mapping[str, Any]) -> list[str] | None:
    """The names of a built-in model's layers."""
    if "fcn" in model:
        return [*(f"fc{number}" for number, _ in enumerate(model["fcn"], 1)), "head"]
    if "cnn" in model:
        widths = [layer for layer in model["cnn"] if layer != "M"]
        return [*(f"conv{number}" for number, _ in enumerate(widths, 1)), "head"]
    return None


def _known(entry: str | int, layers: Sequence[str]) -> bool:
    return 0 <= entry < len(layers) if isinstance(entry, int) else entry in PUBLISHED or entry in layers


def _unknown(entry: str | int, layers: Iterable[str]) -> Exception:
    return unknown("layer", entry, "config key pruning.exempt", {*PUBLISHED, *layers})
