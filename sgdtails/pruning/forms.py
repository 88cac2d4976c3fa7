"""The forms of a layer after pruning: masked, without columns, or two factors; what each costs, and how it maps its inputs.

Arrays are numpy's or torch's. Costs count numbers: a parameter, an index and a stored median are one each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sgdtails.arrays import Array, array_namespace


@dataclass(frozen=True)
class Masked:
    """A weight of full shape whose pruned entries hold their centre; for a layer that was not pruned ``kept`` is its size.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        The weight, (out, in) or (out, in, *kernel).
    kept, stored : int
        Numbers that define the layer without and with medians and indices.
    median_adds : int
        What adding the centre back costs, per output position.
    removed : mapping of float to float
        Sum of |w^ - w|^p by p.
    """

    weight: Array
    kept: int
    stored: int
    median_adds: int = 0
    removed: Mapping[float, float] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of weights before pruning."""
        return _size(self.weight)

    def dense(self) -> Array:
        """Return the weight in its first shape."""
        return self.weight

    def product(self, x: Array) -> Array:
        """Map inputs (N, in) of a linear layer to outputs (N, out)."""
        return x @ self.weight.T

    @property
    def multiply_adds(self) -> int:
        """Multiplications with addition per output position: 1 for a linear layer, height*width of the output for a convolution."""
        return self.kept + self.median_adds


@dataclass(frozen=True)
class Columns:
    """A linear weight of which some columns remain.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        The weight before pruning, (out, in).
    index : numpy.ndarray or torch.Tensor
        The columns that remain.
    median : numpy.ndarray or torch.Tensor or None
        Row medians (out,), which the other columns hold; they hold 0 without it.
    removed : mapping of float to float
        Sum of |w^ - w|^p by p.
    """

    weight: Array
    index: Array
    median: Array | None
    removed: Mapping[float, float]

    @property
    def size(self) -> int:
        """Number of weights before pruning."""
        return _size(self.weight)

    @property
    def kept(self) -> int:
        """Numbers that define the layer, without medians and indices."""
        return int(self.weight.shape[0]) * len(self.index)

    @property
    def stored(self) -> int:
        """Numbers that define the layer, with medians and indices."""
        return self.kept + len(self.index) + _length(self.median)

    @cached_property
    def _centred(self) -> Array:
        columns = array_namespace(self.weight).take(self.weight, self.index, axis=1)  # faster than [:, index]
        return columns if self.median is None else columns - self.median[:, None]

    def dense(self) -> Array:
        """Return the weight in its first shape."""
        full = array_namespace(self.weight).zeros_like(self.weight)
        if self.median is not None:
            full = full + self.median[:, None]
        full[:, self.index] = self.weight[:, self.index]
        return full

    def product(self, x: Array) -> Array:
        """Map inputs (N, in) to outputs (N, out)."""
        xp = array_namespace(x)
        product = xp.take(x, self.index, axis=1) @ self._centred.T
        if self.median is not None:
            product += xp.sum(x, axis=1)[:, None] * self.median
        return product

    @property
    def multiply_adds(self) -> int:
        """Multiplications with addition for one image."""
        return self.kept + (sum(self.weight.shape) if self.median is not None else 0)


