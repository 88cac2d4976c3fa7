"""The tables of one network's tails: every estimator on every layer, with intervals, and each layer's reading."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import arrays, layers
from sgdtails.arrays import array_namespace, is_torch_array
from sgdtails.errors import InputError
from sgdtails.tail_index import block_estimates, estimators, published_estimators, readings
from sgdtails.tail_index.block_estimates import Sample, Settings
from sgdtails.tail_index.permutations import index_of, taken

ESTIMATORS = {"mmo_multivariate": "multivariate", "mmo_univariate": "univariate"}
# The published values of other samples and by other estimators, beside the paper's own; without intervals.
CENTRINGS = {"published_mean_centred": "mean", "published_uncentred": "none"}
UNIVARIATE = "published_univariate"
NAMES = (*ESTIMATORS, *estimators.ESTIMATORS, *CENTRINGS, UNIVARIATE, *published_estimators.NAMES)
AS_PUBLISHED = Settings()
_COLUMNS = ("k1", "k1_targets", "alpha", "alpha_low", "alpha_high", "interval_holds", "alpha_published", "skewed")
_NOTHING: dict[str, Any] = dict.fromkeys((*_COLUMNS, "log_norm_dispersion", "reason"))
_CHUNK = 2**16  # numbers at a time

Rows = Iterator[dict[str, Any]]
Own = Mapping[str, Callable[[NDArray], Any]]  # estimators of the user's, by name


def per_layer(
    weights: Mapping[str, Any], *, seed: int, settings: Settings = AS_PUBLISHED, own: Own = MappingProxyType({})
) -> Rows:
    """Rows of the table ``tails`` (less run and weights) for layers in order, the last one being the head.

    Layer l and estimator e draw from the seed (seed, l, e), the same for every network. A layer that an estimator
    cannot take (a prime number of observations, equal weights) has a row with the reason and no values.

    Weights are arrays of numpy, or torch tensors: then samples, their orders and signs, block sums and sorted magnitudes stay
    on their device, and values are those of numpy to about seven digits. On the host stay the drawing of orders and signs, what
    is done with means, with the largest magnitudes and with a few hundred blocks, and estimators of the user's.
    """
    for index, (name, weight) in enumerate(weights.items()):
        head = index == len(weights) - 1
        rows = of_layer(weight, seed=[seed, index], head=head, settings=settings, own=own)
        yield from ({"layer": index, "layer_name": name} | row for row in rows)


def of_layer(
    weight: Any,
    *,
    seed: Sequence[int] = (0,),
    head: bool = False,
    settings: Settings = AS_PUBLISHED,
    own: Own = MappingProxyType({}),
) -> Rows:
    """The rows of one layer, a weight array of two or more dimensions, less its index and name.

    First the two estimators of block sums, then their rivals on single entries, the published variants, and ``own`` last.
    """
    matrix = layers.observations(weight, "multivariate", head=head)
    xp = array_namespace(matrix)
    entries = xp.astype(matrix, xp.float32, copy=False).reshape(-1)
    matrix = entries.reshape(matrix.shape)  # its rows are one after the other now
    size, size_of_entries = ({"observations": n, "dimension": d} for n, d in (matrix.shape, (len(entries), 1)))
    yield from (_NOTHING | size | row for row in _of_rows(matrix, [*seed, 0], settings))
    entries = layers.centre(entries, np.float32, settings.centring)
    of_entries = _of_entries(matrix, entries, [*seed, 1], settings)
    rivals = _rivals(entries, np.random.default_rng([*seed, len(ESTIMATORS)]))
    yield from (_NOTHING | size_of_entries | row for row in (*next(of_entries), *rivals))
    if settings.robustness:
        for name, how in CENTRINGS.items():
            yield _NOTHING | size | {"estimator": name} | _centred(matrix, how, [*seed, 0], settings)
        yield from (_NOTHING | size_of_entries | row for row in next(of_entries))
    for name, function in own.items():
        yield _NOTHING | size_of_entries | {"estimator": name} | _by_own(name, function, np.array(arrays.host(entries)))


def _of_rows(matrix: Any, seed: Sequence[int], settings: Settings) -> list[dict[str, Any]]:
    name = {"estimator": "mmo_multivariate"}
    try:
        sample = Sample(layers.centre(matrix, np.float32, settings.centring), settings, signed=True)
    except ValueError as error:
        return [name | {"reason": str(error)}]
    block_estimates.show([sample], seed, settings)
    return [name | row for row in sample.rows()]


def _centred(matrix: Any, how: str, seed: Sequence[int], settings: Settings) -> dict[str, Any]:
    """The paper's value of rows that are centred otherwise, from the same orders."""
    try:
        sample = Sample(layers.centre(matrix, np.float32, how), settings)
    except ValueError as error:
        return {"reason": str(error)}
    block_estimates.show([sample], seed, settings)
    return sample.rows()[0]


