"""The layers that a pruning method may touch, by its kind and by config key pruning.exempt. Imports nothing heavy."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sgdtails.errors import unknown

if TYPE_CHECKING:
    from sgdtails.config.types import Config, Model

Entries = Sequence[str | int]  # words, names of layers, or their indices from 0
LINEAR, CONVOLUTIONAL = ("node", "row"), ("kernel", "filter", "channel")
"""Methods that remove blocks of linear layers, and of convolutions; the others take both kinds of layer."""
PUBLISHED = ("first_convolution", "head")
"""The words: a convolution that comes first, and the last layer. They come before names: ``head`` is the last layer of any model."""


def names(dimensions: Mapping[str, int], entries: Entries) -> set[str]:
    """Find the layers that are exempt from pruning.

    Parameters
    ----------
    dimensions
        How many dimensions each layer's weight has, by name, in the network's order.
    entries
        Config key ``pruning.exempt``: words, names of layers, or their indices from 0.

    Returns
    -------
    set
        Names of layers.

    Raises
    ------
    InputError
        An entry is neither a word nor the name or index of one of these layers.

    Examples
    --------
    >>> sorted(names({"conv1": 4, "conv2": 4, "head": 2}, ["first_convolution", 2]))
    ['conv1', 'head']
    """
    layers = list(dimensions)
    words = {"first_convolution": [name for name in layers[:1] if dimensions[name] > 2], "head": layers[-1:]}
    found: set[str] = set()
    for entry in entries:
        if not _known(entry, layers):
            raise _unknown(entry, layers)
        found.update(words[str(entry)] if entry in words else [layers[entry] if isinstance(entry, int) else entry])
    return found


def of_model(entries: Entries, model: "Model", others: Iterable["Model"]) -> list[str | int]:
    """Find the entries that concern one model's networks: a layer that only another model has concerns that one only.

    Parameters
    ----------
    entries
        Config key ``pruning.exempt``.
    model
        An entry of config key ``models``. Of a factory's network the layers are not known here: all entries concern it.
    others
        The models of the study.

    Returns
    -------
    list
        Some of ``entries``.

    Raises
    ------
    InputError
        No model of the study has such a layer.

    Examples
    --------
    >>> of_model(["head", "conv1"], {"fcn": [4]}, [{"fcn": [4]}, {"cnn": [4]}])
    ['head']
    """
    layers, known = _layers(model), [_layers(other) for other in others]
    if layers is None:
        return list(entries)
    for entry in entries:
        if not _known(entry, layers) and not any(other is None or _known(entry, other) for other in known):
            raise _unknown(entry, dict.fromkeys([*layers, *(name for other in known for name in other or [])]))
    return [entry for entry in entries if _known(entry, layers)]


def check_index(entries: Iterable[str], models: Iterable["Model"]) -> None:
    """Check that the layers which a network's index leaves out are there.

    Parameters
    ----------
    entries
        Config key ``index.exempt``.
    models
        The models of the study. Layers of a factory's network are not known here: then any name may be one.

    Raises
    ------
    InputError
        No model of the study has such a layer.

    Examples
    --------
    >>> check_index(["first", "head", "fc2"], [{"fcn": [4, 4]}])
    """
    layers = [_layers(model) for model in models]
    known = dict.fromkeys(["first", "head", *(name for each in layers for name in each or [])])
    for entry in entries:
        if entry not in known and None not in layers:
            raise unknown("layer", entry, "config key index.exempt", known)


def methods(model: "Model", pruning: "Config") -> tuple[str, ...]:
    """Name the pruning methods for a model: those that have ratios.

    Nodes and rows are of linear layers, kernels, filters and channels of convolutions; an own model may have both.

    Parameters
    ----------
    model
        An entry of config key ``models``.
    pruning
        Config key ``pruning``.

    Examples
    --------
    >>> methods({"fcn": [4]}, dict.fromkeys(["layer_magnitude", "global_magnitude", "singular_value", "node", "row"], {"ratios": [0.5]}))
    ('layer_magnitude', 'global_magnitude', 'singular_value', 'node', 'row')
    """
    structured = LINEAR if "fcn" in model else CONVOLUTIONAL if "cnn" in model else (*LINEAR, *CONVOLUTIONAL)
    every = ("layer_magnitude", "global_magnitude", "singular_value", *structured)
    return tuple(method for method in every if pruning[method]["ratios"])


def _layers(model: "Model") -> list[str] | None:
    """Name the layers of a built-in model."""
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
