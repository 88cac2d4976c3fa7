"""Lemma 1: how far the outputs of a fully connected network can move when its weights do, and how far they move (paper, C.1, C.2)."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.arrays import array_namespace, to_device
from sgdtails.config import prunable_layers
from sgdtails.data.datasets import Split
from sgdtails.pruning import methods as pruning
from sgdtails.pruning.pruned import PrunedNetwork
from sgdtails.training.evaluation import batches

Weights = Mapping[str, Any]  # numpy.ndarray or torch.Tensor


def layer_bound(norms: Sequence[float], errors: Sequence[float], reach: float) -> float:
    """(C.1): B*(prod(1 + eps_l) - 1)*prod||w_l||, for layer norms ||w_l||, relative errors eps_l and images of norm at most B."""
    growth = math.expm1(sum(math.log1p(error) for error in errors))
    return reach * growth * math.prod(norms)


def network_bound(norm: float, error: float, layers: int, reach: float) -> float:
    """(C.2): B*((1 + eps)^L - 1)*(R/sqrt(L))^L, for a network of norm at most R whose layers all move by eps at most."""
    return reach * math.expm1(layers * math.log1p(error)) * (norm / math.sqrt(layers)) ** layers


def layer_norms(weights: Weights) -> list[float]:
    """||w_l|| of each layer, of the weights as they are, not centred."""
    return [_norm(_exact(weight)) for weight in weights.values()]


def distances(weights: Weights, moved: Weights) -> list[float]:
    """||w^_l - w_l|| of each layer; 0 at once for a layer that is the same array in both."""
    pairs = ((moved[name], weight) for name, weight in weights.items())
    return [0.0 if after is before else _norm(_exact(after) - _exact(before)) for after, before in pairs]


def logits(network: Callable[[Any], Any], split: Split) -> NDArray[np.float64]:
    """What a network that maps images to logits gives for each image of a split (N, classes)."""
    return np.concatenate([_numpy(network(images)) for images, _ in batches(split)])


def reach(split: Split) -> float:
    """B: the largest Euclidean norm of an image as the network sees it."""
    return max(_largest_norm(images) for images, _ in batches(split))


def rows(
    weights: Weights,
    split: Split,
    *,
    ratios: Iterable[float],
    centring: str = "median",
    exempt: prunable_layers.Entries = prunable_layers.PUBLISHED,
) -> Iterator[dict[str, Any]]:
    """Rows of table ``perturbation`` (less run, dataset, model and weights): one per ratio of layer-wise magnitude pruning.

    B, and the largest distance of outputs, are over the images of the split. Weights and split are numpy's or on one torch
    device. ``centring``, ``exempt`` and InputError: as for ``pruning.Pruner``.
    """
    ratios = list(ratios)
    largest, norms = reach(split), layer_norms(weights)
    norm = math.hypot(*norms)
    before = logits(PrunedNetwork.unpruned(weights).chain, split)
    networks = pruning.sweep(weights, ratios, method="layer_magnitude", centring=centring, exempt=exempt)
    for ratio, pruned in zip(ratios, networks, strict=True):
        moves = distances(weights, pruned.weights())
        errors = [move / length for move, length in zip(moves, norms, strict=True)]
        measured = float(np.linalg.norm(logits(pruned.chain, split) - before, axis=1).max())
        error = max(errors)
        bound = layer_bound(norms, errors, largest)
        yield {
            "ratio": ratio,
            "images": len(split),
            "depth": len(norms),
            "reach": largest,
            "norm": norm,
            "epsilon": error,
            "measured": measured,
            "bound_layers": bound,
            "bound_network": network_bound(norm, error, len(norms), largest),
            "share": measured / bound if bound > 0 else None,
        }


def _exact(array: Any) -> Any:
    xp = array_namespace(array)
    return xp.astype(array, xp.float64)


def _norm(array: Any) -> float:
    return float(array_namespace(array).linalg.vector_norm(array))


def _largest_norm(images: Any) -> float:
    xp = array_namespace(images)
    return float(xp.max(xp.linalg.vector_norm(xp.reshape(images, (len(images), -1)), axis=1)))


def _numpy(array: Any) -> NDArray[np.float64]:
    return np.asarray(to_device(array, "cpu"), dtype=np.float64)
