"""The tables of one network's tails: every estimator on every layer, with intervals, and each layer's tail class."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import arrays, layers
from sgdtails.arrays import AnyArray, Array, Row, array_namespace, is_torch_array
from sgdtails.errors import InputError
from sgdtails.tail_index import block_estimates, classify, estimators, published_estimators, spectrum
from sgdtails.tail_index.block_estimates import Sample
from sgdtails.tail_index.block_estimates import Settings as Settings
from sgdtails.tail_index.permutations import index_of, taken

ESTIMATORS = {"mmo_multivariate": "multivariate", "mmo_univariate": "univariate"}
# Estimators that give the published value of rows centred otherwise; they have no intervals.
CENTRINGS = {"published_mean_centred": "mean", "published_uncentred": "none"}
UNIVARIATE = "published_univariate"
TAIL_INDICES = (*ESTIMATORS, *estimators.ESTIMATORS, *CENTRINGS, UNIVARIATE, *published_estimators.NAMES)
NAMES = (*TAIL_INDICES, spectrum.NAME)  # in table tails
AS_PUBLISHED = Settings()
_COLUMNS = ("k1", "k1_targets", "alpha", "alpha_low", "alpha_high", "interval_holds", "alpha_published", "skewed")
_NOTHING: dict[str, Any] = dict.fromkeys((*_COLUMNS, "log_norm_dispersion", "reason"))
_CHUNK = 2**16  # numbers at a time

Rows = Iterator[Row]
Own = Mapping[str, Callable[[AnyArray], Any]]  # estimators of the user's, by name


def per_layer(
    weights: Mapping[str, Array], *, seed: int, settings: Settings = AS_PUBLISHED, own: Own = MappingProxyType({})
) -> Rows:
    """Make the rows of table ``tails`` for a network's layers.

    After the tail indices of a layer (``of_layer``) comes the exponent of its spectrum, a rival of theirs. Layer l and estimator e
    draw from the seed (seed, l, e), the same for every network. A layer that an estimator cannot take (a prime number of
    observations, equal weights) has a row with the reason and no values.

    With torch tensors, samples, their orders and signs, block sums and sorted magnitudes stay on their device, and values are
    those of numpy to about seven digits. Orders and signs are drawn on the host; means, the largest magnitudes, a few hundred
    blocks and the user's own estimators are worked on there too.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    seed : int
        Seed of all random orders and signs.
    settings : Settings
        How tail indices are estimated.
    own : mapping of str to callable
        Estimators of the user's, by name: functions of the centred entries, float32 (N,).

    Yields
    ------
    dict
        Columns of table ``tails``, without run and weights.

    Raises
    ------
    InputError
        For an unknown centring, or if an estimator of the user's returns something else than alpha, or alpha and its interval.

    Examples
    --------
    >>> layers_of = {"fc1": np.random.default_rng(0).standard_normal((64, 32))}
    >>> row = next(row for row in per_layer(layers_of, seed=0) if row["k1"] is None)
    >>> row["layer_name"], row["estimator"], row["observations"], row["dimension"]
    ('fc1', 'mmo_multivariate', 32, 64)
    """
    for index, (name, weight) in enumerate(weights.items()):
        head = index == len(weights) - 1
        rows = of_layer(weight, seed=[seed, index], head=head, settings=settings, own=own)
        yield from ({"layer": index, "layer_name": name} | row for row in (*rows, _NOTHING | spectrum.row(weight)))


def of_layer(
    weight: Array,
    *,
    seed: Sequence[int] = (0,),
    head: bool = False,
    settings: Settings = AS_PUBLISHED,
    own: Own = MappingProxyType({}),
) -> Rows:
    """Make the rows of one layer's tail indices.

    First come the two estimators of block sums, then their rivals on single entries, the published variants, and ``own`` last.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer, (out, in) or (out, in, *kernel).
    seed : sequence of int
        Seed of all random orders and signs.
    head : bool
        True for the last layer, whose observations are its columns.
    settings : Settings
        How tail indices are estimated.
    own : mapping of str to callable
        Estimators of the user's, by name: functions of the centred entries, float32 (N,).

    Yields
    ------
    dict
        Columns of table ``tails``, without run, weights and the layer's index and name.

    Raises
    ------
    InputError
        For an unknown centring, or if an estimator of the user's returns something else than alpha, or alpha and its interval.

    Examples
    --------
    >>> layer = np.random.default_rng(0).standard_normal((64, 32))
    >>> rows = list(of_layer(layer))
    >>> {row["estimator"] for row in rows} == set(TAIL_INDICES)
    True
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


