"""How estimators and tail classes fare on samples whose law is known: bias, spread and coverage, and classes of layers."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from sgdtails.arrays import AnyArray, Row
from sgdtails.errors import InputError
from sgdtails.stable import sampling as stable
from sgdtails.tail_index import classify, layer_tails

Sampler = Callable[[tuple[int, int], np.random.Generator], AnyArray]


def _mixture(spread: float) -> Sampler:
    return lambda shape, rng: rng.standard_normal(shape) * np.exp(spread * rng.standard_normal(shape[0]))[:, None]


# Laws of known tail class, by name: the class, and a function that draws a layer.
LAWS: dict[str, tuple[str, Sampler]] = {
    "gaussian": ("finite-variance-like", lambda shape, rng: rng.standard_normal(shape)),
    "uniform": ("finite-variance-like", lambda shape, rng: rng.uniform(-1, 1, shape)),
    "laplace": ("finite-variance-like", lambda shape, rng: rng.laplace(size=shape)),
    "student_5": ("finite-variance-like", lambda shape, rng: rng.standard_t(5, shape)),
    "student_3": ("finite-variance-like", lambda shape, rng: rng.standard_t(3, shape)),
    "mixture_0.25": ("scale-mixture-like", _mixture(0.25)),
    "mixture_0.5": ("scale-mixture-like", _mixture(0.5)),
    "stable_1.5": ("stable-like", lambda shape, rng: stable.sample(1.5, shape, rng=rng)),
    "stable_1.8": ("stable-like", lambda shape, rng: stable.sample(1.8, shape, rng=rng)),
    "stable_1.95": ("stable-like", lambda shape, rng: stable.sample(1.95, shape, rng=rng)),
    "elliptical_1.8": ("stable-like", lambda shape, rng: stable.elliptical(1.8, *shape, rng=rng)),
}
# How the entries of a stable layer depend on each other within a row.
STRUCTURES: dict[str, Callable[..., AnyArray]] = {
    "independent": lambda alpha, shape, rng: stable.sample(alpha, shape, rng=rng),
    "elliptical": lambda alpha, shape, rng: stable.elliptical(alpha, *shape, rng=rng),
}


def calibration_rows(
    *, structure: str, shape: Sequence[int], alpha: Sequence[float], layers: int, seed: int
) -> Iterator[Row]:
    """Make the rows of table ``calibration``: errors of 1/alpha over simulated stable layers of one structure and shape.

    Parameters
    ----------
    structure : str
        How the entries of a row depend on each other, one of ``STRUCTURES``.
    shape : sequence of int
        Observations and their dimension, (N, d).
    alpha : sequence of float
        Tail indices of the laws.
    layers : int
        Layers simulated for each.
    seed : int
        Seed of all draws.

    Yields
    ------
    dict
        Columns of table ``calibration``.

    Raises
    ------
    InputError
        If layers of this shape have no tail index.

    Examples
    --------
    >>> rows = list(calibration_rows(structure="independent", shape=[64, 4], alpha=[1.8], layers=2, seed=0))
    >>> {row["estimator"] for row in rows} == set(layer_tails.TAIL_INDICES)
    True
    """
    number = list(STRUCTURES).index(structure)
    for index in alpha:
        found: dict[tuple[str, int | None], list[tuple[float, float, float]]] = {}
        for draw in range(layers):
            unique = [seed, number, *shape, round(1e4 * index), draw]
            layer = STRUCTURES[structure](index, shape, rng=np.random.default_rng(unique)).astype(np.float32)
            for row in layer_tails.of_layer(layer, seed=unique):
                if row["reason"]:
                    raise InputError(
                        f"config key calibration.shapes: {shape[0]} x {shape[1]}: {row['reason']}; choose others."
                    )
                values = (row["alpha"], row["alpha_low"], row["alpha_high"])
                found.setdefault((row["estimator"], row["k1"]), []).append(values)
        common = {"structure": structure, "observations": shape[0], "dimension": shape[1], "alpha": index}
        yield from (common | row for row in _errors(found, index))


def _errors(found: Mapping[tuple[str, int | None], list[tuple[float, float, float]]], alpha: float) -> Iterator[Row]:
    for (estimator, k1), values in found.items():
        estimate, low, high = np.array(
            values, dtype=np.float64
        ).T  # published variants have no interval, which becomes not-a-number
        with np.errstate(divide="ignore"):
            errors = 1 / estimate - 1 / alpha  # 1/inf = 0: no tail index
        yield {
            "estimator": estimator,
            "k1": k1,
            "layers": len(values),
            "bias": float(errors.mean()),
            "spread": float(errors.std(ddof=1)) if len(values) > 1 else None,
            "coverage": None if np.isnan(low).any() else float(np.mean((low <= alpha) & (alpha <= high))),
        }


def confusion_rows(*, shapes: Sequence[Sequence[int]], layers: int, seed: int) -> Iterator[Row]:
    """Make the rows of table ``confusion``: how often layers of each law and shape get each tail class.

    Parameters
    ----------
    shapes : sequence of sequence of int
        Observations and their dimension, (N, d).
    layers : int
        Layers simulated for each law and shape.
    seed : int
        Seed of all draws.

    Yields
    ------
    dict
        Columns of table ``confusion``.

    Examples
    --------
    >>> rows = confusion_rows(shapes=[[256, 64]], layers=2, seed=0)
    >>> [(row["reading"], row["count"]) for row in rows if row["law"] == "gaussian"]
    [('stable-like', 0), ('finite-variance-like', 1), ('scale-mixture-like', 0), ('undecided', 1)]
    """
    simulated = label_counts(
        lambda layer, rng: classify.classify_layer(layer, head=False, rng=rng)["reading"],
        shapes=shapes,
        layers=layers,
        seed=seed,
    )
    for common, counts in simulated:
        for label in classify.LABELS:
            truth = {"law": common["law"], "truth": LAWS[common["law"]][0]}
            yield truth | common | {"reading": label, "count": counts[label], "layers": layers}


def label_counts(
    label_of: Callable[[AnyArray, np.random.Generator], str], *, shapes: Sequence[Sequence[int]], layers: int, seed: int
) -> Iterator[tuple[Row, Counter[str]]]:
    """Simulate layers of each law and shape, and count their labels.

    Parameters
    ----------
    label_of : callable
        Returns the label of a layer, float32 (N, d), given the generator that has drawn it.
    shapes : sequence of sequence of int
        Observations and their dimension, (N, d).
    layers : int
        Layers simulated for each law and shape.
    seed : int
        Seed of all draws.

    Yields
    ------
    tuple
        Law, observations and dimension, as a row; and the number of layers with each label.

    Examples
    --------
    >>> common, counts = next(label_counts(lambda layer, rng: "any", shapes=[[8, 2]], layers=3, seed=0))
    >>> common["law"], counts["any"]
    ('gaussian', 3)
    """
    for number, (law, (_, draw)) in enumerate(LAWS.items()):
        for observations, dimension in shapes:
            counts: Counter[str] = Counter()
            for index in range(layers):
                rng = np.random.default_rng([seed, number, observations, dimension, index])
                counts[label_of(draw((observations, dimension), rng).astype(np.float32), rng)] += 1
            yield {"law": law, "observations": observations, "dimension": dimension}, counts
