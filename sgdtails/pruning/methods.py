"""Pruning networks by magnitude, singular value, or blocks of entries (paper, sections 3.2 and A.5).

Weights are arrays by layer name, in order, the last one being the head: ``layers.weights`` gives them. Each layer is
centred on its median (or mean, or not at all), the smallest terms are removed, and the centre is added back. The head and
a convolutional first layer are left alone, unless other layers are named exempt.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sgdtails import layers
from sgdtails.arrays import Array, array_namespace
from sgdtails.config import prunable_layers
from sgdtails.errors import InputError, unknown
from sgdtails.pruning import compression
from sgdtails.pruning.forms import Columns, PrunedNetwork, whole
from sgdtails.pruning.plans import NORMS, Blocks, Entries, Own, OwnEntries, Plan, SingularValues

METHODS: dict[str, Callable[..., Plan]] = {
    "layer_magnitude": Entries,
    "global_magnitude": Entries,
    "singular_value": SingularValues,
    **{
        name: partial(Blocks, purpose=name)  # type: ignore[arg-type]
        for name in (*prunable_layers.LINEAR, *prunable_layers.CONVOLUTIONAL)
    },
}
ADAPTIVE = tuple(name for name in METHODS if name != "global_magnitude")
"""Methods that can prune each layer to one relative error. Global pruning cannot: it shares out one number of entries."""


class Pruner:
    """A network whose layers are sorted or decomposed once, to be pruned at any ratio, or to any relative error of its layers.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    method : str
        One of ``METHODS``, or any name for a method of the user's.
    p : float
        Norm by which blocks are compared.
    own : callable, optional
        The method of that name in place of ours: a function of a layer's centred weight and of how many entries to remove,
        which returns a mask of the entries that stay.
    centring : {"median", "mean", "none"}
        What is subtracted from observations before they are compared.
    exempt : sequence of str or int
        Layers left alone: ``first_convolution``, ``head``, names, or indices from 0.

    Raises
    ------
    InputError
        For an unknown method, centring or layer, p <= 0, or a layer whose weights are all equal or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> weights = {"fc1": rng.standard_normal((20, 10)), "head": rng.standard_normal((3, 20))}
    >>> pruner = Pruner(weights, method="layer_magnitude")
    >>> [pruner.at_ratio(ratio).parameters_left for ratio in (0, 0.5, 0.9)]
    [260, 160, 80]
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        *,
        method: str,
        p: float = 2.0,
        own: Own | None = None,
        centring: str = "median",
        exempt: prunable_layers.Entries = prunable_layers.PUBLISHED,
    ) -> None:
        if own is None and method not in METHODS:
            raise unknown("pruning method", method, "pruning", METHODS)
        make = METHODS[method] if own is None else partial(OwnEntries, own=own, method=method)
        self._weights, self._method = weights, method
        self._plans = {
            name: make(name, weights[name], p, centring) for name in layers.prunable(weights, method, exempt)
        }
        self._totals = {norm: math.fsum(plan.totals[norm] for plan in self._plans.values()) for norm in NORMS}
        self._counts = _global_counts(self._plans) if method == "global_magnitude" else _layer_counts(self._plans)

    def at_ratio(self, ratio: float) -> PrunedNetwork:
        """Remove all but floor((1 - ratio)*d) of d terms of each layer, or of all layers together (global_magnitude).

        Terms are entries, singular values, or a layer's columns (node), rows, kernels, filters or channels. Of equal terms the
        first are removed first. InputError for a ratio outside [0, 1].
        """
        return self._network(self._counts(ratio))

    def at_error(self, epsilon: float) -> PrunedNetwork:
        """Remove as many terms of each layer as can go at a relative l2 error of epsilon (assumption H1, Theorem 5).

        So each layer has a kappa of its own. InputError for epsilon outside [0, 1], and for methods not in ``ADAPTIVE``.
        """
        if self._method not in ADAPTIVE:
            raise InputError(
                f"pruning method {self._method!r} cannot prune each layer to one relative error; use one of: {', '.join(ADAPTIVE)}."
            )
        if not 0 <= epsilon <= 1:
            raise InputError(f"relative error {epsilon} is not in [0, 1]; give the share of each layer's norm to lose.")
        return self._network({name: compression.allowed(plan.errors, epsilon) for name, plan in self._plans.items()})

    def _network(self, counts: Mapping[str, int]) -> PrunedNetwork:
        forms = {
            name: self._plans[name].pruned(counts[name]) if name in counts else whole(weight)
            for name, weight in self._weights.items()
        }
        return PrunedNetwork(forms, frozenset(counts), self._totals)


def layer_magnitude(weights: Mapping[str, Array], ratio: float) -> PrunedNetwork:
    """Remove the entries of smallest centred magnitude from each layer.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    ratio : float
        Share of the entries to remove.

    Returns
    -------
    PrunedNetwork
        The pruned network.

    Raises
    ------
    InputError
        As for ``Pruner``.

    Examples
    --------
    >>> import numpy as np
    >>> pruned = layer_magnitude({"fc1": np.array([[1.0, -9.0], [2.0, 8.0]]), "head": np.ones((2, 2))}, 0.5)
    >>> pruned.weights()["fc1"]
    array([[ 1.5, -9. ],
           [ 1.5,  8. ]])
    """
    return Pruner(weights, method="layer_magnitude").at_ratio(ratio)


