"""The declared schema of every table, and the only place that writes and reads Parquet."""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sgdtails.storage import atomic

_LIBRARIES = ("numpy", "pyarrow", "scipy", "torch")


def _schema(*columns: tuple[str, Any, str, str]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, type_, metadata={"unit": unit, "meaning": meaning}) for name, type_, unit, meaning in columns]
    )


_text, _count, _real = pa.string(), pa.int64(), pa.float64()
_RUN = ("run", _text, "", "id of the run: model-dataset-b<batch size>-lr<step size>-s<seed>")
_TRAIN_NLL = ("train_nll", _real, "nat", "mean cross-entropy over the training set; null where not finite")
_TRAIN_ACCURACY = ("train_accuracy", _real, "1", "share of the training set classified correctly")
_SETTINGS = (
    ("dataset", _text, "", "name in config key datasets.sources"),
    ("model", _text, "", "name in config key models"),
    ("batch_size", _count, "images", "b"),
    ("step_size", _real, "1", "eta"),
    ("eta_over_b", _real, "1", "step size / batch size"),
    ("seed", _count, "", "seed of initialisation and permutations"),
)
_TRAINED = (
    ("status", _text, "", "converged, diverged (not finite, or at chance accuracy) or budget (iterations used up)"),
    ("iterations", _count, "steps", "SGD steps when training stopped"),
    _TRAIN_NLL,
    _TRAIN_ACCURACY,
    ("test_nll", _real, "nat", "mean cross-entropy over the test set; null where the weights are not finite"),
    ("test_accuracy", _real, "1", "share of the test set classified correctly; null where the weights are not finite"),
)
_AVERAGED = ("average_test_accuracy", _real, "1", "test accuracy of the averaged weights; null where there are none")
_SECONDS = ("seconds", _real, "s", "wall time of training, and of averaging in table runs")
_MACHINE = (("device", _text, "", "cpu, or the GPU's name"), ("precision", _text, "", "fp32 or tf32"))

SCHEMAS: dict[str, pa.Schema] = {
    "training": _schema(_RUN, *_SETTINGS, *_TRAINED, _SECONDS, *_MACHINE),
    "averaging": _schema(
        _RUN, ("status", _text, "", "averaged, diverged, or skipped (training did not converge)"), _AVERAGED, _SECONDS
    ),
    "runs": _schema(_RUN, *_SETTINGS, *_TRAINED, _AVERAGED, _SECONDS, *_MACHINE),
    "history": _schema(
        _RUN, ("iteration", _count, "steps", "SGD steps done at this gate"), _TRAIN_NLL, _TRAIN_ACCURACY
    ),
    "tails": _schema(
        _RUN,
        ("weights", _text, "", "initial, final (last iterate of training) or average (ergodic average)"),
        ("layer", _count, "", "index from 0"),
        ("layer_name", _text, "", "name in the network"),
        ("estimator", _text, "", "mmo_multivariate (MMO15, Corollary 2.4) or mmo_univariate (Corollary 2.2)"),
        ("k1", _count, "observations", "block length; null: the published aggregate over all of them"),
        ("alpha", _real, "1", "median over permutations, unclipped; infinite where the estimate of 1/alpha is <= 0"),
        ("alpha_published", _real, "1", "the aggregate clipped at 2, as published; null in rows of one k1"),
        ("alpha_low", _real, "1", "lower end of a 95% interval from the spread over blocks; null for the aggregate"),
        ("alpha_high", _real, "1", "upper end of that interval"),
        ("observations", _count, "observations", "N"),
        ("dimension", _count, "1", "d, numbers in one observation"),
        ("log_norm_dispersion", _real, "1", "standard deviation of the log norms of the observations"),
    ),
    "histograms": _schema(
        _RUN,
        ("dataset", _text, "", "name in config key datasets.sources"),
        ("model", _text, "", "name in config key models"),
        ("layer_name", _text, "", "the layer with most weights"),
        ("alpha", _real, "1", "its published tail index, and that of the stable sample"),
        (
            "series",
            _text,
            "",
            "half_a, half_b (a random partition of the averaged weights), all, or stable (simulated)",
        ),
        ("low", _real, "1", "lower edge of the bin"),
        ("high", _real, "1", "upper edge of the bin"),
        ("density", _real, "1", "share of the series in the bin / width of the bin"),
    ),
}


def write(name: str, rows: Iterable[Mapping[str, Any]], path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write rows as table ``name``; ValueError if a row's keys are not exactly the declared columns."""
    schema = SCHEMAS[name]
    listed = list(rows)
    for row in listed:
        if set(row) != set(schema.names):
            raise ValueError(f"row of table {name!r} differs from its schema in {sorted(set(row) ^ set(schema.names))}")
    _store(pa.Table.from_pylist(listed, schema=schema), path, provenance)


def concatenate(name: str, parts: Iterable[str | Path], path: str | Path, *, provenance: Mapping[str, Any]) -> None:
    """Write the tables at ``parts``, one after the other, as one table ``name``."""
    schema = SCHEMAS[name]
    read = [pq.read_table(part).select(schema.names).cast(schema) for part in parts]
    _store(pa.concat_tables(read) if read else schema.empty_table(), path, provenance)


def read(path: str | Path) -> pa.Table:
    """A table of this module."""
    return pq.read_table(path)


def joined_runs(training: Iterable[str | Path], averaging: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Rows of table ``runs``: a run whose weights left the finite numbers while they were averaged has diverged too."""
    averages = {row["run"]: row for part in averaging for row in read(part).to_pylist()}
    rows = []
    for row in (row for part in training for row in read(part).to_pylist()):
        average = averages[row["run"]]
        status = "diverged" if average["status"] == "diverged" else row["status"]
        seconds = row["seconds"] + average["seconds"]
        rows.append(
            row | {"status": status, "seconds": seconds, "average_test_accuracy": average["average_test_accuracy"]}
        )
    return rows


def published(tails: pa.Table) -> pa.Table:
    """The rows of ``tails`` that the paper reports: multivariate aggregates of the averaged weights, one per layer."""
    return tails.filter(
        (pc.field("weights") == "average") & (pc.field("estimator") == "mmo_multivariate") & pc.field("k1").is_null()
    )


def mean_alpha(tails: pa.Table) -> dict[str, float]:
    """Per run, the mean over layers of the published tail index."""
    means = published(tails).group_by("run").aggregate([("alpha_published", "mean")])
    return dict(zip(means["run"].to_pylist(), means["alpha_published_mean"].to_pylist(), strict=True))


def converged(runs: pa.Table, tails: pa.Table) -> list[dict[str, Any]]:
    """Rows of converged runs with their mean tail index, ``alpha``."""
    alpha = mean_alpha(tails)
    rows = (row for row in runs.to_pylist() if row["status"] == "converged" and row["run"] in alpha)
    return [row | {"alpha": alpha[row["run"]]} for row in rows]


def _store(table: pa.Table, path: str | Path, provenance: Mapping[str, Any]) -> None:
    libraries = {library: version(library) for library in _LIBRARIES}
    record = json.dumps({"libraries": libraries, **provenance}, sort_keys=True)
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata({"sgdtails": record}), temporary)
