"""Random orders of millions of numbers: by sorting random keys, which is faster than swaps that miss the cache."""

import numpy as np
from numpy.typing import NDArray

FEWEST = 2**20  # numbers that are sorted: fewer fit into a core's cache
_PARTS = 8  # sorted one after the other: less memory
_BITS = 32  # of a key, above those of a position


def random_order(n: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """The positions 0...n-1 (n < 2^32) in random order, every order being as likely as any other.

    Each position goes to a part at random, and parts are put in random order (Rao 1961; Sandelius 1962).

    >>> sorted(random_order(5, np.random.default_rng(0)).tolist())
    [0, 1, 2, 3, 4]
    """
    if n < FEWEST:
        return rng.permutation(n)
    result = np.empty(n, dtype=np.uint32)
    part_of = rng.integers(0, _PARTS, n, dtype=np.uint8)
    end = 0
    for part in range(_PARTS):
        positions = np.flatnonzero(part_of == part)
        begin, end = end, end + len(positions)
        pairs = rng.integers(0, 2**64, len(positions), dtype=np.uint64)
        pairs &= ~np.uint64(2**_BITS - 1)
        pairs |= positions.view(np.uint64)
        result[begin:end] = by_key(pairs, rng)
    return result


def permuted(sample: NDArray, rng: np.random.Generator) -> NDArray:
    """A copy of the observations (N, ...) in random order."""
    return sample[random_order(len(sample), rng)]


def by_key(pairs: NDArray[np.uint64], rng: np.random.Generator) -> NDArray[np.uint32]:
    """The lower halves of the pairs (N,) in the order of the upper ones, and in random order where these are equal.

    The pairs are overwritten.
    """
    pairs.sort()
    numbers = pairs.astype(np.uint32)
    pairs >>= np.uint64(_BITS)
    same = pairs[1:] == pairs[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    numbers[tied] = numbers[tied[np.lexsort((rng.random(len(tied)), pairs[tied]))]]
    return numbers
