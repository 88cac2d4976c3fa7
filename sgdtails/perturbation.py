"""Lemma 1: how far the outputs of a fully connected network can move when its weights do, and how far they move (paper, C.1, C.2)."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import prunable_layers, pruning
from sgdtails.data import Split
from sgdtails.evaluation import batches
from sgdtails.pruned import PrunedNetwork

Weights = Mapping[str, NDArray]


def layer_bound(norms: Sequence[float], errors: Sequence[float], reach: float) -> float:
    """(C.1): B*(prod(1 + eps_l) - 1)*prod||w_l||, for layer norms ||w_l||, relative errors eps_l and images of norm at most B."""
    growth = math.expm1(sum(math.log1p(error) for error in errors))
    return reach * growth * math.prod(norms)


def network_bound(norm: float, error: float, layers: int, reach: float) -> float:
    """(C.2): B*((1 + eps)^L - 1)*(R/sqrt(L))^L, for a network of norm at most R whose layers all move by eps at most."""
    return reach * math.expm1(layers * math.log1p(error)) * (norm / math.sqrt(layers)) ** layers


def distances(weights: Weights, moved: Weights) -> tuple[list[float], list[float]]:
    """Per layer, the norm ||w_l|| and the relative error ||w^_l - w_l||/||w_l||, of the weights as they are, not centred."""
    norms = [_norm(weight) for weight in weights.values()]
    pairs = zip(weights, norms, strict=True)
    return norms, [_norm(moved[name].astype(np.float64) - weights[name]) / norm for name, norm in pairs]


def logits(network: Callable[[Any], Any], split: Split) -> NDArray[np.float64]:
    """What a network that maps images to logits gives for each image of a split (N, classes)."""
    return np.concatenate([network(images).astype(np.float64) for images, _ in batches(split)])


def reach(split: Split) -> float:
    """B: the largest Euclidean norm of an image as the network sees it."""
    return max(float(np.linalg.norm(images.reshape(len(images), -1), axis=1).max()) for images, _ in batches(split))


def rows(
    weights: Weights,
    split: Split,
    *,
    ratios: Iterable[float],
    centring: str = "median",
    exempt: prunable_layers.Entries = prunable_layers.PUBLISHED,
) -> Iterator[dict[str, Any]]:
    """Rows of table ``perturbation`` (less run, dataset, model and weights): one per ratio of layer-wise magnitude pruning.

    B is the largest norm of an image of the split. ``centring``, ``exempt`` and InputError: as for ``pruning.Pruner``.
    """
    ratios = list(ratios)
    largest = reach(split)
    before = logits(PrunedNetwork.unpruned(weights).chain, split)
    networks = pruning.sweep(weights, ratios, method="layer_magnitude", centring=centring, exempt=exempt)
    for ratio, pruned in zip(ratios, networks, strict=True):
        norms, errors = distances(weights, pruned.weights())
        measured = float(np.linalg.norm(logits(pruned.chain, split) - before, axis=1).max())
        norm, error = math.hypot(*norms), max(errors)
        bound = layer_bound(norms, errors, largest)
        yield {
            "ratio": ratio,
            "depth": len(norms),
            "reach": largest,
            "norm": norm,
            "epsilon": error,
            "measured": measured,
            "bound_layers": bound,
            "bound_network": network_bound(norm, error, len(norms), largest),
            "share": measured / bound if bound > 0 else None,
        }


def _norm(array: NDArray) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))
