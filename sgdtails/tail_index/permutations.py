"""Random orders of millions of numbers: by sorting random keys, which is faster than swaps that miss the cache."""

import numpy as np
from numpy.typing import NDArray

from sgdtails.arrays import Array, is_torch_array, like

FEWEST = 2**20  # numbers that are sorted: fewer fit into a core's cache
_PARTS = 8  # sorted one after the other, which takes less memory
_BITS = 32  # of a key, above those of a position
_CHUNK = 2**16  # numbers at a time, to stay in the processor's cache


def random_order(n: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """Draw a random order of n positions, every order being as likely as any other.

    Each position goes to a part at random, and the parts are put in random order.

    Parameters
    ----------
    n : int
        Number of positions, below 2^32.
    rng : numpy.random.Generator
        Source of the order.

    Returns
    -------
    numpy.ndarray
        The positions 0...n-1, (n,).

    References
    ----------
    Rao (1961); Sandelius (1962).

    Examples
    --------
    >>> sorted(random_order(5, np.random.default_rng(0)).tolist())
    [0, 1, 2, 3, 4]
    """
    if n < FEWEST:
        return rng.permutation(n)
    result = np.empty(n, dtype=np.uint32)
    part_of = rng.integers(0, _PARTS, n, dtype=np.uint8)
    for part in _by_part(part_of, result):
        pairs = rng.integers(0, 2**64, len(part), dtype=np.uint64)
        pairs &= ~np.uint64(2**_BITS - 1)
        pairs |= part
        part[:] = by_key(pairs, rng)
    return result


def _by_part(part_of: NDArray[np.uint8], result: NDArray[np.uint32]) -> list[NDArray[np.uint32]]:
    """Fill ``result`` with the positions of each part, ascending, one part after the other; return views of them."""
    ends = np.cumsum([np.count_nonzero(part_of == part) for part in range(_PARTS)])
    filled = [0, *ends[:-1].tolist()]
    for start in range(0, len(part_of), _CHUNK):
        chunk = part_of[start : start + _CHUNK]
        positions = np.argsort(chunk, kind="stable") + start
        stops = np.cumsum(np.bincount(chunk, minlength=_PARTS)).tolist()
        for part, (begin, end) in enumerate(zip([0, *stops], stops, strict=False)):
            result[filled[part] : filled[part] + end - begin] = positions[begin:end]
            filled[part] += end - begin
    return np.split(result, ends[:-1])


def permuted(sample: Array, rng: np.random.Generator) -> Array:
    """Copy observations in random order.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, ...).
    rng : numpy.random.Generator
        Source of the order.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The same observations, (N, ...).

    Examples
    --------
    >>> sorted(permuted(np.arange(5), np.random.default_rng(0)).tolist())
    [0, 1, 2, 3, 4]
    """
    return taken(sample, random_order(len(sample), rng))


def index_of(positions: NDArray[np.integer], sample: Array) -> Array:
    """Convert positions to an index of a sample, on its device where it is torch's.

    Parameters
    ----------
    positions : numpy.ndarray
        Positions, (n,).
    sample : numpy.ndarray or torch.Tensor
        The sample that they are positions in.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The positions, (n,).

    Examples
    --------
    >>> index_of(np.array([2, 0]), np.ones(3))
    array([2, 0])
    """
    return like(positions.astype(np.int64), sample) if is_torch_array(sample) else positions


def taken(sample: Array, positions: Array) -> Array:
    """Copy the observations at given positions.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, ...).
    positions : numpy.ndarray or torch.Tensor
        Positions, (n,): of numpy, or from ``index_of``.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The observations, (n, ...).

    Examples
    --------
    >>> taken(np.array([1.0, 2.0, 3.0]), np.array([2, 0]))
    array([3., 1.])
    """
    if is_torch_array(sample):
        return sample[positions if is_torch_array(positions) else index_of(positions, sample)]
    sample = np.ascontiguousarray(sample)
    result = np.empty((len(positions), *sample.shape[1:]), sample.dtype)
    step = max(_CHUNK * len(sample) // max(sample.size, 1), 1)
    for start in range(0, len(positions), step):
        part = positions[start : start + step]  # numpy would first copy all of them to numbers of twice the length
        np.take(sample, part, axis=0, out=result[start : start + step], mode="clip")
    return result


def by_key(pairs: NDArray[np.uint64], rng: np.random.Generator) -> NDArray[np.uint32]:
    """Order numbers by keys, and in random order where keys are equal.

    Parameters
    ----------
    pairs : numpy.ndarray
        Keys in the upper 32 bits and numbers in the lower 32, uint64 (N,); they are overwritten.
    rng : numpy.random.Generator
        Source of the order among equal keys.

    Returns
    -------
    numpy.ndarray
        The numbers, uint32 (N,).

    Examples
    --------
    >>> by_key(np.array([2 << 32 | 7, 1 << 32 | 9], dtype=np.uint64), np.random.default_rng(0))
    array([9, 7], dtype=uint32)
    """
    pairs.sort()
    numbers = pairs.astype(np.uint32)
    pairs >>= np.uint64(_BITS)
    same = pairs[1:] == pairs[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    numbers[tied] = numbers[tied[np.lexsort((rng.random(len(tied)), pairs[tied]))]]
    return numbers
