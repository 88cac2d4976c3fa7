"""What a layer is after pruning: masked, without columns, or two factors; what that costs, and how it maps its inputs.

Arrays are numpy's or torch's. Costs count numbers: a parameter, an index and a stored median are one each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sgdtails.arrays import array_namespace

Array = Any  # numpy.ndarray or torch.Tensor


@dataclass(frozen=True)
class Masked:
    """A weight of full shape whose pruned entries hold their centre; a layer that was not pruned is the case kept = size."""

    weight: Array
    kept: int
    stored: int
    median_adds: int = 0  # per output position: what adding the centre back costs
    removed: Mapping[float, float] = field(default_factory=dict)  # p: sum of |w^ - w|^p

    @property
    def size(self) -> int:
        return _size(self.weight)

    def dense(self) -> Array:
        return self.weight

    def product(self, x: Array) -> Array:
        """(N, in) to (N, out) of a linear layer."""
        return x @ self.weight.T

    @property
    def multiply_adds(self) -> int:
        """Per output position: 1 for a linear layer, height*width of the output for a convolution."""
        return self.kept + self.median_adds


@dataclass(frozen=True)
class Columns:
    """A linear weight (out, in) of which ``index`` columns remain; the others hold the row medians (out,), or 0 (None)."""

    weight: Array
    index: Array
    median: Array | None
    removed: Mapping[float, float]

    @property
    def size(self) -> int:
        return _size(self.weight)

    @property
    def kept(self) -> int:
        return self.weight.shape[0] * len(self.index)

    @property
    def stored(self) -> int:
        return self.kept + len(self.index) + _length(self.median)

    @cached_property
    def _centred(self) -> Array:
        columns = array_namespace(self.weight).take(self.weight, self.index, axis=1)  # faster than [:, index]
        return columns if self.median is None else columns - self.median[:, None]

    def dense(self) -> Array:
        full = array_namespace(self.weight).zeros_like(self.weight)
        if self.median is not None:
            full = full + self.median[:, None]
        full[:, self.index] = self.weight[:, self.index]
        return full

    def product(self, x: Array) -> Array:
        xp = array_namespace(x)
        product = xp.take(x, self.index, axis=1) @ self._centred.T
        if self.median is not None:
            product += xp.sum(x, axis=1)[:, None] * self.median
        return product

    @property
    def multiply_adds(self) -> int:
        return self.kept + (sum(self.weight.shape) if self.median is not None else 0)


@dataclass(frozen=True)
class Factors:
    """A matrix (m, n) as left (m, r) @ right (r, n) + the column medians (n,), or 0 (None); ``shape``: of the layer's weight."""

    left: Array
    right: Array
    median: Array | None
    shape: tuple[int, ...]
    removed: Mapping[float, float]

    @property
    def size(self) -> int:
        return self.left.shape[0] * self.right.shape[1]

    @property
    def kept(self) -> int:
        """r*(m+n+1): the singular values are counted, though the factors have absorbed them."""
        return len(self.right) * (sum(self._matrix_shape) + 1)

    @property
    def stored(self) -> int:
        return self.kept + _length(self.median)

    @property
    def _matrix_shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    @cached_property
    def _dense(self) -> Array:
        product = self.left @ self.right
        return (product if self.median is None else product + self.median).reshape(self.shape)

    def dense(self) -> Array:
        return self._dense

    def product(self, x: Array) -> Array:
        if len(self.right) * sum(self._matrix_shape) >= self.size:
            return x @ self._dense.T
        product = (x @ self.right.T) @ self.left.T
        return product if self.median is None else product + (x @ self.median)[:, None]

    @property
    def multiply_adds(self) -> int:
        m, n = self._matrix_shape
        return len(self.right) * (m + n) + (n + m if self.median is not None else 0)


Layer = Masked | Columns | Factors


def whole(weight: Array) -> Masked:
    """A layer that is left as it is."""
    return Masked(weight, kept=_size(weight), stored=_size(weight))


@dataclass(frozen=True)
class PrunedNetwork:
    """A network's layers by name, in order, of which ``pruned`` were subject to pruning."""

    layers: Mapping[str, Layer]
    pruned: frozenset[str]
    totals: Mapping[float, float]  # p: sum over the pruned layers of |centred weight|^p

    @property
    def _subject(self) -> list[Layer]:
        """The layers subject to pruning, in order: that of a set, and a sum over it, changes from process to process."""
        return [layer for name, layer in self.layers.items() if name in self.pruned]

    @property
    def parameters_left(self) -> int:
        """Numbers that define the network, medians and indices aside; layers not subject to pruning included."""
        return sum(layer.kept for layer in self.layers.values())

    @property
    def pruned_ratio(self) -> float:
        """1 - kappa over the layers subject to pruning; negative where factors hold more numbers than their matrix."""
        return 1 - sum(layer.kept for layer in self._subject) / sum(layer.size for layer in self._subject)

    @property
    def stored_parameters(self) -> int:
        """Numbers needed to store the network in this form: medians and indices included."""
        return sum(layer.stored for layer in self.layers.values())

    def multiply_adds(self, positions: Mapping[str, int]) -> int:
        """Multiplications with addition for one image; ``positions`` are a convolution's output positions, else 1."""
        return sum(layer.multiply_adds * positions.get(name, 1) for name, layer in self.layers.items())

    def relative_error(self, p: float) -> float:
        """||w^ - w||_p / ||w||_p of the centred weights of all layers subject to pruning, for p in 1, 2."""
        return (sum(layer.removed[p] for layer in self._subject) / self.totals[p]) ** (1 / p)

    @classmethod
    def unpruned(cls, weights: Mapping[str, Array]) -> "PrunedNetwork":
        """The network before pruning."""
        return cls({name: whole(weight) for name, weight in weights.items()}, frozenset(), {})

    def chain(self, images: Array) -> Array:
        """Logits (N, classes) of images (N, ...), for a fully connected network with ReLU; layers act in their cheapest form."""
        xp = array_namespace(images)
        x = xp.reshape(images, (len(images), -1))
        *hidden, head = self.layers.values()
        for layer in hidden:
            x = layer.product(x)
            xp.maximum(x, xp.zeros_like(x[:1, :1]), out=x)
        return head.product(x)

    def weights(self) -> dict[str, Array]:
        """Every layer as an array of its first shape."""
        return {name: layer.dense() for name, layer in self.layers.items()}


def _length(median: Array | None) -> int:
    return 0 if median is None else len(median)


def _size(weight: Array) -> int:
    size = 1
    for length in weight.shape:
        size *= length
    return size