def _of_entries(matrix: Any, entries: Any, seed: Sequence[int], settings: Settings) -> Iterator[list[dict[str, Any]]]:
    """Rows of ``mmo_univariate``; then those of the published univariate sample, which is looked at in the same orders."""
    name, others = {"estimator": "mmo_univariate"}, (UNIVARIATE, *published_estimators.NAMES)
    try:
        published = [_published_entries(matrix, entries, settings)] if settings.robustness else []
        own = Sample(entries, settings, signed=True)
    except ValueError as error:
        yield [name | {"reason": str(error)}]
        yield [{"estimator": other, "reason": str(error)} for other in others]
        return
    block_estimates.show([*published, own], seed, settings)
    yield [name | row for row in own.rows()]
    for sample in published:
        yield [{"estimator": UNIVARIATE} | sample.rows()[0], *sample.alternatives()]


def _published_entries(matrix: Any, entries: Any, settings: Settings) -> Sample:
    """The entries as the published code takes them: centred in each column first, then all together.

    They differ from ``entries`` by one number per column, so a copy of them is only made for the order that is looked at.
    """
    columns = layers.middle(matrix, settings.centring)
    flat = (matrix - columns).reshape(-1)
    common = layers.middle(flat, settings.centring)
    flat -= common
    offset = columns + common - (matrix[0, 0] - entries[0])

    def take(order: NDArray[np.integer]) -> Any:
        order = index_of(order, entries)
        shuffled, step = taken(entries, order), len(order) if is_torch_array(entries) else _CHUNK
        for start in range(0, len(order), step):
            part = order[start : start + step]
            rows = part // len(offset)  # its remainder is slow
            shuffled[start : start + step] -= taken(offset, part - rows * len(offset))
        return shuffled

    return Sample(flat, settings, take=take, alternatives=True)


def per_layer_readings(weights: Mapping[str, Any], *, seed: int, centring: str = "median") -> Rows:
    """Rows of the table ``readings`` (less run and weights), one per layer; undecided with a reason where there is none."""
    for index, (name, weight) in enumerate(weights.items()):
        rng = np.random.default_rng([seed, index, len(ESTIMATORS) + 1])
        try:
            found = readings.of_layer(weight, head=index == len(weights) - 1, rng=rng, centring=centring)
        except ValueError as error:
            found = readings.NOTHING | {"reason": str(error)}
        yield {"layer": index, "layer_name": name} | found


def _rivals(sample: Any, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    try:
        found = estimators.estimates(sample, rng=rng)
    except ValueError as error:
        yield from ({"estimator": name, "reason": str(error)} for name in estimators.ESTIMATORS)
        return
    for name, alpha, low, high in found:
        yield {"estimator": name, "alpha": alpha, "alpha_low": low, "alpha_high": high}


def _by_own(name: str, estimator: Callable[[NDArray], Any], sample: NDArray[np.float32]) -> dict[str, Any]:
    """What an estimator of the user's says: alpha, or alpha and its interval; a ValueError of it is a reason for none.

    InputError unless 0 < alpha < inf and 0 <= low <= high.
    """
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
    alpha, *interval = numbers.tolist()
    if not 0 < alpha < np.inf or (interval and not 0 <= interval[0] <= interval[1]):
        raise InputError(
            f"config key tails.own.{name}: it gave {found!r:.100}; alpha must be positive and finite, and 0 <= low <= high. "
            "Let it raise ValueError where it has no estimate."
        )
    return {"alpha": alpha} | dict(zip(("alpha_low", "alpha_high"), interval, strict=False))
