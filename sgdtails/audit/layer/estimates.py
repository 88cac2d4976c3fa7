"""Tail indices and the label of one layer, from random rows of it, without its zeros and dead rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import layers
from sgdtails.arrays import array_namespace
from sgdtails.audit.layer import dead, label
from sgdtails.tail_index import block_estimates, classify, mmo
from sgdtails.tail_index.block_estimates import Sample, Settings

Array = Any  # numpy.ndarray or torch.Tensor
SPARED = 0.1  # largest share of rows left out for a number of observations that has block lengths
_TRIED = 512  # numbers of rows that are looked at for that
_ENOUGH = 3  # block lengths of a layer of which no row is left out
_ROUND = (1000, 500, 100, 50, 20, 10, 4)  # numbers with block lengths: the first of which a hundredth can be spared
ESTIMATED = ("alpha", "alpha_low", "alpha_high", "interval_holds", "alpha_published", "skewed")
SETTINGS = Settings(robustness=False)
NOT_FINITE = f"the weights are not all finite, or exceed {dead.LARGEST:.0e}".replace("+", "")


@dataclass(frozen=True)
class Cleaned:
    """Observations and entries that estimates are made from.

    Attributes
    ----------
    rows : numpy.ndarray
        Observations (N, d) that are not dead.
    entries : numpy.ndarray
        Their entries other than zero, (n,).
    dead, zeros : bool
        Whether dead rows were in the sample, and zeros in the others.
    """

    rows: NDArray[np.float32]
    entries: NDArray[np.float32]
    dead: bool
    zeros: bool


def observations_per_row(shape: Sequence[int]) -> int:
    """Give how many observations a row of the first axis holds: a convolution has one kernel an observation.

    >>> observations_per_row((64, 3, 7, 7)), observations_per_row((64, 3))
    (3, 1)
    """
    return shape[1] if len(shape) > 2 else 1


def rows_used(shape: Sequence[int], most: int) -> int:
    """Say how many rows of the first axis are used, such that the observations have block lengths.

    All rows if they can be. Else a prime number, or one like it, would have no profile: up to a tenth less are taken, as many
    as can be read, or else have the most block lengths.

    Parameters
    ----------
    shape : sequence of int
        (N, d), or (out, in, *kernel).
    most : int
        Most weights.

    Returns
    -------
    int
        Number of rows.

    Examples
    --------
    >>> rows_used((197, 100), 2**20)
    192
    """
    rows = min(shape[0], max(1, most // math.prod(shape[1:])))
    each = observations_per_row(shape)

    def merit(n: int) -> tuple[bool, int]:
        try:
            return classify.slope_lengths(n * each) is not None, len(mmo.block_lengths(n * each))
        except ValueError:
            return False, 0

    if rows == shape[0] and merit(rows)[1] >= _ENOUGH:
        return rows
    fewest = max(1, math.ceil((1 - SPARED) * rows), rows - _TRIED)
    return max(range(rows, fewest - 1, -1), key=merit)


def round_number(n: int) -> int:
    """Give a number of entries up to n that has block lengths and spares at most a hundredth; small ones stay.

    >>> round_number(249_037), round_number(1237)
    (249000, 1230)
    """
    return next((n - n % step for step in _ROUND if n >= 100 * step), n)


def row_numbers(rows: int, used: int, rng: np.random.Generator) -> NDArray[np.intp] | slice:
    """Choose so many of the rows at random, in their order; all rows need no index.

    >>> row_numbers(3, 3, np.random.default_rng(0))
    slice(None, None, None)
    """
    return np.sort(rng.choice(rows, used, replace=False)) if used < rows else slice(None)


def as_numpy(tensor: Array, rows: NDArray[np.intp] | slice) -> NDArray[np.float32]:
    """Copy rows of a tensor into an array in single precision.

    >>> as_numpy(np.eye(2), slice(1)).tolist()
    [[1.0, 0.0]]
    """
    part = tensor[rows]
    xp = array_namespace(part)
    return np.array(np.asarray(xp.astype(part, xp.float32)), order="C")


def clean(sample: NDArray[np.float32], is_dead: NDArray[np.bool_], seed: Sequence[int]) -> Cleaned:
    """Leave out dead rows and zeros, and a few rows and entries more where their number has no block lengths.

    Parameters
    ----------
    sample : numpy.ndarray
        (N, d) or (out, in, *kernel).
    is_dead : numpy.ndarray
        Whether an observation is dead, (N,) or (out*in,).
    seed : sequence of int
        Seed of what is left out at random.

    Returns
    -------
    Cleaned
        What remains.

    Examples
    --------
    >>> found = clean(np.array([[1, 2], [0, 0], [0, 3]], np.float32), np.array([False, True, False]), [0])
    >>> found.rows.tolist(), found.entries.tolist()
    ([[1.0, 2.0], [0.0, 3.0]], [1.0, 2.0, 3.0])
    """
    rng = np.random.default_rng(seed)
    rows = sample.reshape(len(is_dead), -1)
    if is_dead.any():
        rows = rows[~is_dead]
        if len(rows):
            rows = rows[row_numbers(len(rows), rows_used(rows.shape, rows.size), rng)]
    entries = rows.reshape(-1)
    zeros = bool(np.count_nonzero(entries) < len(entries))
    if zeros:
        entries = entries[entries != 0]
        entries = entries[row_numbers(len(entries), round_number(len(entries)), rng)]
    return Cleaned(rows, entries, bool(is_dead.any()), zeros)


def missing(reason: str) -> dict[str, Any]:
    """Give columns of table ``audit`` for a layer without estimates.

    >>> missing("every weight is zero")["reading"]
    'undecided'
    """
    return label.nothing(reason) | {"reason": reason}


@dataclass(frozen=True)
class Estimated:
    """Columns of table ``audit`` for a layer, and the sample they come from: whole, and without zeros and dead rows."""

    columns: dict[str, Any]
    sample: NDArray[np.float32]
    cleaned: Cleaned


def of_tensor(tensor: Array, seed: Sequence[int], most: int, *, labelled: bool = True) -> Estimated | None:
    """Count zeros and dead rows of a layer, and estimate its indices without them.

    Parameters
    ----------
    tensor : numpy.ndarray or torch.Tensor
        (N, d) or (out, in, *kernel).
    seed : sequence of int
        Seed of what is left out, of orders and of signs.
    most : int
        Most weights that estimates are made from.
    labelled : bool
        Whether the layer is labelled, which takes half the time.

    Returns
    -------
    Estimated or None
        None for a layer whose weights are not all finite, or too large.

    Examples
    --------
    >>> found = of_tensor(np.random.default_rng(0).standard_normal((200, 20)), [0], 2**20)
    >>> round(found.columns["alpha"], 1), found.columns["dead"]
    (2.0, 0)
    """
    shape, scan = tuple(tensor.shape), dead.scan(tensor)
    if not scan.finite:
        return None
    each = observations_per_row(shape)
    is_dead = dead.dead_rows(scan.log_norms, scan.fewest)
    numbers = row_numbers(shape[0], rows_used(shape, most), np.random.default_rng([*seed, 0]))
    sample = as_numpy(tensor, numbers)
    cleaned = clean(sample, is_dead.reshape(shape[0], each)[numbers].reshape(-1), [*seed, 6])
    columns = dead.names(is_dead, shape) | {"zero_share": scan.zeros / math.prod(shape)}
    columns["observations"] = len(cleaned.rows)
    columns["observations_left_out"] = shape[0] * each - columns["dead"] - len(cleaned.rows)
    return Estimated(columns | of_sample(sample, cleaned, seed, labelled=labelled), sample, cleaned)


def of_sample(
    sample: NDArray[np.float32], cleaned: Cleaned, seed: Sequence[int], *, labelled: bool = True
) -> dict[str, Any]:
    """Estimate the indices of rows and of entries with intervals, and label the layer.

    Parameters
    ----------
    sample : numpy.ndarray
        All of the sample, (N, d) or (out, in, *kernel).
    cleaned : Cleaned
        It without zeros and dead rows.
    seed : sequence of int
        The first number is the seed of orders and signs of the index and the label.
    labelled : bool
        Whether the layer is labelled.

    Returns
    -------
    dict
        Columns of table ``audit``. With zeros or dead rows the indices with them are there too.

    Examples
    --------
    >>> sample = np.random.default_rng(0).standard_normal((400, 50), np.float32)
    >>> sample[:100] = 0
    >>> found = of_sample(sample, clean(sample, (sample == 0).all(axis=1), [0]), [0])
    >>> round(found["alpha"], 1), found["alpha_low"] <= found["alpha"] <= found["alpha_high"]
    (2.0, True)
    """
    if not len(cleaned.entries):
        return missing("every weight is zero")
    values = dead.few_values(cleaned.rows)
    if values:
        return missing(f"its weights have {values} different values only")
    rows, entries = (layers.centre(part, np.float32) for part in (cleaned.rows, cleaned.entries))
    orders = seed[:1]  # of tail_index.estimate too, which knows no number of a layer: so both give the same numbers
    result: dict[str, Any] = {"reason": None, "alpha": None}
    try:
        result |= label.majority(label.votes(rows, entries, orders)) if labelled else {}
    except ValueError as error:
        result |= missing(str(error))
    for number, (prefix, part) in enumerate((("", rows), ("entries_", entries))):
        found = _aggregate(part, [*orders, number])
        reason = found.pop("reason", None)
        result["reason"] = result["reason"] or reason
        result |= {f"{prefix}{name}": value for name, value in found.items()}
        if found:
            result[f"{prefix}driven_by"] = dead.driver(part, found["alpha_high"])
    if cleaned.dead:
        everything = layers.centre(sample.reshape(-1, cleaned.rows.shape[1]), np.float32)
        result["alpha_with_dead"] = _aggregate(everything, [*seed, 7]).get("alpha")
    if cleaned.zeros or cleaned.dead:
        everything = layers.centre(sample.reshape(-1), np.float32)
        result["entries_alpha_with_zeros"] = _aggregate(everything, [*seed, 8]).get("alpha")
    return result


def _aggregate(centred: NDArray[np.float32], seed: Sequence[int]) -> dict[str, Any]:
    """Estimate the index over block lengths, or say why there is none."""
    try:
        found = Sample(centred, SETTINGS, signed=True)
        block_estimates.show([found], seed, SETTINGS)
        row = found.rows()[-1]
    except ValueError as error:
        return {"reason": str(error)}
    return {name: row[name] for name in ESTIMATED}
