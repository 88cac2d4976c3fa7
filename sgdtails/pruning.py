"""Pruning networks by magnitude, singular value, node or kernel (paper, sections 3.2 and A.5).

Weights are arrays by layer name, in order, the last one being the head: ``layers.weights`` gives them. Each layer is
centred on its median, the smallest terms are removed, and the median is added back. The head and a convolutional first
layer are left alone.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, to_device
from numpy.typing import NDArray

from sgdtails import compression, layers
from sgdtails.errors import InputError, unknown
from sgdtails.pruned import Columns, Factors, Layer, Masked, PrunedNetwork, whole

Array = Any  # numpy.ndarray or torch.Tensor
NORMS = (1.0, 2.0)  # the relative errors that are reported
Own = Callable[[NDArray, int], NDArray]  # a centred weight and how many entries to remove, to a mask of what stays


def sweep(
    weights: Mapping[str, Array], ratios: Iterable[float], *, method: str, p: float = 2.0, own: Own | None = None
) -> Iterator[PrunedNetwork]:
    """The network pruned at each ratio, sorted or decomposed once; p is the norm of nodes and kernels.

    A ratio removes all but floor((1 - ratio)*d) of d terms: entries of each layer (layer_magnitude) or of all layers
    (global_magnitude), singular values, columns of linear layers (node) or kernels of convolutions (kernel). Of equal
    terms the first go first. ``own`` is the method of that name, of entries of each layer, in place of ours. InputError for
    a ratio outside [0, 1], p <= 0, or a layer whose weights are all equal or not finite.
    """
    if own is None and method not in METHODS:
        raise unknown("pruning method", method, "pruning", METHODS)
    make = METHODS[method] if own is None else partial(_Own, own=own, method=method)
    subject = {name: weights[name] for name in layers.prunable(weights, method)}
    plans = {name: make(name, weight, p) for name, weight in subject.items()}
    totals = {norm: math.fsum(plan.totals[norm] for plan in plans.values()) for norm in NORMS}
    count = _global_counts(plans) if method == "global_magnitude" else _layer_counts(plans)
    for ratio in ratios:
        counts = count(ratio)
        forms = {
            name: plans[name].pruned(counts[name]) if name in plans else whole(weight)
            for name, weight in weights.items()
        }
        yield PrunedNetwork(forms, frozenset(plans), totals)


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


class _Plan:
    """One layer, sorted once: its terms can be removed at any ratio."""

    terms: int
    totals: Mapping[float, float]

    def pruned(self, count: int) -> Layer:
        """The layer without its ``count`` smallest terms."""
        raise NotImplementedError


class _Entries(_Plan):
    def __init__(self, name: str, weight: Array, p: float) -> None:
        flat = layers.observations(weight, "univariate")
        self.weight, self.terms, self.median = weight, len(flat), compression.median(flat)
        self.magnitudes = array_namespace(flat).abs(flat - self.median)
        self.ordered = compression.ascending(self.magnitudes)
        self.totals = _checked(name, compression.power_sums(self.ordered, NORMS))

    def pruned(self, count: int) -> Masked:
        kept = compression.mask(self.magnitudes, self.ordered, count).reshape(self.weight.shape)
        return self._masked(kept, self.terms - count, compression.power_sums(self.ordered[:count], NORMS))

    def _masked(self, kept: Array, left: int, removed: Mapping[float, float]) -> Masked:
        return Masked(
            array_namespace(self.weight).where(kept, self.weight, self.median),
            kept=left,
            stored=2 * left + 1,
            median_adds=_median_adds(self.weight),
            removed=removed,
        )


class _Own(_Entries):
    """Entries, by a function of the user's."""

    def __init__(self, name: str, weight: Array, p: float, *, own: Own, method: str) -> None:
        super().__init__(name, weight, p)
        self.own, self.method = own, method

    def pruned(self, count: int) -> Masked:
        xp = array_namespace(self.weight)
        found = self.own(np.asarray(to_device(self.weight - self.median, "cpu")), count)
        try:
            mask = np.asarray(found)
        except (TypeError, ValueError, RuntimeError):  # of ragged lists, or of a tensor that needs a gradient
            mask = np.empty(0, dtype=object)
        shape = tuple(self.weight.shape)
        if mask.dtype != bool or mask.shape != shape:
            raise InputError(
                f"config key pruning.own.{self.method}: it gave {mask.dtype} of shape {mask.shape}; it must give booleans of the weight's shape {shape}."
            )
        kept = xp.asarray(mask, device=device(self.weight))
        removed = compression.power_sums(self.magnitudes[~xp.reshape(kept, (-1,))], NORMS)
        return self._masked(kept, int(mask.sum()), removed)


