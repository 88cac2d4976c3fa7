"""The table of a network's laws: every law fitted to the entries or rows of every layer, and each layer's label."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sgdtails import layers
from sgdtails.arrays import AnyArray, Row
from sgdtails.tail_index.laws import families, goodness
from sgdtails.tail_index.laws import label as labels
from sgdtails.tail_index.laws.fitting import Fit, Norms, fit

FEWEST = 64  # weights that are not zero
_COLUMNS = ("observed", "law", "scale", "scale_low", "scale_high", "shape", "shape_low", "shape_high", "tail_index")
_MORE = ("log_likelihood", "bic", "vuong_z", "vuong_p", "distance", "fit_p", "fit_size", "label", "best", "rival")
NOTHING: Row = dict.fromkeys((*_COLUMNS, *_MORE, "margin", "observations", "dimension", "reason"))
_CHUNK = 2**18  # weights at a time


@dataclass(frozen=True)
class Settings:
    """How laws are compared: config key ``laws``.

    Parameters
    ----------
    margin, evidence : float
        Least lead of a label: ``label.choose``.
    sample : int
        The most entries, or rows, in the test of each law's fit.
    replicates : int
        Samples of its bootstrap; 0: no test.
    intervals : bool
        Whether parameters have intervals, which take half the time of a small layer.
    """

    margin: float = labels.MARGIN
    evidence: float = labels.EVIDENCE
    sample: int = 1024
    replicates: int = 99
    intervals: bool = True


def per_layer(
    weights: Mapping[str, AnyArray], *, seed: int, centring: str = "median", settings: Settings | None = None
) -> Iterator[Row]:
    """Make the rows of table ``laws`` for a network's layers.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray
        Layers in order, the last one being the head.
    seed : int
        Seed of all draws.
    centring : {"median", "mean", "none"}
        What is subtracted from the weights of a layer.
    settings : Settings, optional
        How laws are compared.

    Yields
    ------
    dict
        Columns of table ``laws``, without run and weights.

    Raises
    ------
    InputError
        For an unknown centring.

    Examples
    --------
    >>> layers_of = {"fc1": np.random.default_rng(0).laplace(size=(64, 32)), "head": np.ones((10, 64))}
    >>> rows = list(per_layer(layers_of, seed=0, settings=Settings(replicates=0)))
    >>> rows[0]["label"], rows[-1]["label"], rows[-1]["reason"]
    ('laplace', None, 'all weights are equal')
    """
    for index, (name, weight) in enumerate(weights.items()):
        head = index == len(weights) - 1
        found = of_layer(weight, seed=[seed, index], head=head, centring=centring, settings=settings)
        yield from ({"layer": index, "layer_name": name} | row for row in found)


def of_layer(
    weight: AnyArray,
    *,
    seed: Sequence[int] = (0,),
    head: bool = False,
    centring: str = "median",
    settings: Settings | None = None,
) -> list[Row]:
    """Make the rows of one layer.

    Laws of entries and of rows are fitted to the same numbers: all weights less one median, so that their log-likelihoods can be
    compared. Rows of zeros are left out of both. Other zeros are left out of the entries, and rows then have no laws; nor have rows
    of one weight, which are entries.

    Parameters
    ----------
    weight : numpy.ndarray
        A layer, (out, in) or (out, in, *kernel).
    seed : sequence of int
        Seed of all draws.
    head : bool
        True for the last layer, whose rows are its columns.
    centring : {"median", "mean", "none"}
        What is subtracted from the weights.
    settings : Settings, optional
        How laws are compared.

    Returns
    -------
    list of dict
        Columns of table ``laws``, without run, weights and the layer's index and name; one row with the reason where there are no laws.

    Raises
    ------
    InputError
        For an unknown centring.

    Examples
    --------
    >>> rows = of_layer(np.random.default_rng(0).standard_t(3, (128, 64)), settings=Settings(replicates=0))
    >>> rows[0]["label"], len(rows) == sum(map(len, families.LAWS.values()))
    ('student-t', True)
    """
    how = settings or Settings()
    samples, reason = _samples(weight, head, centring, how, np.random.default_rng([*seed, 0]))
    if not samples:
        return [NOTHING | {"reason": reason}]
    found = {
        of: [fit(law, norms, intervals=how.intervals) for law in families.LAWS[of]]
        for of, (norms, _) in samples.items()
    }
    every = [each for fits in found.values() for each in fits]
    number = samples["entries"][0].weights
    dimension = samples["rows"][0].dimension if "rows" in samples else 1
    chosen = labels.choose(every, number, dimension, margin=how.margin, evidence=how.evidence)
    common = NOTHING | vars(chosen) | {"reason": reason}
    return [common | row for of, fits in found.items() for row in _rows(of, fits, *samples[of], how, seed[0])]


def _samples(
    weight: AnyArray, head: bool, centring: str, how: Settings, rng: np.random.Generator
) -> tuple[dict[str, tuple[Norms, Norms]], str | None]:
    """Take the norms of entries and rows, and of a random part of them for tests of fit; or none and the reason."""
    matrix = layers.observations(weight, "multivariate", head=head)
    said = []
    zeros = matrix.size - int(np.count_nonzero(matrix))
    if zeros:
        live = matrix.any(axis=1)
        if not live.all():
            said.append(f"{np.sum(~live):,} of {len(matrix):,} rows are zero and left out")
        matrix = matrix[live]
        zeros = matrix.size - int(np.count_nonzero(matrix))
        if zeros:
            said.append(f"{zeros:,} of {matrix.size:,} other weights are zero and left out, so rows have no laws")
    flat = matrix[matrix != 0] if zeros else matrix.reshape(-1)
    if len(flat) < FEWEST:
        said.append(f"{len(flat):,} weights are too few for laws: {FEWEST} are needed")
        return {}, "; ".join(said)
    if flat.min() == flat.max():
        return {}, "; ".join([*said, "all weights are equal"])
    entries = layers.centre(flat, np.float32, centring)
    if np.count_nonzero(entries) < len(entries) / 2:
        return {}, "; ".join([*said, "more than half of the weights are equal: no density describes them"])
    samples = {}
    if not zeros and matrix.shape[1] > 1:  # a row of one weight is an entry
        norms = _norms(entries.reshape(matrix.shape))
        part = goodness.subsample(norms, how.sample, rng)
        samples["rows"] = Norms.of(norms, matrix.shape[1]), Norms.of(part, matrix.shape[1])
    part = goodness.subsample(entries, how.sample, rng)
    halves = [float(np.ptp(each)) / 2 for each in (entries, part)]
    np.abs(entries, out=entries)
    samples["entries"] = Norms.of(entries, 1, halves[0]), Norms.of(np.abs(part), 1, halves[1])
    return dict(sorted(samples.items())), "; ".join(said) or None


def _norms(matrix: AnyArray) -> AnyArray:
    """Compute Euclidean norms of rows in double precision."""
    step = max(1, _CHUNK // matrix.shape[1])
    parts = (matrix[start : start + step].astype(float) for start in range(0, len(matrix), step))
    return np.asarray(np.sqrt(np.concatenate([np.einsum("ij,ij->i", part, part) for part in parts])))


def _rows(of: str, fits: list[Fit], norms: Norms, part: Norms, how: Settings, seed: int) -> Iterator[Row]:
    stable = next(each for each in fits if each.law is families.STABLE_OF[of])
    for each in fits:
        vuong = None if each is stable else goodness.vuong(each, stable, norms)
        tested = {}
        if how.replicates:
            start = (each.scale[0], each.shape[0]) if each.law.shaped else None
            fitted = fit(each.law, part, intervals=False, start=start)
            p = goodness.bootstrap(of, fitted, part, replicates=how.replicates, seed=seed)
            tested = {"fit_p": p, "fit_size": part.rows}
        yield {
            "observed": of,
            "law": each.law.name,
            "observations": norms.rows,
            "dimension": norms.dimension,
            **{
                f"{name}{end}": _number(value)
                for name, values in (("scale", each.scale), ("shape", each.shape))
                for end, value in zip(("", "_low", "_high"), values, strict=True)
            },
            "tail_index": each.law.tail_index(each.shape[0]),
            "log_likelihood": each.log_likelihood,
            "bic": each.bic,
            "distance": goodness.distance(each, norms),
            **(dict(zip(("vuong_z", "vuong_p"), vuong, strict=True)) if vuong else {}),
            **tested,
        }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
