"""Estimates of samples from random orders: the published values, and from the same orders the signed means with their intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sgdtails.arrays import Array, Row
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index import published_estimators, signed_means, uncertainty
from sgdtails.tail_index.mmo import CLIP
from sgdtails.tail_index.permutations import random_order, taken
from sgdtails.tail_index.published_estimators import ALTERNATIVES


@dataclass(frozen=True)
class Settings:
    """How tail indices are estimated.

    Parameters
    ----------
    centring : {"median", "mean", "none"}
        What is subtracted from observations.
    block_lengths : sequence of int
        Block lengths K1 to aim at.
    square_root : bool
        True to aim at the square root of N too.
    permutations : int
        Random orders for the published values.
    orders : int
        Random orders with random signs, for the estimates with intervals.
    robustness : bool
        True to estimate the published variants too.

    Notes
    -----
    Config key ``tails`` explains each.
    """

    centring: str = "median"
    block_lengths: Sequence[int] = tail_index.BLOCK_LENGTHS
    square_root: bool = True
    permutations: int = tail_index.PERMUTATIONS
    orders: int = signed_means.ORDERS
    robustness: bool = True

    def targets(self, n: int) -> dict[int, list[int | str]]:
        """Return the block lengths of n observations, and what each was lowered from (``mmo.lowered_targets``)."""
        return tail_index.lowered_targets(n, self.block_lengths, square_root=self.square_root)


class Sample:
    """A sample, and what its random orders have shown.

    Parameters
    ----------
    values : numpy.ndarray or torch.Tensor
        Centred observations, (N, d) or (N,).
    settings : Settings
        Block lengths and numbers of orders.
    take : callable, optional
        Function of an order (N,) that returns the sample in it; without it ``permutations.taken``.
    signed : bool
        True to make estimates with intervals.
    alternatives : bool
        True to make those of the published code.

    Raises
    ------
    ValueError
        If the sample has no tail index.
    """

    def __init__(
        self,
        values: Array,
        settings: Settings,
        *,
        take: Callable[[Any], Any] | None = None,
        signed: bool = False,
        alternatives: bool = False,
    ) -> None:
        self.size, self.dimension = len(values), 1 if values.ndim == 1 else values.shape[1]
        self.targets = settings.targets(self.size)
        lengths = list(self.targets)
        level, self.dispersion = uncertainty.mean_and_spread(tail_index.log_norms(values))
        self._published = tail_index.Profiles(level, lengths)
        self._signed = signed_means.SignedMeans(lengths) if signed else None
        self._by_magnitude = published_estimators.of_magnitudes(values, lengths) if alternatives else {}
        self._by_blocks = published_estimators.Paulauskas(lengths) if alternatives else None
        self.take = take or partial(taken, values)
        self._failure: ValueError | None = None

    def add(
        self,
        shuffled: Array,
        places: Any,
        signs: np.random.Generator,
        *,
        published: bool,
        signed: bool,
    ) -> None:
        """Use one order for the published values, the signed means, or both; ``shuffled``, which ``take`` gave, is overwritten.

        If too many sums of blocks are zero, ``rows`` and ``alternatives`` say so.
        """
        if self._failure:
            return
        try:
            if published:
                self._published.add(shuffled)
                if self._by_blocks:
                    self._by_blocks.add(shuffled)
            if self._signed and signed:
                self._signed.add(shuffled, places, signs)
        except ValueError as error:
            self._failure = ValueError(f"sums of blocks: {error}")

    def published(self) -> float:
        """Return the paper's value, unclipped: the median over orders of the median over K1."""
        return tail_index.aggregate(self._published.inverse)

    def rows(self) -> list[Row]:
        """Return one row per K1 and one of the aggregate, or that one alone: columns of table ``tails``.

        Raises
        ------
        ValueError
            If sums of blocks have no tail index, such as those of weights that differ in their signs only.
        """
        self._check()
        published = self.published()
        whole = {"log_norm_dispersion": self.dispersion, "alpha_published": min(published, CLIP)}
        if self._signed is None:
            return [whole | {"alpha": published}]
        *single, last = (self._row(estimate) for estimate in self._signed.estimates())
        inside = last["alpha_low"] <= whole["alpha_published"] <= last["alpha_high"]
        beyond = whole["alpha_published"] == CLIP and last["alpha_high"] >= CLIP
        return [*single, last | whole | {"skewed": not (inside or beyond)}]

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    def _row(self, found: signed_means.Estimate) -> Row:
        alpha, low, high = tail_index.alpha_of(np.array([found.inverse, found.high, found.low])).tolist()
        k1 = found.k1
        return {
            "k1": k1,
            "k1_targets": ", ".join(map(str, self.targets[k1])) if k1 else None,
            "alpha": alpha,
            "alpha_low": low,
            "alpha_high": high,
            "interval_holds": signed_means.holds(k1, next(iter(self.targets)), self.dimension, high),
            "log_norm_dispersion": self.dispersion,
        }

    def alternatives(self) -> list[Row]:
        """Return rows of the published alternatives: the median over orders of the median over K1. ValueError as ``rows``."""
        self._check()
        assert self._by_blocks is not None
        values = self._by_magnitude | {"paulauskas": np.median(self._by_blocks.values, axis=1)}
        alphas = [float(np.median(values[name])) for name in ALTERNATIVES]
        return [
            {"estimator": name, "alpha": alpha, "alpha_published": min(alpha, CLIP)}
            for name, alpha in zip(published_estimators.NAMES, alphas, strict=True)
        ]


def show(samples: Sequence[Sample], seed: Sequence[int], settings: Settings) -> None:
    """Show samples of one size and device the same random orders.

    The first ``settings.permutations`` orders are for the published values, the first ``settings.orders`` for signed means.

    Parameters
    ----------
    samples : sequence of Sample
        Samples of N observations each; they collect what the orders show.
    seed : sequence of int
        Seed of the orders and signs, which are drawn on the host.
    settings : Settings
        Numbers of orders.

    Examples
    --------
    >>> sample = Sample(np.random.default_rng(0).standard_normal((200, 3)), Settings(), signed=True)
    >>> show([sample], [0], Settings())
    >>> *_, aggregate = sample.rows()
    >>> bool(aggregate["alpha_low"] < 2 < aggregate["alpha_high"])
    True
    """
    rng, signs, tracker = np.random.default_rng(seed), np.random.default_rng([*seed, 1]), signed_means.Tracker()
    for number in range(max(settings.permutations, settings.orders)):
        order = random_order(samples[0].size, rng)
        places = tracker.places(order)
        wanted = {"published": number < settings.permutations, "signed": number < settings.orders}
        for sample in samples:
            shuffled = sample.take(order)
            if sample is samples[-1]:
                del order  # frees memory: an order is as large as a sample of single numbers
            sample.add(shuffled, places, signs, **wanted)
            del shuffled