def global_magnitude(weights: Mapping[str, Array], ratio: float) -> PrunedNetwork:
    """Remove the entries of smallest centred magnitude, all layers together.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    ratio : float
        Share of the entries to remove.

    Returns
    -------
    PrunedNetwork
        The pruned network.

    Raises
    ------
    InputError
        As for ``Pruner``.

    Examples
    --------
    >>> import numpy as np
    >>> weights = {"fc1": np.diag([1.0, 2.0, 3.0]), "fc2": np.diag([40.0, 50.0, 60.0]), "head": np.ones((2, 3))}
    >>> pruned = global_magnitude(weights, 14 / 18)
    >>> {name: layer.kept for name, layer in pruned.layers.items()}
    {'fc1': 0, 'fc2': 3, 'head': 6}
    """
    return Pruner(weights, method="global_magnitude").at_ratio(ratio)


def singular_value(weights: Mapping[str, Array], ratio: float) -> PrunedNetwork:
    """Remove the smallest singular values of each layer; a convolution is the matrix (out, in*kernel size).

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    ratio : float
        Share of the singular values to remove.

    Returns
    -------
    PrunedNetwork
        The pruned network.

    Raises
    ------
    InputError
        As for ``Pruner``.

    Examples
    --------
    >>> import numpy as np
    >>> pruned = singular_value({"fc1": np.random.default_rng(0).standard_normal((8, 6)), "head": np.ones((2, 8))}, 0.5)
    >>> pruned.layers["fc1"].left.shape  # rank 3
    (8, 3)
    """
    return Pruner(weights, method="singular_value").at_ratio(ratio)


def node(weights: Mapping[str, Array], ratio: float, *, p: float = 2.0) -> PrunedNetwork:
    """Remove the columns of smallest lp norm from each linear layer.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    ratio : float
        Share of the columns to remove.
    p : float
        Norm by which columns are compared.

    Returns
    -------
    PrunedNetwork
        The pruned network.

    Raises
    ------
    InputError
        As for ``Pruner``.

    Examples
    --------
    >>> import numpy as np
    >>> pruned = node({"fc1": np.random.default_rng(0).standard_normal((8, 6)), "head": np.ones((2, 8))}, 0.5)
    >>> len(pruned.layers["fc1"].index)
    3
    """
    return Pruner(weights, method="node", p=p).at_ratio(ratio)


def kernel(weights: Mapping[str, Array], ratio: float, *, p: float = 2.0) -> PrunedNetwork:
    """Remove the kernels of smallest lp norm from each convolution.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    ratio : float
        Share of the kernels to remove.
    p : float
        Norm by which kernels are compared.

    Returns
    -------
    PrunedNetwork
        The pruned network.

    Raises
    ------
    InputError
        As for ``Pruner``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> weights = {"conv1": rng.random((2, 1, 3, 3)), "conv2": rng.random((4, 2, 3, 3)), "head": rng.random((3, 4))}
    >>> kernel(weights, 0.5).layers["conv2"].kept  # 4 of 8 kernels of 9 numbers
    36
    """
    return Pruner(weights, method="kernel", p=p).at_ratio(ratio)


def without_columns(network: PrunedNetwork) -> tuple[Array, dict[str, Array]]:
    """Make a fully connected network smaller after node pruning.

    Removed columns are left out, and so are the rows of the layer before that fed them. No median is added back, which would
    keep every row alive: the smaller network's outputs are those of the full one with its removed columns at 0.

    Parameters
    ----------
    network : PrunedNetwork
        A network pruned by columns in all its layers but the head.

    Returns
    -------
    inputs : numpy.ndarray or torch.Tensor
        Indices of the inputs that the smaller network still reads.
    weights : dict of str to numpy.ndarray or torch.Tensor
        Its layers.

    Raises
    ------
    InputError
        For any other network.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> weights = {"fc1": rng.random((8, 6)), "fc2": rng.random((4, 8)), "head": rng.random((3, 4))}
    >>> inputs, smaller = without_columns(node(weights, 0.5))
    >>> len(inputs), {name: weight.shape for name, weight in smaller.items()}
    (3, {'fc1': (4, 3), 'fc2': (4, 4), 'head': (3, 4)})
    """
    names = list(network.layers)
    forms = [network.layers[name] for name in names]
    if not all(isinstance(form, Columns) for form in forms[:-1]) or forms[-1].dense().ndim != 2:
        raise InputError("only a fully connected network after node pruning can be made smaller by its columns.")
    smaller = {}
    for name, form, following in zip(names, forms, [*forms[1:], None], strict=True):
        weight = form.weight[:, form.index] if isinstance(form, Columns) else form.dense()
        smaller[name] = weight[following.index, :] if isinstance(following, Columns) else weight
    return forms[0].index, smaller  # type: ignore[union-attr]


def _layer_counts(plans: Mapping[str, Plan]) -> Callable[[float], dict[str, int]]:
    return lambda ratio: {name: compression.removed(ratio, plan.terms) for name, plan in plans.items()}


def _global_counts(plans: Mapping[str, Any]) -> Callable[[float], dict[str, int]]:
    """Return how many entries each layer loses when the smallest of all layers are removed; of equal ones the first layer's go first."""
    parts = [plan.ordered for plan in plans.values()]
    xp = array_namespace(*parts)
    everything = layers.ascending(xp.concat(parts))

    def counts(ratio: float) -> dict[str, int]:
        left = compression.removed(ratio, len(everything))
        if left == len(everything):
            return {name: plan.terms for name, plan in plans.items()}
        threshold = everything[left : left + 1]
        bounds = {
            name: [int(xp.searchsorted(plan.ordered, threshold, side=side)[0]) for side in ("left", "right")]
            for name, plan in plans.items()
        }
        ties = left - sum(low for low, _ in bounds.values())
        result = {}
        for name, (low, high) in bounds.items():
            result[name] = low + min(ties, high - low)
            ties -= result[name] - low
        return result

    return counts
