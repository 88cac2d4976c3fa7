"""One layer, sorted or decomposed once, so that any number of its smallest terms can be removed.

Terms are entries, singular values, or blocks of entries (columns, rows, kernels, filters, channels). A plan centres the layer's
observations, ranks its terms, and says what removing the first so many costs in relative error. Arrays are numpy's or torch's.
"""

import math
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np

from sgdtails import layers
from sgdtails.arrays import AnyArray, Array, Floats, array_namespace, device, to_device
from sgdtails.errors import InputError
from sgdtails.pruning.compression import column_norms, mask, power_sums, relative_errors
from sgdtails.pruning.forms import Columns, Factors, Layer, Masked

NORMS = (1.0, 2.0)  # the relative errors that are reported
# From a centred weight and how many entries to remove to a mask of what stays.
Own = Callable[[AnyArray, int], AnyArray]


class Plan:
    """A layer's ``terms``, and the p-th powers of its centred norm for each of ``NORMS``."""

    terms: int
    totals: Mapping[float, float]

    @cached_property
    def errors(self) -> Floats:
        """Relative l2 errors of removing the k smallest terms, k = 0...terms, (terms + 1,), never decreasing.

        They are computed in numpy whatever the device: a GPU's running sums differ from one call to the next, and torch refuses them.
        """
        raise NotImplementedError

    def pruned(self, count: int) -> Layer:
        """Remove the ``count`` smallest terms of the layer."""
        raise NotImplementedError


class Entries(Plan):
    """Single entries, by their centred magnitude.

    Parameters
    ----------
    name : str
        Name of the layer, for messages.
    weight : numpy.ndarray or torch.Tensor
        The layer, (out, in) or (out, in, *kernel).
    p : float
        Not used: entries and singular values have no norm to choose.
    centring : {"median", "mean", "none"}
        What is subtracted from observations.

    Raises
    ------
    InputError
        For weights that are not all finite, or observations that are all equal.
    """

    def __init__(self, name: str, weight: Array, p: float, centring: str) -> None:
        flat = layers.observations(weight, "univariate")
        self.weight, self.terms, self.centring = weight, len(flat), centring
        self.median = layers.middle(flat, centring)
        self.magnitudes = array_namespace(flat).abs(flat - self.median)
        self.ordered = layers.ascending(self.magnitudes)
        self.totals = _checked(name, power_sums(self.ordered, NORMS))

    @cached_property
    def errors(self) -> Floats:
        """See ``Plan``."""
        errors: Floats = relative_errors(_numpy(self.ordered), 2.0)
        return errors

    def pruned(self, count: int) -> Masked:
        """Remove the ``count`` smallest entries."""
        kept = mask(self.magnitudes, self.ordered, count).reshape(self.weight.shape)
        return self._masked(kept, self.terms - count, power_sums(self.ordered[:count], NORMS))

    def _masked(self, kept: Array, left: int, removed: Mapping[float, float]) -> Masked:
        return Masked(
            array_namespace(self.weight).where(kept, self.weight, self.median),
            kept=left,
            stored=2 * left + (self.centring != "none"),
            median_adds=_centre_adds(self.weight, "univariate", self.centring),
            removed=removed,
        )


class OwnEntries(Entries):
    """Entries, by a function of the user's.

    Parameters
    ----------
    name : str
        Name of the layer, for messages.
    weight : numpy.ndarray or torch.Tensor
        The layer, (out, in) or (out, in, *kernel).
    p : float
        Not used: entries and singular values have no norm to choose.
    centring : {"median", "mean", "none"}
        What is subtracted from observations.
    own : callable
        The function: of the centred weight and of how many entries to remove, it returns a mask of those that stay.
    method : str
        Its name in the config, for messages.

    Raises
    ------
    InputError
        For weights that are not all finite, or observations that are all equal.
    """

    def __init__(self, name: str, weight: Array, p: float, centring: str, *, own: Own, method: str) -> None:
        super().__init__(name, weight, p, centring)
        self.own, self.method = own, method

    def pruned(self, count: int) -> Masked:
        """Remove the ``count`` entries that the user's function chooses. InputError if it does not return a mask."""
        xp = array_namespace(self.weight)
        found = self.own(_numpy(self.weight - self.median), count)
        try:
            chosen = np.asarray(found)
        except (TypeError, ValueError, RuntimeError):  # ragged lists, or a tensor that needs a gradient
            chosen = np.empty(0, dtype=object)
        shape = tuple(self.weight.shape)
        if chosen.dtype != bool or chosen.shape != shape:
            raise InputError(
                f"config key pruning.own.{self.method}: it gave {chosen.dtype} of shape {chosen.shape}; it must give booleans of the weight's shape {shape}."
            )
        kept = xp.asarray(chosen, device=device(self.weight))
        removed = power_sums(self.magnitudes[~xp.reshape(kept, (-1,))], NORMS)
        return self._masked(kept, int(chosen.sum()), removed)