def _of_rows(matrix: Array, seed: Sequence[int], settings: Settings) -> list[Row]:
    name = {"estimator": "mmo_multivariate"}
    try:
        sample = Sample(layers.centre(matrix, np.float32, settings.centring), settings, signed=True)
        block_estimates.show([sample], seed, settings)
        return [name | row for row in sample.rows()]
    except ValueError as error:
        return [name | {"reason": str(error)}]


def _centred(matrix: Array, how: str, seed: Sequence[int], settings: Settings) -> Row:
    """Return the paper's value of rows that are centred otherwise, from the same orders."""
    try:
        sample = Sample(layers.centre(matrix, np.float32, how), settings)
        block_estimates.show([sample], seed, settings)
        return sample.rows()[0]
    except ValueError as error:
        return {"reason": str(error)}


def _of_entries(matrix: Array, entries: Array, seed: Sequence[int], settings: Settings) -> Iterator[list[Row]]:
    """Yield rows of ``mmo_univariate``; then those of the published univariate sample, from the same orders."""
    own = _made(lambda: Sample(entries, settings, signed=True))
    published = [_made(lambda: _published_entries(matrix, entries, settings))] if settings.robustness else []
    if samples := [each for each in (*published, own) if isinstance(each, Sample)]:
        block_estimates.show(samples, seed, settings)
    yield _found(own, ["mmo_univariate"], lambda own: [{"estimator": "mmo_univariate"} | row for row in own.rows()])
    for sample in published:
        yield _found(
            sample,
            [UNIVARIATE, *published_estimators.NAMES],
            lambda sample: [{"estimator": UNIVARIATE} | sample.rows()[0], *sample.alternatives()],
        )


def _made(make: Callable[[], Sample]) -> Sample | ValueError:
    """Make a sample, or return why it has no tail index."""
    try:
        return make()
    except ValueError as error:
        return error


def _found(sample: Sample | ValueError, names: Sequence[str], rows: Callable[[Sample], list[Row]]) -> list[Row]:
    """Return the rows of a sample, or where it has no tail index one with the reason for each estimator."""
    if isinstance(sample, Sample):
        try:
            return rows(sample)
        except ValueError as error:
            sample = error
    return [{"estimator": name, "reason": str(sample)} for name in names]


def _published_entries(matrix: Array, entries: Array, settings: Settings) -> Sample:
    """Build the sample of entries as the published code takes them: centred in each column first, then all together.

    They differ from ``entries`` by one number per column, so a copy of them is only made for one order at a time.
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
            rows = part // len(offset)  # faster than %
            shuffled[start : start + step] -= taken(offset, part - rows * len(offset))
        return shuffled

    return Sample(flat, settings, take=take, alternatives=True)


def per_layer_classes(weights: Mapping[str, Array], *, seed: int, centring: str = "median") -> Rows:
    """Make the rows of table ``readings``: each layer's tail class.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    seed : int
        Seed of all random orders and signs.
    centring : {"median", "mean", "none"}
        What is subtracted from observations.

    Yields
    ------
    dict
        Columns of table ``readings``, without run and weights, one row per layer; undecided with a reason where a layer has no
        tail index.

    Raises
    ------
    InputError
        For an unknown centring.

    Examples
    --------
    >>> layers_of = {"fc1": np.random.default_rng(0).standard_normal((256, 64)), "head": np.ones((10, 64))}
    >>> [(row["reading"], row["reason"]) for row in per_layer_classes(layers_of, seed=0)]
    [('finite-variance-like', None), ('undecided', 'more than half of the observations are zero: they have no tail index')]
    """
    for index, (name, weight) in enumerate(weights.items()):
        rng = np.random.default_rng([seed, index, len(ESTIMATORS) + 1])
        try:
            found = classify.classify_layer(weight, head=index == len(weights) - 1, rng=rng, centring=centring)
        except ValueError as error:
            found = classify.NOTHING | {"reason": str(error)}
        yield {"layer": index, "layer_name": name} | found


def _rivals(sample: Array, rng: np.random.Generator) -> Iterator[Row]:
    try:
        found = estimators.estimates(sample, rng=rng)
    except ValueError as error:
        yield from ({"estimator": name, "reason": str(error)} for name in estimators.ESTIMATORS)
        return
    for name, alpha, low, high in found:
        yield {"estimator": name, "alpha": alpha, "alpha_low": low, "alpha_high": high}


def _by_own(name: str, estimator: Callable[[AnyArray], Any], sample: NDArray[np.float32]) -> Row:
    """Return what an estimator of the user's says: alpha, or alpha and its interval; a ValueError of it is a reason for none."""
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
