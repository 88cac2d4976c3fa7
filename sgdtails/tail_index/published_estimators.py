"""The alternatives of the published code: each estimate is the median over the block lengths K1, used as m, clipped at 2.

They are not the ``estimators``, which choose their own number of exceedances and have intervals. Magnitudes are in descending
order, x_0 >= x_1 >= ...; the log excesses of the m largest are log x_i/x_m, i < m, and M1 and M2 their first two moments.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sgdtails import arrays
from sgdtails.arrays import AnyArray, Array, Floats, array_namespace, is_torch_array
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index.mmo import CLIP

ALTERNATIVES = ("hill", "pickands", "dekkers", "dehaan1998", "paulauskas")
NAMES = tuple(f"published_{name}" for name in ALTERNATIVES)  # in table tails


def of_magnitudes(sample: Array, lengths: Sequence[int]) -> dict[str, Floats]:
    """Estimate alpha from the m largest magnitudes, for each m, by four estimators.

    They are Hill (1975), Pickands (1975), Dekkers, Einmahl and de Haan (1989), and ``dehaan1998``, 2 M1/M2.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Centred values, (N,).
    lengths : sequence of int
        The numbers m.

    Returns
    -------
    dict of str to numpy.ndarray
        alpha for each m, (K1s,), by estimator; negative where an estimate of 1/alpha is.

    Raises
    ------
    ValueError
        If so many values are equal that an estimate is not defined.

    Examples
    --------
    >>> found = of_magnitudes(np.random.default_rng(0).standard_cauchy(100_000), [1000])
    >>> found["hill"].round(1)
    array([1.])
    """
    m = np.array(lengths)
    largest = _largest(abs(sample), max(lengths) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(largest)
        first, second = (np.cumsum(power)[m - 1] / m for power in (logs, logs**2))
        m1 = first - logs[m]
        m2 = second - 2 * logs[m] * first + logs[m] ** 2
        gaps = (largest[m // 4] - largest[m // 2], largest[m // 2] - largest[m])
        found = {
            "hill": 1 / m1,
            "pickands": 1 / np.log2(gaps[0] / gaps[1]),
            "dekkers": 1 / (m1 + 1 - 0.5 / (1 - m1**2 / m2)),
            "dehaan1998": 2 * m1 / m2,
        }
    if any(np.isnan(values).any() for values in found.values()):
        raise ValueError("too many of the largest weights are equal")
    return found


def _largest(magnitudes: Array, count: int) -> Floats:
    """Return the largest of (N,), descending, on the host; ``magnitudes`` are overwritten."""
    if is_torch_array(magnitudes):
        return arrays.host(magnitudes.topk(count).values).astype(np.float64)
    magnitudes.partition(len(magnitudes) - count)
    return np.sort(magnitudes[-count:].astype(np.float64))[::-1]


class Paulauskas:
    """alpha = S/(1 - S), S the mean over blocks of m of the second largest magnitude by the largest.

    Blocks depend on the order, so each random order of the sample gives values of its own.

    Parameters
    ----------
    lengths : sequence of int
        The block lengths m.

    References
    ----------
    Paulauskas and Vaiciulis (2011).
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = list(lengths)
        self._rows: list[list[float]] = []

    def add(self, shuffled: Array) -> None:
        """Add one more order; ``shuffled`` (N,), of numpy or torch, is the sample in it, and loses its signs in place."""
        array_namespace(shuffled).abs(shuffled, out=shuffled)
        self._rows.append([_by_ratio(largest, second) for largest, second in _top_two(shuffled, self._lengths)])

    @property
    def values(self) -> Floats:
        """alpha, (orders, K1s)."""
        return np.array(self._rows)


def _by_ratio(largest: Array, second: Array) -> float:
    with np.errstate(invalid="ignore"):
        ratios = second / largest
    if float(largest.min()) == 0:
        ratios[largest == 0] = 1.0
    mean = arrays.mean(ratios)
    return mean / (1 - mean) if mean < 1 else np.inf


def _top_two(magnitudes: Array, lengths: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """Yield the two largest of each block of each length, from those of a shorter length that divides it."""
    bases = tail_index.nearest_divisors(lengths)
    known: dict[int, tuple[Any, Any]] = {}
    for at, (length, base) in enumerate(zip(lengths, bases, strict=True)):
        largest, second = known[base] if base > 1 else (magnitudes, None)
        known[length] = _merged(largest, second, length // base)
        yield known[length]
        known = {k: pair for k, pair in known.items() if k in bases[at + 1 :]}


def _merged(largest: Array, second: Any | None, count: int) -> tuple[Any, Any]:
    """Return the two largest of ``count`` blocks in a row, from the two largest of each; a block of one number has no second."""
    xp = array_namespace(largest)
    tops = largest.reshape(-1, count)
    seconds = None if second is None else second.reshape(-1, count)
    top = xp.maximum(tops[:, 0], tops[:, 1])
    runner_up = xp.minimum(tops[:, 0], tops[:, 1])
    if seconds is not None:
        xp.maximum(runner_up, xp.maximum(seconds[:, 0], seconds[:, 1]), out=runner_up)
    for column in range(2, count):  # many times faster than a partition of short rows
        xp.maximum(runner_up, xp.minimum(top, tops[:, column]), out=runner_up)
        xp.maximum(top, tops[:, column], out=top)
        if seconds is not None:
            xp.maximum(runner_up, seconds[:, column], out=runner_up)
    return top, runner_up


def of_sample(sample: AnyArray, *, lengths: Sequence[int] | None = None) -> dict[str, float]:
    """Estimate alpha by the five published alternatives, in the order given, clipped at 2.

    Parameters
    ----------
    sample : numpy.ndarray
        Centred values, (N,).
    lengths : sequence of int, optional
        Block lengths; without them those of ``mmo.block_lengths``.

    Returns
    -------
    dict of str to float
        alpha by estimator.

    Raises
    ------
    ValueError
        If there is no block length, or as for ``of_magnitudes``.

    Examples
    --------
    >>> found = of_sample(np.random.default_rng(0).standard_cauchy(10_000))
    >>> sorted(found)
    ['dehaan1998', 'dekkers', 'hill', 'paulauskas', 'pickands']
    """
    lengths = lengths or tail_index.block_lengths(len(sample))
    blocks = Paulauskas(lengths)
    blocks.add(sample.copy())
    values = of_magnitudes(sample, lengths) | {"paulauskas": blocks.values[0]}
    return {name: min(float(np.median(each)), CLIP) for name, each in values.items()}
