"""What a checkpoint's weights say by themselves: tails, readings, nulls, compressibility and spectrum, layer by layer."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import layers
from sgdtails.arrays import array_namespace
from sgdtails.audit.weights.matrices import Matrix, matrices
from sgdtails.errors import InputError
from sgdtails.pruning import compression
from sgdtails.tail_index import classify, layer_tails, nulls
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index.block_estimates import Settings

if TYPE_CHECKING:
    from torch import Tensor

CURVE = tuple(share / 40 for share in range(41))  # shares of terms removed
ENERGY = 0.9  # share of the sum of squared singular values that rank_90 holds
WIDEST = 4096  # shorter side of a matrix whose singular values are taken; of a wider one as many random rows
SPARED = 0.1  # largest share of rows left out for a number of observations that has block lengths
_TRIED = 512  # numbers of rows that are looked at for that
_ENOUGH = 3  # block lengths of a layer of which no row is left out
VOTES = 5  # readings of a layer: one alone depends on its permutation
_CHUNK = 2**24  # weights in double precision at a time
ESTIMATED = ("alpha", "alpha_low", "alpha_high", "interval_holds", "alpha_published", "skewed")
WITHOUT_RIVALS = Settings(robustness=False)
_MEASURED = (
    *(f"{prefix}{name}" for prefix in ("", "entries_") for name in ESTIMATED),
    *("votes", "log_norm_dispersion", "below_gaussian", "below_shuffled", "entries_below_gaussian", "block_lengths"),
    *("rank_90", "rank_90_share", "effective_rank", "effective_rank_share", "spectrum_rows", "reason"),
)
Rows = dict[str, list[dict[str, Any]]]


def audit(
    state: Mapping[str, "Tensor"],
    *,
    where: str,
    seed: int,
    entries: int,
    nulls: Mapping[str, int],
    epsilon: list[float],
    exclude: Sequence[str] = (),
) -> Rows:
    """Rows of the tables ``audit``, ``audit_profiles``, ``audit_curves``, ``audit_compression`` and ``audit_skipped``, less the checkpoint.

    ``entries``: most weights of a layer that its estimates are made from; nulls: replicates and entries of theirs; exclude:
    patterns of names of arrays that are no layers.
    InputError if the state, which came from ``where``, holds no matrix.
    """
    found, skipped = matrices(state, exclude)
    if not found:
        raise InputError(
            f"{where} holds no matrices among its {len(state)} arrays; give a state dict with weights of layers as floating-point numbers."
        )
    rows: Rows = {name: [] for name in ("audit", "audit_profiles", "audit_curves", "audit_compression")}
    for index, matrix in enumerate(found):
        print(f"layer {index + 1} of {len(found)}: {matrix.name}", flush=True)
        common = {"layer": index, "layer_name": matrix.name}
        for table, part in _layer(matrix, [seed, index], entries, nulls, epsilon).items():
            rows[table] += [common | row for row in part]
    rows["audit_skipped"] = [entry.row() for entry in skipped]
    return rows


def _layer(
    matrix: Matrix, seed: Sequence[int], entries: int, null_settings: Mapping[str, int], epsilon: Sequence[float]
) -> Rows:
    shape = matrix.shape
    row: dict[str, Any] = {
        "kind": matrix.kind,
        "orientation": matrix.orientation,
        "shape": " x ".join(map(str, shape)),
        "dtype": matrix.dtype,
        "parameters": math.prod(shape),
        "observations": 0,
        "observations_left_out": 0,
        "reading": "undecided",
        **dict.fromkeys(_MEASURED),
    }
    if matrix.reason is not None:
        return {"audit": [row | {"reason": matrix.reason}]}
    tensor, each = matrix.tensor, _observations_per_row(shape)
    sample = some_rows(tensor, rows_used(shape, entries), np.random.default_rng([*seed, 0]))
    row |= {"observations": len(sample) * each, "observations_left_out": (shape[0] - len(sample)) * each}
    if not finite(tensor):
        return {"audit": [row | {"reason": "the weights are not all finite"}]}
    row |= _estimates(sample, seed)
    small = some_rows(tensor, rows_used(shape, null_settings["entries"]), np.random.default_rng([*seed, 1]))
    profiles = list(nulls.bands(small, None, head=False, replicates=null_settings["replicates"], seed=[*seed, 2]))
    row |= _outside(profiles)
    values, used = singular_values(tensor, np.random.default_rng([*seed, 3]))
    row |= _spectrum(values, used)
    curves, kappas = _compressibility(sample, values, (used, math.prod(shape[1:])), epsilon)
    return {"audit": [row], "audit_profiles": profiles, "audit_curves": curves, "audit_compression": kappas}


def rows_used(shape: Sequence[int], most: int) -> int:
    """How many rows (of the first axis) are used: at most ``most`` weights, and such that the observations have block lengths.

    All rows if they can be. Else a prime number, or one like it, would have no profile: up to a tenth less are taken, as many
    as can be read, or else have the most block lengths.
    """
    rows = min(shape[0], max(1, most // math.prod(shape[1:])))
    each = _observations_per_row(shape)

    def merit(n: int) -> tuple[bool, int]:
        try:
            return classify.slope_lengths(n * each) is not None, len(tail_index.block_lengths(n * each))
        except ValueError:
            return False, 0

    if rows == shape[0] and merit(rows)[1] >= _ENOUGH:
        return rows
    fewest = max(1, math.ceil((1 - SPARED) * rows), rows - _TRIED)
    return max(range(rows, fewest - 1, -1), key=merit)


def _observations_per_row(shape: Sequence[int]) -> int:
    """A convolution has one kernel an observation, anything else one row."""
    return shape[1] if len(shape) > 2 else 1


def some_rows(tensor: "Tensor", rows: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """So many random rows of a tensor in their order, single precision, in memory of their own."""
    if rows < len(tensor):
        tensor = tensor[np.sort(rng.choice(len(tensor), rows, replace=False))]
    xp = array_namespace(tensor)
    return np.array(np.asarray(xp.astype(tensor, xp.float32)), order="C")


def finite(tensor: "Tensor") -> bool:
    """Whether every weight is finite; looks at some rows at a time."""
    xp = array_namespace(tensor)
    return all(bool(xp.all(xp.isfinite(part))) for part in _parts(tensor))


def _parts(tensor: "Tensor") -> Iterator["Tensor"]:
    """Some rows at a time."""
    step = max(1, _CHUNK // math.prod(tensor.shape[1:]))
    return (tensor[start : start + step] for start in range(0, len(tensor), step))


def _estimates(sample: NDArray[np.float32], seed: Sequence[int]) -> dict[str, Any]:
    """The aggregates of rows and entries with intervals, and the reading."""
    result: dict[str, Any] = {}
    try:
        result |= _reading(sample, [*seed, 4])
    except ValueError as error:
        result["reason"] = str(error)
    aggregates = 0
    for row in layer_tails.of_layer(sample, seed=[*seed, 5], settings=WITHOUT_RIVALS):
        if row["k1"] is not None:
            continue
        prefix = "" if row["estimator"] == "mmo_multivariate" else "entries_"
        result |= {f"{prefix}{name}": row[name] for name in ESTIMATED}
        result["reason"] = result["reason"] or row["reason"]
        aggregates += 1
        if aggregates == len(layer_tails.ESTIMATORS):  # what follows are rival estimators, which take longest
            break
    return result


def _reading(sample: NDArray[np.float32], seed: Sequence[int]) -> dict[str, Any]:
    rows, entries = classify.centred_samples(sample, head=False)
    return majority(
        [classify.classify_samples(rows, entries, rng=np.random.default_rng([*seed, n])) for n in range(VOTES)]
    )


def majority(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The word that more than half of the readings give, from other permutations each; undecided without one."""
    word, votes = Counter(reading["reading"] for reading in found).most_common(1)[0]
    if 2 * votes <= len(found):
        word, votes = "undecided", 0
    return {"reading": word, "votes": votes} | {key: found[0][key] for key in ("log_norm_dispersion", "reason")}


