"""Shapes of the built-in networks, computed without torch."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgdtails.config.types import Model

POOL = "M"  # 2 x 2 max-pooling in a ``cnn`` list
Shapes = dict[str, tuple[int, ...]]


def fully_connected_shapes(inputs: int, hidden: Sequence[int], classes: int) -> dict[str, tuple[int, int]]:
    """Compute the shapes of the layers of an ``fcn`` model.

    Parameters
    ----------
    inputs
        Numbers in an image.
    hidden
        Widths of the hidden layers.
    classes
        Number of classes.

    Returns
    -------
    dict
        (out, in) of each layer, by name.

    Examples
    --------
    >>> fully_connected_shapes(784, [2048], 10)
    {'fc1': (2048, 784), 'head': (10, 2048)}
    """
    widths = [inputs, *hidden, classes]
    names = [*(f"fc{number}" for number in range(1, len(hidden) + 1)), "head"]
    return {name: (widths[index + 1], widths[index]) for index, name in enumerate(names)}


def affordable_pools(layers: list[int | str], side: int) -> list[int | str]:
    """Leave out the first pools of a ``cnn`` list, as many as a small image cannot be halved.

    Parameters
    ----------
    layers
        Numbers of filters, and ``POOL`` for 2 x 2 max-pooling.
    side
        The shorter side of an image, in pixels.

    Examples
    --------
    >>> affordable_pools([4, "M", 8, "M"], side=2)
    [4, 8, 'M']
    """
    surplus = max(0, layers.count(POOL) - (side.bit_length() - 1))
    kept: list[int | str] = []
    for layer in layers:
        if layer == POOL and surplus:
            surplus -= 1
        else:
            kept.append(layer)
    return kept


def convolutional_shapes(image: tuple[int, int, int], layers: list[int | str], classes: int) -> Shapes:
    """Compute the shapes of the layers of a ``cnn`` model.

    Parameters
    ----------
    image
        Channels, height and width.
    layers
        Numbers of filters, and ``POOL`` for 2 x 2 max-pooling.
    classes
        Number of classes.

    Returns
    -------
    dict
        (out, in, 3, 3) of each convolution and (out, in) of the head, by name.

    Examples
    --------
    >>> convolutional_shapes((1, 8, 8), [4, "M"], 10)
    {'conv1': (4, 1, 3, 3), 'head': (10, 64)}
    """
    channels, height, width = image
    found: Shapes = {}
    for layer in affordable_pools(layers, min(height, width)):
        if isinstance(layer, str):
            height, width = height // 2, width // 2
        else:
            found[f"conv{len(found) + 1}"] = (layer, channels, 3, 3)
            channels = layer
    return found | {"head": (classes, channels * height * width)}


def layer_shapes(spec: "Model", image: tuple[int, int, int], classes: int) -> Shapes | None:
    """Compute the shapes of the layers of an entry of config key ``models``.

    Parameters
    ----------
    spec
        The entry.
    image
        Channels, height and width.
    classes
        Number of classes.

    Returns
    -------
    dict or None
        Shapes by name; None of a factory's network, which only building it tells.

    Examples
    --------
    >>> layer_shapes({"fcn": [16]}, (1, 8, 8), 10)
    {'fc1': (16, 64), 'head': (10, 16)}
    """
    if "fcn" in spec:
        return dict(fully_connected_shapes(math.prod(image), spec["fcn"], classes))
    return convolutional_shapes(image, spec["cnn"], classes) if "cnn" in spec else None


def width_and_depth(model: "Model") -> dict[str, str | int | None]:
    """Find the kind of a model, the width of its widest hidden layer and the number of its hidden layers.

    Parameters
    ----------
    model
        An entry of config key ``models``.

    Returns
    -------
    dict
        ``kind`` (fcn, cnn or factory), ``width`` and ``depth``; these are None of a factory's network, which only building it tells.

    Examples
    --------
    >>> width_and_depth({"cnn": [16, "M", 32]})
    {'kind': 'cnn', 'width': 32, 'depth': 2}
    """
    widths = model.get("fcn") or [layer for layer in model.get("cnn", ()) if isinstance(layer, int)]
    kind = next((kind for kind in ("fcn", "cnn") if kind in model), "factory")
    return {"kind": kind, "width": max(widths, default=None), "depth": len(widths) or None}
