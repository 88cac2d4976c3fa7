"""Shapes of the built-in networks, for those who need no torch."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgdtails.config.types import Model

POOL = "M"  # 2 x 2 max-pooling in a ``cnn`` list
Shapes = dict[str, tuple[int, ...]]


def fully_connected_shapes(inputs: int, hidden: Sequence[int], classes: int) -> dict[str, tuple[int, int]]:
    """Shapes (out, in) of the layers of an ``fcn`` model, by name."""
    widths = [inputs, *hidden, classes]
    names = [*(f"fc{number}" for number in range(1, len(hidden) + 1)), "head"]
    return {name: (widths[index + 1], widths[index]) for index, name in enumerate(names)}


def affordable_pools(layers: list[int | str], side: int) -> list[int | str]:
    """The list without its first pools, as many as a small image cannot be halved: MNIST's 28 pixels lose one of five."""
    surplus = max(0, layers.count(POOL) - (side.bit_length() - 1))
    kept: list[int | str] = []
    for layer in layers:
        if layer == POOL and surplus:
            surplus -= 1
        else:
            kept.append(layer)
    return kept


def convolutional_shapes(image: tuple[int, int, int], layers: list[int | str], classes: int) -> Shapes:
    """Shapes, (out, in, 3, 3) and the head's (out, in), of the layers of a ``cnn`` model, by name.

    ``image``: channels, height, width.
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
    """Shapes of the layers of an entry of the config's ``models``, by name; None of a factory's, which only building it tells.

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
