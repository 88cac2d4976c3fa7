"""Small networks that the tests of pruning share, and their outputs in the plainest way."""

import numpy as np

from sgdtails.config import architectures
from sgdtails.pruning import methods

RATIOS = [0, 0.1, 0.35, 0.5, 0.75, 0.9, 1]


def network(widths=(12, 20, 15, 5), dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    shapes = architectures.fully_connected_shapes(widths[0], widths[1:-1], widths[-1])
    return {name: rng.standard_t(3, shape).astype(dtype) for name, shape in shapes.items()}


def at_ratios(weights, ratios, **how):
    pruner = methods.Pruner(weights, **how)
    return [pruner.at_ratio(ratio) for ratio in ratios]


def convolutional(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"conv1": (6, 1, 3, 3), "conv2": (8, 6, 3, 3), "conv3": (7, 8, 3, 3), "head": (5, 28)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def reference(weights, x):
    """Outputs of a fully connected network, in the plainest way."""
    *hidden, head = weights.values()
    for weight in hidden:
        x = np.maximum(x @ weight.T, 0)
    return x @ head.T