def _outside(profiles: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """At how many block lengths the profile lies below the band of a null; None where there is no profile or no such band."""
    at = {(row["estimator"], row["series"], row["k1"]): row for row in profiles}
    result: dict[str, Any] = {}
    for prefix, estimator, series in (
        ("", "mmo_multivariate", "gaussian"),
        ("", "mmo_multivariate", "shuffled"),
        ("entries_", "mmo_univariate", "gaussian"),
    ):
        lengths = [k1 for (e, s, k1) in at if e == estimator and s == "observed"]
        within = [k1 for k1 in lengths if (estimator, series, k1) in at]
        below = sum(at[estimator, "observed", k1]["alpha"] < at[estimator, series, k1]["alpha_low"] for k1 in within)
        result[f"{prefix}below_{series}"] = below if within else None
        if series == "shuffled":
            result["block_lengths"] = len(lengths)
    return result


def singular_values(tensor: "Tensor", rng: np.random.Generator) -> tuple[NDArray[np.float64], int]:
    """Singular values, ascending, of a layer as (rows, the rest), not centred, and the number of rows that they are of.

    From the Gram matrix of the shorter side in double precision; rows in excess of WIDEST on both sides are left to chance.
    """
    matrix, xp = tensor.reshape(len(tensor), -1), array_namespace(tensor)
    if min(matrix.shape) > WIDEST:
        matrix = matrix[np.sort(rng.choice(len(matrix), WIDEST, replace=False))]
    used = len(matrix)
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    gram = np.zeros((matrix.shape[1],) * 2)
    for part in _parts(matrix):
        block = np.asarray(xp.astype(part, xp.float64))
        gram += block.T @ block
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0)), used


