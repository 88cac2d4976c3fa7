"""Lemma 1: how far the outputs of a fully connected network can move when its weights do, and how far they move (paper, C.1, C.2)."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from sgdtails.arrays import Array, Floats, Row, array_namespace, to_device
from sgdtails.config import prunable_layers
from sgdtails.data.datasets import Split
from sgdtails.pruning import methods
from sgdtails.pruning.forms import PrunedNetwork
from sgdtails.training.evaluation import batches

Weights = Mapping[str, Array]


def layer_bound(norms: Sequence[float], errors: Sequence[float], reach: float) -> float:
    """Compute (C.1): B*(prod(1 + eps_l) - 1)*prod||w_l||.

    Parameters
    ----------
    norms : sequence of float
        Norm ||w_l|| of each layer.
    errors : sequence of float
        Relative error eps_l of each layer.
    reach : float
        The largest norm of an image, B.

    Returns
    -------
    float
        The largest distance of outputs.

    Examples
    --------
    >>> round(layer_bound([1.0, 2.0], [0.1, 0.1], 3.0), 6)
    1.26
    """
    growth = math.expm1(sum(math.log1p(error) for error in errors))
    return reach * growth * math.prod(norms)


def network_bound(norm: float, error: float, layers: int, reach: float) -> float:
    """Compute (C.2): B*((1 + eps)^L - 1)*(R/sqrt(L))^L.

    Parameters
    ----------
    norm : float
        Norm of the network, at most R.
    error : float
        The largest relative error of a layer, eps.
    layers : int
        Number of layers, L.
    reach : float
        The largest norm of an image, B.

    Returns
    -------
    float
        The largest distance of outputs.

    Examples
    --------
    >>> round(network_bound(2.0, 0.1, 4, 3.0), 4)
    1.3923
    """
    return reach * math.expm1(layers * math.log1p(error)) * (norm / math.sqrt(layers)) ** layers


def layer_norms(weights: Weights) -> list[float]:
    """Compute ||w_l|| of each layer, of the weights as they are, not centred.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order.

    Returns
    -------
    list of float
        Norms.

    Examples
    --------
    >>> layer_norms({"fc1": np.array([[3.0, 4.0]])})
    [5.0]
    """
    return [_norm(_exact(weight)) for weight in weights.values()]


def distances(weights: Weights, moved: Weights) -> list[float]:
    """Compute ||w^_l - w_l|| of each layer; 0 at once for a layer that is the same array in both.

    Parameters
    ----------
    weights, moved : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, before and after.

    Returns
    -------
    list of float
        Distances.

    Examples
    --------
    >>> distances({"fc1": np.array([[3.0, 4.0]])}, {"fc1": np.array([[3.0, 0.0]])})
    [4.0]
    """
    pairs = ((moved[name], weight) for name, weight in weights.items())
    return [0.0 if after is before else _norm(_exact(after) - _exact(before)) for after, before in pairs]


def logits(network: Callable[[Array], Array], split: Split) -> Floats:
    """Compute the logits of each image of a split.

    Parameters
    ----------
    network : callable
        Function that maps images to logits, (N, classes).
    split : Split
        Images.

    Returns
    -------
    numpy.ndarray
        Logits, float64 (N, classes).
    """
    return np.concatenate([_numpy(network(images)) for images, _ in batches(split)])


def reach(split: Split) -> float:
    """Compute B: the largest Euclidean norm of an image as the network sees it.

    Parameters
    ----------
    split : Split
        Images.

    Returns
    -------
    float
        The norm.
    """
    return max(_largest_norm(images) for images, _ in batches(split))


def perturbation_rows(
    weights: Weights,
    split: Split,
    *,
    ratios: Iterable[float],
    centring: str = "median",
    exempt: prunable_layers.Entries = prunable_layers.PUBLISHED,
) -> Iterator[Row]:
    """Make the rows of table ``perturbation``: one per ratio of layer-wise magnitude pruning.

    B, and the largest distance of outputs, are over the images of the split.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    split : Split
        Images, on the device of the weights.
    ratios : iterable of float
        Shares of entries to remove.
    centring : {"median", "mean", "none"}
        What is subtracted from entries before they are compared.
    exempt : sequence of str or int
        Layers left alone (``methods.Pruner``).

    Yields
    ------
    dict
        Columns of table ``perturbation``, without run, dataset, model and weights.

    Raises
    ------
    InputError
        As for ``methods.Pruner``.
    """
    largest, norms = reach(split), layer_norms(weights)
    norm = math.hypot(*norms)
    before = logits(PrunedNetwork.unpruned(weights).chain, split)
    pruner = methods.Pruner(weights, method="layer_magnitude", centring=centring, exempt=exempt)
    for ratio in ratios:
        pruned = pruner.at_ratio(ratio)
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


def _exact(array: Array) -> Array:
    xp = array_namespace(array)
    return xp.astype(array, xp.float64)


def _norm(array: Array) -> float:
    return float(array_namespace(array).linalg.vector_norm(array))


def _largest_norm(images: Array) -> float:
    xp = array_namespace(images)
    return float(xp.max(xp.linalg.vector_norm(xp.reshape(images, (len(images), -1)), axis=1)))


def _numpy(array: Array) -> Floats:
    return np.asarray(to_device(array, "cpu"), dtype=np.float64)
