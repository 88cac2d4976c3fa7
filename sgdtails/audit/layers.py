"""What a checkpoint's weights say by themselves: tails, labels, nulls, compressibility and ranks, layer by layer."""

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from sgdtails.audit.checkpoint import Skipped
from sgdtails.audit.layer import bands, compressibility, estimates, laws
from sgdtails.audit.page.blocks import Name
from sgdtails.audit.weights.matrices import Matrix, matrices
from sgdtails.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

TABLES = ("audit", "audit_profiles", "audit_curves", "audit_compression", "audit_laws")
_REASONS = 3  # that a sentence gives for arrays that are left out
_THREADS = 2  # more would hold more layers in memory at a time
_MEASURED = (
    *(f"{prefix}{name}" for prefix in ("", "entries_") for name in (*estimates.ESTIMATED, "driven_by")),
    *("alpha_with_dead", "entries_alpha_with_zeros", "dead", "dead_rows", "zero_share"),
    *("why", "decides", "votes", "log_norm_dispersion", "below_gaussian", "below_shuffled", "entries_below_gaussian"),
    *("gap_gaussian", "gap_shuffled", "block_lengths"),
    *("rank_90", "rank_90_share", "effective_rank", "effective_rank_share", "spectrum_rows", "reason"),
    *laws.COLUMNS,
)
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class _Settings:
    seed: int
    entries: int
    null_entries: int
    replicates: int
    epsilon: Sequence[float]
    gaussian: bands.GaussianBands


def audit(
    state: Mapping[str, "Tensor"],
    *,
    where: str,
    seed: int,
    entries: int,
    nulls: Mapping[str, int],
    epsilon: Sequence[float],
    exclude: Sequence[str] = (),
    threads: int | None = None,
) -> Rows:
    """Audit the layers of a state; progress goes to stderr.

    Parameters
    ----------
    state : mapping of str to numpy.ndarray or torch.Tensor
        A network's arrays by name.
    where : str
        What an error sentence calls the state.
    seed : int
        Seed of orders, nulls and what is left out. The same seed gives the same rows, with any number of threads.
    entries : int
        Most weights of a layer that its estimates are made from.
    nulls : mapping of str to int
        ``replicates`` of each null, and most ``entries`` of a layer that is compared with them.
    epsilon : sequence of float
        Relative l2 errors whose kappa is given.
    exclude : sequence of str
        Patterns of names of arrays that are no layers.
    threads : int, optional
        How many layers are looked at at a time; without it two, or one where there is one processor.

    Returns
    -------
    dict of str to list of dict
        Rows of the tables ``audit``, ``audit_profiles``, ``audit_curves``, ``audit_compression``, ``audit_laws`` and
        ``audit_skipped``, less the checkpoint.

    Raises
    ------
    InputError
        If the state holds no matrix.

    Examples
    --------
    >>> state = {"a.weight": np.random.default_rng(0).standard_normal((64, 32), np.float32)}
    >>> rows = audit(state, where="mine", seed=0, entries=2**20, nulls={"replicates": 2, "entries": 2**10}, epsilon=[0.1])
    >>> rows["audit"][0]["layer_name"], rows["audit"][0]["zero_share"]
    ('a', 0.0)
    """
    found, skipped = matrices(state, exclude)
    if not found:
        raise InputError(
            f"{where} holds no matrices among its {len(state)} array{'' if len(state) == 1 else 's'}{_reasons(skipped)}; "
            "give a state dict with weights of layers as floating-point numbers."
        )
    gaussian = bands.GaussianBands(nulls["replicates"], seed)
    settings = _Settings(seed, entries, nulls["entries"], nulls["replicates"], epsilon, gaussian)
    rows: Rows = {name: [] for name in TABLES}
    progress = _Progress([math.prod(matrix.shape) for matrix in found])
    with ThreadPoolExecutor(threads or min(_THREADS, len(os.sched_getaffinity(0)))) as pool:
        parts = pool.map(lambda index: _layer(found[index], index, settings), range(len(found)))
        for index, part in enumerate(parts):
            progress.report(index, found[index].name)
            common = {"layer": index, "layer_name": found[index].name}
            for table, some in part.items():
                rows[table] += [common | row for row in some]
    for row, matrix in zip(rows["audit"], found, strict=True):
        row["parameter"] = _parameter(matrix.name, state) if matrix.is_view else None
    rows["audit_skipped"] = [entry.row() for entry in skipped]
    return rows


def _parameter(name: str, state: Mapping[str, Any]) -> str | None:
    """Find the array that a layer, or a part of one in brackets, lies in; None for one that the file does not hold."""
    names = (name, f"{name}.weight", name.rpartition("[")[0], f"{name.rpartition('[')[0]}.weight")
    return next((key for key in names if key in state), None)


def _reasons(skipped: Sequence[Skipped]) -> str:
    counted = Counter(entry.reason for entry in skipped).most_common(_REASONS)
    return f" ({', '.join(f'{count} left out as {reason}' for reason, count in counted)})" if counted else ""


class _Progress:
    """A line on stderr for each layer that is done, and how long the others may take."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._work = [size + 2**18 for size in sizes]  # a layer of few weights takes its time too
        self._begin = time.monotonic()

    def report(self, index: int, name: str) -> None:
        """Say that layers up to ``index`` are done."""
        done, whole = sum(self._work[: index + 1]), sum(self._work)
        left = timedelta(seconds=round((time.monotonic() - self._begin) * (whole - done) / done))
        ending = f", about {left} left" if done < whole else ""
        print(f"layer {index + 1} of {len(self._work)}: {Name(name).shown}{ending}", file=sys.stderr, flush=True)


def _layer(matrix: Matrix, index: int, settings: _Settings) -> Rows:
    seed, shape = [settings.seed, index], matrix.shape
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
        return {"audit": [row | estimates.missing(matrix.reason)]}
    tensor = matrix.tensor
    found = estimates.of_tensor(tensor, seed, settings.entries)
    if found is None:
        return {"audit": [row | estimates.missing(estimates.NOT_FINITE)]}
    row |= found.columns
    sample, known = found.sample, row["reason"] is None or row["alpha"] is not None
    profiles = list(_profiles(found.cleaned, settings, seed)) if known else []
    row |= bands.outside(profiles)
    values, used = compressibility.singular_values(tensor, np.random.default_rng([*seed, 3]))
    row |= compressibility.spectrum(values, used)
    matrix_shape = (used, math.prod(shape[1:]))
    curves, kappas = compressibility.compressibility(sample, values, matrix_shape, settings.epsilon)
    fitted: list[dict[str, Any]] = []
    if known:
        columns, fitted = laws.of_layer(found.cleaned, [*seed, 9])
        row |= columns
    return dict(zip(TABLES, ([row], profiles, curves, kappas, fitted), strict=True))


def _profiles(cleaned: estimates.Cleaned, settings: _Settings, seed: Sequence[int]) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng([*seed, 1])
    rows, entries = cleaned.rows, cleaned.entries
    rows = rows[estimates.row_numbers(len(rows), estimates.rows_used(rows.shape, settings.null_entries), rng)]
    if cleaned.zeros:
        kept = estimates.round_number(min(len(entries), settings.null_entries))
        entries = entries[estimates.row_numbers(len(entries), kept, rng)]
    else:
        entries = rows.reshape(-1)
    return bands.profiles(rows, entries, settings.gaussian, settings.replicates, [*seed, 2])
