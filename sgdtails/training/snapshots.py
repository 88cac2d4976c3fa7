"""Tails of the weights of a network in training: its layers' tail indices and how compressible they are, at one moment.

They are the estimates of table ``tails`` from one random order, and one kappa of table ``compression``, computed where the weights are.
The estimators are implemented again here, so that edits of analysis code do not retrain.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from sgdtails.arrays import Array, array_namespace, is_torch_array, like, mean, total
from sgdtails.training.settings import Row

TARGETS = (2, 5, 10, 20, 50, 100, 500, 1000)  # of block lengths K1, as published, beside the square root of N
CLIP = 2.0
EPSILON = 0.1  # relative l2 error at which kappa is computed
FEWEST_BLOCKS = 8  # fewer give no interval
HOST_BELOW = (
    2**17
)  # weights of a layer below which numpy takes a few milliseconds, as long as a GPU's many small kernels would
_NORMAL = 1.959963984540054  # quantile of a normal law at 0.975
_COLUMNS = 64  # that are sorted at a time
_NOTHING: Row = dict.fromkeys(("k1", "alpha", "alpha_low", "alpha_high", "alpha_published", "kappa"))
_NOTHING |= {"log_norm_dispersion": None, "reason": None}


def per_layer(weights: Mapping[str, Tensor], names: Sequence[str] | None = None) -> Iterator[Row]:
    """Make the rows of table ``trajectory`` for a network's layers.

    Numpy computes them on the host, where small layers of a GPU are copied to. For large layers on a GPU torch does, and only
    estimates leave it.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Weights by name, on any device; they are not changed.
    names : sequence of str, optional
        Names of the layers, in order, the head last; without it they are all weights of two or more dimensions.

    Yields
    ------
    dict
        Columns of table ``trajectory``, without run and iteration: a row per layer and block length, and one of their aggregate.

    Examples
    --------
    >>> import torch
    >>> rows = list(per_layer({"fc1.weight": torch.randn(16, 8), "head.weight": torch.randn(4, 16)}))
    >>> [(row["layer_name"], row["k1"], row["observations"]) for row in rows]
    [('fc1', 2, 16), ('fc1', 4, 16), ('fc1', None, 16), ('head', 2, 16), ('head', 4, 16), ('head', None, 16)]
    """
    chosen = [name for name, weight in weights.items() if weight.ndim >= 2] if names is None else names
    for index, name in enumerate(chosen):
        weight: Array = weights[name].detach()
        if weight.device.type == "cpu" or weight.numel() < HOST_BELOW:
            weight = weight.cpu().numpy()
        layer = {"layer": index, "layer_name": name.removesuffix(".weight")}
        yield from (layer | row for row in of_layer(weight, [0, index, 0], head=index == len(chosen) - 1))


def of_layer(weight: Array, seed: Sequence[int], *, head: bool = False) -> list[Row]:
    """Estimate the tail index of one layer at every block length K1 from one random order, and kappa.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer, (out, in) or (out, in, *kernel), float32.
    seed : sequence of int
        Seed of the order and, with a 1 behind it, of the signs; both are drawn on the host.
    head : bool
        True for the last layer, whose observations are its columns.

    Returns
    -------
    list of dict
        Columns of table ``trajectory``, without run, iteration and layer: a row per K1, ascending, and one of the aggregate. A
        layer that has no tail index has one row with the reason.

    References
    ----------
    MMO15, Corollary 2.4; kappa: the paper's eq. D.1.

    Examples
    --------
    >>> *_, row = of_layer(np.random.default_rng(0).standard_normal((256, 64)).astype(np.float32), [0])
    >>> bool(row["alpha_low"] < 2 < row["alpha_high"]), round(row["kappa"], 1)
    (True, 0.7)
    """
    rows = observations(weight, head=head)
    common = _NOTHING | {"estimator": "mmo_multivariate", "observations": len(rows), "dimension": rows.shape[1]}
    try:
        lengths = block_lengths(len(rows))
        found = _estimates(_scaled(rows - _medians(rows)), lengths, seed)
    except ValueError as error:
        return [common | {"kappa": kappa(weight), "reason": str(error)}]
    found[-1] |= {"kappa": kappa(weight)}
    return [common | row for row in found]


def observations(weight: Array, *, head: bool = False) -> Array:
    """Return the observations of a layer, as ``layers.observations`` cuts them for the estimator of rows, in one piece of memory.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer, (out, in) or (out, in, *kernel).
    head : bool
        True for the last layer, whose observations are its columns.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        (out, in), of a head (in, out), of a convolution (out*in, kernel size).

    Examples
    --------
    >>> observations(np.ones((8, 4, 3, 3))).shape, observations(np.ones((10, 4)), head=True).shape
    ((32, 9), (4, 10))
    """
    if weight.ndim > 2:
        return weight.reshape(weight.shape[0] * weight.shape[1], -1)
    if not head:
        return weight
    return weight.T.contiguous() if is_torch_array(weight) else np.ascontiguousarray(weight.T)


def block_lengths(n: int) -> list[int]:
    """List the published block lengths K1 of n observations, as ``mmo.block_lengths`` does.

    Parameters
    ----------
    n : int
        Number of observations.

    Returns
    -------
    list of int
        Block lengths, ascending.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> block_lengths(192)
    [2, 4, 8, 12, 16, 48]
    """
    aims = [*(target for target in TARGETS if target <= n / 2), math.isqrt(n)]
    found = {max((k for k in range(1, aim + 1) if n % k == 0), default=1) for aim in aims} - {1}
    if not found:
        raise ValueError(f"{n} observations have no admissible block length K1 (a divisor from 2 to N/2 near a target)")
    return sorted(found)


def _medians(sample: Array) -> Array:
    """Compute the medians of the columns of (N, d)."""
    if is_torch_array(sample):
        return _middle(sample.sort(dim=0).values)
    # Sorting is many times faster where the numbers of a column are adjacent in memory.
    parts = (np.array(sample[:, at : at + _COLUMNS].T, order="C") for at in range(0, sample.shape[1], _COLUMNS))
    return np.concatenate([_middle(np.sort(part, axis=1).T) for part in parts])


def _middle(ordered: Array) -> Array:
    xp = array_namespace(ordered)
    low, high = (xp.astype(ordered[at, ...], xp.float64) for at in ((len(ordered) - 1) // 2, len(ordered) // 2))
    return xp.astype((low + high) / 2, ordered.dtype)


def _scaled(sample: Array) -> Array:
    """Divide by a power of two, in place, so that no square leaves the range of float32; the tail index does not depend on it."""
    xp = array_namespace(sample)
    largest = max(abs(float(xp.max(sample))), abs(float(xp.min(sample))))
    if not math.isfinite(largest):
        raise ValueError("the observations are not all finite")
    sample *= 2.0 ** -min(max(math.frexp(largest)[1], -120), 120)
    return sample


def _estimates(sample: Array, lengths: Sequence[int], seed: Sequence[int]) -> list[Row]:
    """Estimate from centred observations (N, d) in one random order; as it is, and with a random sign for each observation."""
    n = len(sample)
    level, dispersion = _mean_and_spread(_log_norms(sample))
    order = np.random.default_rng(seed).permutation(n)
    shuffled = sample[like(order, sample)] if is_torch_array(sample) else np.take(sample, order, axis=0)
    published = [(mean(_log_norms(sums)) - level) / math.log(k1) for k1, sums in _block_sums(shuffled, lengths)]
    signs = np.random.default_rng([*seed, 1]).integers(0, 2, n, dtype=np.int8) * 2 - 1
    shuffled *= like(signs, shuffled)[:, None]
    logs = _log_norms(shuffled)
    inverse, halves = zip(*(_mean_and_half(k1, logs, sums) for k1, sums in _block_sums(shuffled, lengths)), strict=True)
    rows = [{"k1": k1, **_alphas(*found)} for k1, *found in zip(lengths, inverse, halves, strict=True)]
    known = [half for half in halves if half is not None]
    aggregate = _alphas(float(np.median(inverse)), float(np.median(known)) if known else None)
    aggregate["alpha_published"] = min(float(np.median([_alpha(value) for value in published])), CLIP)
    return [row | {"log_norm_dispersion": dispersion} for row in (*rows, aggregate)]


def _block_sums(sample: Array, lengths: Sequence[int]) -> Iterator[tuple[int, Array]]:
    """Yield each block length with the sums of blocks, made from those of a shorter length that divides it."""
    known = {1: sample}
    for k1 in lengths:
        base = max(k for k in known if k1 % k == 0)
        known[k1] = known[base].reshape(-1, k1 // base, sample.shape[1]).sum(axis=1)
        yield k1, known[k1]


def _log_norms(rows: Array) -> Array:
    """Compute log norms of (N, d), (N,); a few zeros count as the smallest other norm."""
    xp = array_namespace(rows)
    squares = xp.sum(rows * rows, axis=1) if is_torch_array(rows) else np.einsum("ij,ij->i", rows, rows)
    norms = xp.sqrt(squares)
    if float(xp.min(norms)) == 0:
        zero = norms == 0
        if 2 * int(xp.count_nonzero(zero)) > len(norms):
            raise ValueError("more than half of the observations are zero: they have no tail index")
        norms[zero] = xp.min(norms[~zero])
    return xp.log(norms)


def _mean_and_half(k1: int, logs: Array, sums: Array) -> tuple[float, float | None]:
    """Estimate 1/alpha as the mean over blocks, which are independent, and half the length of its 95% interval by Student's t."""
    contrasts = (_log_norms(sums) - logs.reshape(-1, k1).sum(axis=1) / k1) / math.log(k1)
    middle, spread = _mean_and_spread(contrasts)
    blocks = len(contrasts)
    if blocks < FEWEST_BLOCKS:
        return middle, None
    return middle, student(blocks - 1) * spread / math.sqrt(blocks - 1)


