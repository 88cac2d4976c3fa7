"""How a share of a network's entries is allotted to its layers: by tail index, around a mean."""

import math
from collections.abc import Sequence

from sgdtails.errors import InputError

SPREAD = 0.3  # of layer ratios around the mean, relative to it


def by_alpha(
    alphas: Sequence[float | None], sizes: Sequence[int], share: float, *, spread: float = SPREAD
) -> list[float]:
    """Allot pruning ratios to layers that are linear in their tail index and remove a share of all entries together.

    The layer of lowest index gets 1 - ``spread`` times a common factor, that of highest 1 + ``spread`` times it: with a positive
    spread heavy-tailed layers are pruned less, with a negative one more. AlphaPruning [1]_ maps its own metric of the singular values in
    this way, with a positive spread; here the metric is the tail index of the layer's rows.

    Parameters
    ----------
    alphas : sequence of float or None
        Tail index of each layer; values above 2 count as 2, and None as the mean of the others.
    sizes : sequence of int
        Number of entries of each layer.
    share : float
        Share of all entries that is removed, from 0 to 1.
    spread : float
        From -1 to 1.

    Returns
    -------
    list of float
        Ratio of each layer, from 0 to 1. No ratio exceeds 1: what a layer cannot lose the others lose.

    Raises
    ------
    InputError
        For a share or a spread out of range.

    References
    ----------
    .. [1] Lu, Zhou, Liu, Wang, Mahoney, Yang. AlphaPruning: Using Heavy-Tailed Self Regularization Theory for Improved
       Layer-wise Pruning of Large Language Models. NeurIPS 2024.

    Examples
    --------
    >>> [round(ratio, 2) for ratio in by_alpha([1.5, 2.0, 1.75], [100, 100, 100], 0.5)]
    [0.35, 0.65, 0.5]
    """
    if not 0 <= share <= 1 or not -1 <= spread <= 1:
        raise InputError(f"share = {share} must be from 0 to 1, and spread = {spread} from -1 to 1.")
    known = [min(alpha, 2.0) for alpha in alphas if alpha is not None]
    least, most = min(known, default=2.0), max(known, default=2.0)
    mean = math.fsum(known) / len(known) if known else 2.0

    def slope(alpha: float | None) -> float:
        place = (min(mean if alpha is None else alpha, 2.0) - least) / (most - least) if most > least else 0.5
        return 1 + spread * (2 * place - 1)

    return _scaled([slope(alpha) for alpha in alphas], sizes, share)


def _scaled(weights: Sequence[float], sizes: Sequence[int], share: float) -> list[float]:
    """Scale weights by the factor with which, cut off at 1, they remove the share of all entries; layers of weight 0 lose the rest."""
    wanted, full = share * sum(sizes), [False] * len(sizes)
    most = sum(size for weight, size in zip(weights, sizes, strict=True) if weight)
    if wanted > most:
        rest = (wanted - most) / (sum(sizes) - most)
        return [1.0 if weight else rest for weight in weights]
    while True:
        left = wanted - sum(size for size, whole in zip(sizes, full, strict=True) if whole)
        free = math.fsum(w * size for w, size, whole in zip(weights, sizes, full, strict=True) if not whole)
        factor = left / free if free > 0 else 0.0
        beyond = [whole or weight * factor > 1 for weight, whole in zip(weights, full, strict=True)]
        if beyond == full:
            return [1.0 if whole else weight * factor for weight, whole in zip(weights, full, strict=True)]
        full = beyond
