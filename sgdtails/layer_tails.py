"""The tables of one network's tails: every estimator on every layer, with intervals, and each layer's reading."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import estimators, layers, readings, tail_index, uncertainty
from sgdtails.errors import InputError

ESTIMATORS = {"mmo_multivariate": "multivariate", "mmo_univariate": "univariate"}
_NOTHING = dict.fromkeys(("k1", "alpha", "alpha_published", "alpha_low", "alpha_high", "log_norm_dispersion", "reason"))


Own = Mapping[str, Callable[[NDArray], Any]]  # estimators of the user's, by name


def per_layer(
    weights: Mapping[str, NDArray], *, seed: int, own: Own = MappingProxyType({})
) -> Iterator[dict[str, Any]]:
    """Rows of the table ``tails`` (less run and weights) for layers in order, the last one being the head.

    Layer l and estimator e draw from the seed (seed, l, e), the same for every network. A layer that an estimator
    cannot take (a prime number of observations, equal weights) has a row with the reason and no values.
    """
    for index, (name, weight) in enumerate(weights.items()):
        rows = of_layer(weight, seed=[seed, index], head=index == len(weights) - 1, own=own)
        yield from ({"layer": index, "layer_name": name} | row for row in rows)


def of_layer(
    weight: NDArray, *, seed: Sequence[int] = (0,), head: bool = False, own: Own = MappingProxyType({})
) -> Iterator[dict[str, Any]]:
    """The rows of one layer, a weight array of two or more dimensions, less its index and name; ``own`` estimators last."""
    for number, (estimator, purpose) in enumerate(ESTIMATORS.items()):
        sample = layers.centre(layers.observations(weight, purpose, head=head), np.float32)  # type: ignore[arg-type]
        rows = _mmo(sample, np.random.default_rng([*seed, number]))
        yield from (_NOTHING | {"estimator": estimator} | _size(sample) | row for row in rows)
    # The sample is now the univariate one, which the alternatives take as well.
    others = _alternatives(sample, np.random.default_rng([*seed, len(ESTIMATORS)]))
    yield from (_NOTHING | _size(sample) | row for row in others)
    for name, function in own.items():
        yield _NOTHING | _size(sample) | {"estimator": name} | _by_own(name, function, sample.copy())


def per_layer_readings(weights: Mapping[str, NDArray], *, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of the table ``readings`` (less run and weights), one per layer; undecided with a reason where there is none."""
    for index, (name, weight) in enumerate(weights.items()):
        rng = np.random.default_rng([seed, index, len(ESTIMATORS) + 1])
        try:
            found = readings.of_layer(weight, head=index == len(weights) - 1, rng=rng)
        except ValueError as error:
            found = readings.NOTHING | {"reason": str(error)}
        yield {"layer": index, "layer_name": name} | found


def _size(sample: NDArray) -> dict[str, int]:
    return {"observations": len(sample), "dimension": 1 if sample.ndim == 1 else sample.shape[1]}


def _mmo(sample: NDArray[np.float32], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    try:
        dispersion = {"log_norm_dispersion": float(tail_index.log_norms(sample).std(dtype=np.float64))}
        lengths, inverse = tail_index.profile(sample, rng=rng)
        single, whole = uncertainty.intervals(sample, rng=rng)
    except ValueError as error:
        yield {"reason": str(error)}
        return
    for column, (k1, ends) in enumerate(zip(lengths, single, strict=True)):
        alpha = float(tail_index.alpha_of(np.median(inverse[:, column])))
        yield dispersion | {"k1": k1, "alpha": alpha} | _interval(ends)
    alpha = tail_index.aggregate(inverse)
    yield dispersion | {"alpha": alpha, "alpha_published": min(alpha, tail_index.CLIP)} | _interval(whole)


def _interval(inverse: tuple[float, float]) -> dict[str, float]:
    low, high = tail_index.alpha_of(np.array(inverse[::-1])).tolist()
    return {"alpha_low": low, "alpha_high": high}


def _alternatives(sample: NDArray[np.float32], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    try:
        found = estimators.estimates(sample, rng=rng)
    except ValueError as error:
        yield from ({"estimator": name, "reason": str(error)} for name in estimators.ESTIMATORS)
        return
    for name, alpha, low, high in found:
        yield {"estimator": name, "alpha": alpha, "alpha_low": low, "alpha_high": high}


def _by_own(name: str, estimator: Callable[[NDArray], Any], sample: NDArray[np.float32]) -> dict[str, Any]:
    """What an estimator of the user's says: alpha, or alpha and its interval; a ValueError of it is a reason for none."""
    try:
        found = estimator(sample)
    except ValueError as error:
        return {"reason": str(error)}
    try:
        numbers = np.atleast_1d(np.asarray(found, dtype=object)).astype(float)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor that needs a gradient
        numbers = np.empty(0)
    if numbers.shape not in ((1,), (3,)) or np.isnan(numbers).any():
        raise InputError(
            f"config key tails.own.{name}: it gave {found!r:.100}; it must give alpha, or (alpha, low, high)."
        )
    return dict(zip(("alpha", "alpha_low", "alpha_high"), numbers.tolist(), strict=False))