def _mean_and_spread(values: Array) -> tuple[float, float]:
    middle = mean(values)
    deviations = values - middle
    return middle, math.sqrt(mean(deviations * deviations))


def student(freedom: int) -> float:
    """Compute the quantile of Student's t at 0.975 by an expansion: SciPy, which has it, is not for training.

    Parameters
    ----------
    freedom : int
        Degrees of freedom, at least 7: there the error is below 1e-4.

    Returns
    -------
    float
        The quantile.

    References
    ----------
    Abramowitz and Stegun (1964), 26.7.5.

    Examples
    --------
    >>> round(student(10), 3), round(student(10**9), 3)
    (2.228, 1.96)
    """
    x = _NORMAL
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def _alpha(inverse: float) -> float:
    return 1 / inverse if inverse > 0 else math.inf


def _alphas(inverse: float, half: float | None) -> Row:
    """Convert 1/alpha and half the length of its interval to alpha and its interval."""
    found = {"alpha": _alpha(inverse)}
    return (
        found if half is None else found | {"alpha_low": _alpha(inverse + half), "alpha_high": _alpha(inverse - half)}
    )


def kappa(weight: Array, epsilon: float = EPSILON) -> float | None:
    """Compute kappa_2(w, epsilon) of a layer's entries, centred on their median.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer, of any shape.
    epsilon : float
        Largest relative l2 error.

    Returns
    -------
    float or None
        The smallest kept fraction of entries; None if all are equal or one is not finite.

    References
    ----------
    The paper's eq. D.1.

    Examples
    --------
    >>> kappa(np.array([-4.0, 0.0, 3.0, 0.0, 0.0]))
    0.4
    """
    xp = array_namespace(weight)
    entries = weight.reshape(-1)
    middle = _middle(entries.sort().values) if is_torch_array(entries) else np.median(entries)
    magnitudes = abs(entries - middle)
    ordered = magnitudes.sort().values if is_torch_array(entries) else np.sort(magnitudes)
    largest = float(ordered[-1])
    if not 0 < largest < math.inf:
        return None
    ordered /= largest
    allowed, below, first, last = epsilon**2 * _squares(xp, ordered), 0.0, 0, len(ordered)
    while first < last:  # `below` is the sum of the squares of the first terms, which can go
        half = (first + last + 1) // 2
        more = below + _squares(xp, ordered[first:half])
        first, last, below = (half, last, more) if more <= allowed else (first, half - 1, below)
    return (len(ordered) - first) / len(ordered)


def _squares(xp: Any, values: Array) -> float:
    exact = xp.astype(values, xp.float64)
    return total(exact * exact)
