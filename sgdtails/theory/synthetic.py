"""Stable samples whose compressibility is known or simulated: the tables behind figures 8 and 12."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sgdtails import layers
from sgdtails.pruning import compression
from sgdtails.stable import sampling as stable


def matrices(
    *, draws: int, size: int, alpha: Sequence[float], p: float, epsilon: float, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of table ``synthetic``: kappa of size x size matrices with SaS entries, columns or layers (paper, A.6.1).

    Each draw takes its tail index from U(alpha[0], alpha[1]); generators are seeded by (seed, draw).
    """
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        index = float(rng.uniform(alpha[0], alpha[1]))
        for structure, matrix in (
            ("independent", stable.sample(index, (size, size), rng=rng)),
            ("columns", stable.elliptical(index, size, size, rng=rng)),
            ("layer", stable.elliptical(index, 1, size * size, rng=rng)),
        ):
            errors = compression.relative_errors(layers.centre(matrix.reshape(-1)), p)
            kappa = compression.kappa(errors, epsilon)
            yield {
                **{"draw": draw, "structure": structure, "alpha": index},
                **{"p": p, "epsilon": epsilon, "kappa": kappa},
            }


def magnitudes(*, alpha: float, draws: int, bins: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of table ``magnitudes``: the histogram of |x| for SaS(1) draws, and what each bin adds to the squared norm."""
    sizes = np.abs(stable.sample(alpha, draws, rng=np.random.default_rng(seed)))
    edges = np.linspace(0, sizes.max(), bins + 1)
    count = np.histogram(sizes, edges)[0]
    share = np.histogram(sizes, edges, weights=sizes**2)[0] / (sizes**2).sum()
    for values in zip(edges[:-1].tolist(), edges[1:].tolist(), count.tolist(), share.tolist(), strict=True):
        yield {"alpha": alpha} | dict(zip(("low", "high", "count", "share"), values, strict=True))
