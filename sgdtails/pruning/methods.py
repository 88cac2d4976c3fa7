"""Pruning networks by magnitude, singular value, or blocks of entries (paper, sections 3.2 and A.5).

Weights are arrays by layer name, in order, the last one being the head: ``layers.weights`` gives them. Each layer is
centred on its median (or mean, or not at all), the smallest terms are removed, and the centre is added back. The head and
a convolutional first layer are left alone, unless other layers are named exempt.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from sgdtails import layers
from sgdtails.arrays import array_namespace
from sgdtails.config import prunable_layers
from sgdtails.errors import InputError, unknown
from sgdtails.pruning import compression
from sgdtails.pruning.plans import NORMS, Blocks, Entries, Own, OwnEntries, Plan, SingularValues
from sgdtails.pruning.pruned import Columns, PrunedNetwork, whole

Array = Any  # numpy.ndarray or torch.Tensor
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
"""Methods by which each layer can be pruned to one relative error: global pruning shares out one number of entries instead."""


class Pruner:
    """A network whose layers are sorted or decomposed once, to be pruned at any ratio, or to any relative error of its layers.

    ``p`` is the norm of blocks. ``own`` is the method of that name, of entries of each layer, in place of ours. ``centring``:
    one of ``layers.CENTRINGS``. ``exempt``: as for ``layers.prunable``. InputError for an unknown method, centring or layer,
    p <= 0, or a layer whose weights are all equal or not finite.
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
        """The network less all but floor((1 - ratio)*d) of d terms: of each layer, or of all layers (global_magnitude).

        Terms are entries, singular values, or a layer's columns (node), rows, kernels, filters or channels. Of equal terms the
        first go first. InputError for a ratio outside [0, 1].
        """
        return self._network(self._counts(ratio))

    def at_error(self, epsilon: float) -> PrunedNetwork:
        """Each layer less as many of its terms as can go at a relative l2 error of at most epsilon (assumption H1, Theorem 5).

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


def sweep(weights: Mapping[str, Array], ratios: Iterable[float], **how: Any) -> Iterator[PrunedNetwork]:
    """The network pruned at each ratio; ``how`` and errors are those of ``Pruner``."""
    pruner = Pruner(weights, **how)
    for ratio in ratios:
        yield pruner.at_ratio(ratio)


def layer_magnitude(weights: Mapping[str, Array], ratio: float) -> PrunedNetwork:
    """Remove the entries of smallest centred magnitude from each layer."""
    return next(sweep(weights, [ratio], method="layer_magnitude"))


def global_magnitude(weights: Mapping[str, Array], ratio: float) -> PrunedNetwork:
    """Remove the entries of smallest centred magnitude, all layers together."""
    return next(sweep(weights, [ratio], method="global_magnitude"))


def singular_value(weights: Mapping[str, Array], ratio: float) -> PrunedNetwork:
    """Remove the smallest singular values of each layer; a convolution is the matrix (out, in*kernel size)."""
    return next(sweep(weights, [ratio], method="singular_value"))


def node(weights: Mapping[str, Array], ratio: float, *, p: float = 2.0) -> PrunedNetwork:
    """Remove the columns of smallest lp norm from each linear layer."""
    return next(sweep(weights, [ratio], method="node", p=p))


def kernel(weights: Mapping[str, Array], ratio: float, *, p: float = 2.0) -> PrunedNetwork:
    """Remove the kernels of smallest lp norm from each convolution."""
    return next(sweep(weights, [ratio], method="kernel", p=p))


def without_columns(network: PrunedNetwork) -> tuple[Array, dict[str, Array]]:
    """A fully connected network after node pruning, made smaller: the inputs it still reads, and weights by layer.

    Removed columns are gone, and so are the rows of the layer before that fed them. No median is added back, which would
    keep every row alive: the smaller network's outputs are those of the full one with its removed columns at 0.
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
    """How many entries each layer loses when the smallest of all layers go; of equal ones the first layer's go first."""
    parts = [plan.ordered for plan in plans.values()]
    xp = array_namespace(*parts)
    everything = compression.ascending(xp.concat(parts))

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