def _spectrum(values: NDArray[np.float64], rows: int) -> dict[str, Any]:
    """How few singular values hold ENERGY of the sum of squares, and exp of the entropy of their shares (Roy and Vetterli 2007)."""
    total = float(np.sum(values))
    if total == 0:
        return {"spectrum_rows": rows}
    held = np.cumsum(values[::-1] ** 2)
    rank = int(np.searchsorted(held, ENERGY * held[-1])) + 1
    shares = values[values > 0] / total
    effective = math.exp(-float(np.sum(shares * np.log(shares))))
    return {
        **{"rank_90": rank, "rank_90_share": rank / len(values), "spectrum_rows": rows},
        **{"effective_rank": effective, "effective_rank_share": effective / len(values)},
    }


def _compressibility(
    sample: NDArray[np.float32], values: NDArray[np.float64], matrix: tuple[int, int], epsilon: Sequence[float]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Relative l2 errors against the share of terms removed, and kappa; no rows for a layer whose weights are all equal.

    ``values``: the singular values of a ``matrix`` of that shape.
    """
    structure, purpose = ("columns", "node") if sample.ndim == 2 else ("kernels", "kernel")
    blocks = layers.centre(layers.observations(sample, purpose), np.float32)  # type: ignore[arg-type]
    terms = {
        "entries": layers.centre(layers.observations(sample, "univariate"), np.float32),
        structure: compression.column_norms(blocks, 2.0),
        "singular_values": values,
    }
    curves, kappas = [], []
    for name, vector in terms.items():
        try:
            errors = compression.relative_errors(vector, 2.0)
        except InputError:  # nothing but zeros, once centred
            continue
        for share in CURVE:
            error = float(errors[compression.removed(share, len(vector))])
            curves.append({"structure": name, "ratio": share, "relative_error": error})
        for level in epsilon:
            kappa = compression.kappa(errors, level)
            if name == "singular_values":
                kappa = compression.kappa_of_rank(errors, level, matrix)
            kappas.append({"structure": name, "epsilon": level, "kappa": kappa})
    return curves, kappas
