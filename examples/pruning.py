"""Own pruning methods: at random, which magnitude pruning should beat, and in the 2:4 pattern that GPUs multiply fast."""

import numpy as np
from numpy.typing import NDArray


def at_random(weight: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """Keep all but ``count`` entries, which are drawn at random, the same ones each time."""
    order = np.random.default_rng(0).permutation(weight.size)
    return (order >= count).reshape(weight.shape)


def two_of_four(weight: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """Keep the larger two of every four entries in a row, whatever ``count`` is; a rest of fewer than four stays."""
    rows = np.abs(weight.reshape(len(weight), -1))
    whole = rows.shape[1] // 4 * 4
    groups = rows[:, :whole].reshape(len(rows), -1, 4)
    kept = np.ones(rows.shape, dtype=bool)
    kept[:, :whole] = (groups.argsort(axis=2, kind="stable").argsort(axis=2) >= 2).reshape(len(rows), whole)
    return kept.reshape(weight.shape)