@dataclass(frozen=True)
class Factors:
    """A matrix (m, n) as left (m, r) @ right (r, n) + column medians.

    Parameters
    ----------
    left, right : numpy.ndarray or torch.Tensor
        The factors.
    median : numpy.ndarray or torch.Tensor or None
        Column medians (n,), or None for 0.
    shape : tuple of int
        Shape of the layer's weight.
    removed : mapping of float to float
        Sum of |w^ - w|^p by p.
    """

    left: Array
    right: Array
    median: Array | None
    shape: tuple[int, ...]
    removed: Mapping[float, float]

    @property
    def size(self) -> int:
        """Number of weights before pruning."""
        return int(self.left.shape[0]) * int(self.right.shape[1])

    @property
    def kept(self) -> int:
        """r*(m+n+1): the singular values are counted, though the factors have absorbed them."""
        return len(self.right) * (sum(self._matrix_shape) + 1)

    @property
    def stored(self) -> int:
        """Numbers that define the layer, with medians."""
        return self.kept + _length(self.median)

    @property
    def _matrix_shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    @cached_property
    def _dense(self) -> Array:
        product = self.left @ self.right
        return (product if self.median is None else product + self.median).reshape(self.shape)

    def dense(self) -> Array:
        """Return the weight in its first shape."""
        return self._dense

    def product(self, x: Array) -> Array:
        """Map inputs (N, in) of a linear layer to outputs (N, out)."""
        if len(self.right) * sum(self._matrix_shape) >= self.size:
            return x @ self._dense.T
        product = (x @ self.right.T) @ self.left.T
        return product if self.median is None else product + (x @ self.median)[:, None]

    @property
    def multiply_adds(self) -> int:
        """Multiplications with addition per output position."""
        m, n = self._matrix_shape
        return len(self.right) * (m + n) + (n + m if self.median is not None else 0)


Layer = Masked | Columns | Factors


def whole(weight: Array) -> Masked:
    """Wrap a layer that is left as it is.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        The weight.

    Returns
    -------
    Masked
        The layer, with all its weights kept.

    Examples
    --------
    >>> import numpy as np
    >>> whole(np.ones((3, 4))).kept
    12
    """
    return Masked(weight, kept=_size(weight), stored=_size(weight))


@dataclass(frozen=True)
class PrunedNetwork:
    """A network's layers, of which some were subject to pruning.

    Parameters
    ----------
    layers : mapping of str to Masked, Columns or Factors
        Forms of all layers, in order.
    pruned : frozenset of str
        Names of those subject to pruning.
    totals : mapping of float to float
        By p, the sum over the pruned layers of |centred weight|^p.
    """

    layers: Mapping[str, Layer]
    pruned: frozenset[str]
    totals: Mapping[float, float]

    @property
    def _subject(self) -> list[Layer]:
        """The pruned layers in network order; iterating a set would make float sums depend on PYTHONHASHSEED."""
        return [layer for name, layer in self.layers.items() if name in self.pruned]

    @property
    def parameters_left(self) -> int:
        """Numbers that define the network, without medians and indices; layers not subject to pruning included."""
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
        """Count multiplications with addition for one image; ``positions`` are a convolution's output positions, else 1."""
        return sum(layer.multiply_adds * positions.get(name, 1) for name, layer in self.layers.items())

    def relative_error(self, p: float) -> float:
        """Compute ||w^ - w||_p / ||w||_p of the centred weights of all layers subject to pruning, for p in 1, 2."""
        return float((sum(layer.removed[p] for layer in self._subject) / self.totals[p]) ** (1 / p))

    @classmethod
    def unpruned(cls, weights: Mapping[str, Array]) -> "PrunedNetwork":
        """Wrap the layers of a network before pruning."""
        return cls({name: whole(weight) for name, weight in weights.items()}, frozenset(), {})

    def chain(self, images: Array) -> Array:
        """Compute logits (N, classes) of images (N, ...), for a fully connected network with ReLU; layers act in their cheapest form."""
        xp = array_namespace(images)
        x = xp.reshape(images, (len(images), -1))
        *hidden, head = self.layers.values()
        for layer in hidden:
            x = layer.product(x)
            xp.maximum(x, xp.zeros_like(x[:1, :1]), out=x)
        return head.product(x)

    def weights(self) -> dict[str, Array]:
        """Return every layer as an array of its first shape."""
        return {name: layer.dense() for name, layer in self.layers.items()}


def _length(median: Array | None) -> int:
    return 0 if median is None else len(median)


def _size(weight: Array) -> int:
    size = 1
    for length in weight.shape:
        size *= length
    return size