class SingularValues(Plan):
    """Singular values; a convolution is the matrix (out, in*kernel size).

    Parameters
    ----------
    name : str
        Name of the layer, for messages.
    weight : numpy.ndarray or torch.Tensor
        The layer, (out, in) or (out, in, *kernel).
    p : float
        Not used: entries and singular values have no norm to choose.
    centring : {"median", "mean", "none"}
        What is subtracted from observations.

    Raises
    ------
    InputError
        For weights that are not all finite, or observations that are all equal.
    """

    def __init__(self, name: str, weight: Array, p: float, centring: str) -> None:
        matrix = layers.observations(weight, "singular_value")
        xp = array_namespace(matrix)
        self.shape, self.terms = tuple(weight.shape), min(matrix.shape)
        median = layers.middle(matrix, centring)
        self.centred = matrix - median
        self.median = None if centring == "none" else median
        exact = xp.astype(self.centred, xp.float64)
        wide = matrix.shape[0] <= matrix.shape[1]
        # The Gram matrix of the shorter side, in float64: several times faster than a decomposition of the layer, and
        # its error, a relative 1e-8 of the largest singular value, is below that of float32 weights.
        self.squares, vectors = xp.linalg.eigh(exact @ exact.T if wide else exact.T @ exact)
        vectors = xp.flip(vectors, axis=1)
        factors = (vectors, vectors.T @ exact) if wide else (exact @ vectors, vectors.T)
        self.left, self.right = (xp.astype(factor, matrix.dtype) for factor in factors)
        self.totals = _checked(name, power_sums(self.centred, NORMS))

    @cached_property
    def errors(self) -> Floats:
        """See ``Plan``."""
        errors: Floats = relative_errors(np.sqrt(np.maximum(_numpy(self.squares), 0)), 2.0)
        return errors

    def pruned(self, count: int) -> Factors:
        """Remove the ``count`` smallest singular values."""
        rank = self.terms - count
        left, right = self.left[:, :rank], self.right[:rank, :]
        removed = power_sums(self.centred - left @ right, NORMS)
        return Factors(left, right, self.median, self.shape, removed)


class Blocks(Plan):
    """The observations for a purpose, by their lp norm.

    Parameters
    ----------
    name : str
        Name of the layer, for messages.
    weight : numpy.ndarray or torch.Tensor
        The layer, (out, in) or (out, in, *kernel).
    p : float
        Norm by which blocks are compared.
    centring : {"median", "mean", "none"}
        What is subtracted from observations.
    purpose : {"node", "row", "kernel", "filter", "channel"}
        What a block is.

    Raises
    ------
    InputError
        For weights that are not all finite, or observations that are all equal.
    """

    def __init__(self, name: str, weight: Array, p: float, centring: str, *, purpose: layers.Purpose) -> None:
        self.weight, self.centring, self.purpose = weight, centring, purpose
        self.sample = layers.observations(weight, purpose)
        self.terms, self.median = len(self.sample), layers.middle(self.sample, centring)
        centred = self.sample - self.median
        self.norms = column_norms(centred, p)
        self.ordered = layers.ascending(self.norms)
        self.powers = {norm: column_norms(centred, norm) ** norm for norm in NORMS}
        xp = array_namespace(self.sample)
        self.totals = _checked(name, {norm: float(xp.sum(powers)) for norm, powers in self.powers.items()})

    @cached_property
    def errors(self) -> Floats:
        """See ``Plan``."""
        order = _numpy(self.norms).argsort(kind="stable")
        sums = np.cumsum(np.insert(_numpy(self.powers[2.0])[order], 0, 0.0))
        errors: Floats = np.sqrt(sums / sums[-1])
        return errors

    def pruned(self, count: int) -> Columns | Masked:
        """Remove the ``count`` blocks of smallest norm."""
        kept = mask(self.norms, self.ordered, count)
        xp = array_namespace(kept)
        removed = {norm: float(xp.sum(powers[~kept])) for norm, powers in self.powers.items()}
        if self.purpose == "node":
            median = None if self.centring == "none" else self.median
            return Columns(self.weight, xp.nonzero(kept)[0], median, removed)
        size, left = len(self.median), self.terms - count
        masked = xp.where(kept[:, None], self.sample, self.median)
        return Masked(
            layers.restored(masked, tuple(self.weight.shape), self.purpose),
            kept=size * left,
            stored=size * left + left + (size if self.centring != "none" else 0),
            median_adds=_centre_adds(self.weight, self.purpose, self.centring),
            removed=removed,
        )


def _numpy(array: Array) -> AnyArray:
    return np.asarray(to_device(array, "cpu"))


def _checked(name: str, totals: dict[float, float]) -> dict[float, float]:
    if not all(math.isfinite(total) for total in totals.values()):
        raise InputError(f"layer {name!r}: its weights are not all finite; prune a network that did not diverge.")
    if not all(total > 0 for total in totals.values()):
        raise InputError(
            f"layer {name!r}: all its observations are equal, so none is smaller than another; leave it out."
        )
    return totals


def _centre_adds(weight: Array, purpose: layers.Purpose, centring: str) -> int:
    """Count what adding the centre back costs, per output position.

    One number, or one kernel, for all: the inputs are summed, the sum goes through it and is spread over the outputs.
    One row or filter for all: every removed output is what it gives, computed once. A number per output, or a filter of one
    channel: the inputs are summed, the sum goes through them.
    """
    if centring == "none":
        return 0
    outputs, inputs, *kernel_shape = map(int, weight.shape)
    kernel = math.prod(kernel_shape) if kernel_shape else 0
    if purpose in ("row", "filter"):
        return inputs * max(kernel, 1)
    if purpose == "channel":
        return inputs + outputs * kernel
    return inputs + outputs + kernel
