"""Small networks that the tests of pruning share, and their outputs in the plainest way."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sgdtails.config import architectures
from sgdtails.pruning import methods
from sgdtails.pruning.forms import PrunedNetwork

RATIOS = [0, 0.1, 0.35, 0.5, 0.75, 0.9, 1]


def network(
    widths: Sequence[int] = (12, 20, 15, 5), dtype: DTypeLike = np.float32, seed: int = 0
) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    shapes = architectures.fully_connected_shapes(widths[0], widths[1:-1], widths[-1])
    return {name: rng.standard_t(3, shape).astype(dtype) for name, shape in shapes.items()}


def at_ratios(weights: Mapping[str, NDArray[Any]], ratios: Iterable[float], **how: Any) -> list[PrunedNetwork]:
    pruner = methods.Pruner(weights, **how)
    return [pruner.at_ratio(ratio) for ratio in ratios]


def convolutional(seed: int = 0) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    shapes = {"conv1": (6, 1, 3, 3), "conv2": (8, 6, 3, 3), "conv3": (7, 8, 3, 3), "head": (5, 28)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def reference(weights: Mapping[str, NDArray[Any]], x: NDArray[Any]) -> NDArray[Any]:
    """Outputs of a fully connected network, in the plainest way."""
    *hidden, head = weights.values()
    for weight in hidden:
        x = np.maximum(x @ weight.T, 0)
    outputs: NDArray[Any] = x @ head.T
    return outputs