class _SingularValues(_Plan):
    def __init__(self, name: str, weight: Array, p: float) -> None:
        matrix = layers.observations(weight, "singular_value")
        xp = array_namespace(matrix)
        self.shape, self.terms, self.median = tuple(weight.shape), min(matrix.shape), compression.median(matrix)
        self.centred = matrix - self.median
        exact = xp.astype(self.centred, xp.float64)
        wide = matrix.shape[0] <= matrix.shape[1]
        # The Gram matrix of the shorter side, in float64: several times faster than a decomposition of the layer, and
        # its error, a relative 1e-8 of the largest singular value, is below that of float32 weights.
        vectors = xp.flip(xp.linalg.eigh(exact @ exact.T if wide else exact.T @ exact).eigenvectors, axis=1)
        factors = (vectors, vectors.T @ exact) if wide else (exact @ vectors, vectors.T)
        self.left, self.right = (xp.astype(factor, matrix.dtype) for factor in factors)
        self.totals = _checked(name, compression.power_sums(self.centred, NORMS))

    def pruned(self, count: int) -> Factors:
        rank = self.terms - count
        left, right = self.left[:, :rank], self.right[:rank, :]
        removed = compression.power_sums(self.centred - left @ right, NORMS)
        return Factors(left, right, self.median, self.shape, removed)


class _Blocks(_Plan):
    """Columns of a linear layer or kernels of a convolution, by their lp norm."""

    def __init__(self, name: str, weight: Array, p: float) -> None:
        self.weight = weight
        sample = layers.observations(weight, "node" if weight.ndim == 2 else "kernel")
        self.terms, self.median = len(sample), compression.median(sample)
        centred = sample - self.median
        self.norms = compression.column_norms(centred, p)
        self.ordered = compression.ascending(self.norms)
        self.powers = {norm: compression.column_norms(centred, norm) ** norm for norm in NORMS}
        xp = array_namespace(sample)
        self.totals = _checked(name, {norm: float(xp.sum(powers)) for norm, powers in self.powers.items()})

    def pruned(self, count: int) -> Columns | Masked:
        kept = compression.mask(self.norms, self.ordered, count)
        xp = array_namespace(kept)
        removed = {norm: float(xp.sum(powers[~kept])) for norm, powers in self.powers.items()}
        if self.weight.ndim == 2:
            return Columns(self.weight, xp.nonzero(kept)[0], self.median, removed)
        sample = layers.observations(self.weight, "kernel")
        size, left = len(self.median), self.terms - count
        return Masked(
            xp.where(kept[:, None], sample, self.median).reshape(self.weight.shape),
            kept=size * left,
            stored=size * left + left + size,
            median_adds=_median_adds(self.weight),
            removed=removed,
        )


METHODS: dict[str, type[Any]] = {
    "layer_magnitude": _Entries,
    "global_magnitude": _Entries,
    "singular_value": _SingularValues,
    "node": _Blocks,
    "kernel": _Blocks,
}


def _checked(name: str, totals: dict[float, float]) -> dict[float, float]:
    if not all(math.isfinite(total) for total in totals.values()):
        raise InputError(f"layer {name!r}: its weights are not all finite; prune a network that did not diverge.")
    if not all(total > 0 for total in totals.values()):
        raise InputError(
            f"layer {name!r}: all its observations are equal, so none is smaller than another; leave it out."
        )
    return totals


def _median_adds(weight: Array) -> int:
    """Adding a median back, per output position: the inputs are summed, the sum is spread over the outputs."""
    outputs, inputs, *kernel_shape = weight.shape
    return inputs + outputs + (math.prod(kernel_shape) if kernel_shape else 0)


def _layer_counts(plans: Mapping[str, _Plan]) -> Callable[[float], dict[str, int]]:
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
