import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sgdtails.errors import InputError
from sgdtails.io import storage, tables
from sgdtails.tail_index import network_index
from sgdtails.tail_index.network_index import Index
from tests.conftest import ROOT

ROW = {
    **{"run": "a", "iteration": 200, "train_nll": 0.5, "train_accuracy": 0.9},
    **{"test_nll": 0.7, "test_accuracy": 0.8},
}
PROVENANCE = {"run": "a", "code": "0123"}


def test_a_table_carries_schema_and_provenance(tmp_path):
    path = tmp_path / "deep/history.parquet"
    tables.write("history", [ROW], path, provenance=PROVENANCE)
    table = tables.read(path)
    assert table.to_pylist() == [ROW]
    assert table.schema.field("train_nll").metadata[b"unit"] == b"nat"
    record = json.loads(pq.read_schema(path).metadata[b"sgdtails"])
    assert record["code"] == "0123"
    assert set(record["libraries"]) == {"numpy", "pyarrow", "scipy", "torch"}


THREADS = """
import sys
from pathlib import Path
from sgdtails.schemas import run_schemas; from sgdtails.io import parquet
import pyarrow as pa
threads = lambda: len(list(Path("/proc/self/task").iterdir()))
pa.array([0.0])
before = threads()
rows = [{name: None for name in run_schemas.SCHEMAS["history"].names} for _ in range(300_000)]
parquet.write(run_schemas.SCHEMAS["history"], rows, sys.argv[1], provenance={})
assert parquet.read(sys.argv[1]).num_rows == 300_000
assert threads() == before, (before, threads())
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in Linux's /proc")
def test_reading_and_writing_start_no_threads_that_an_exit_could_meet(tmp_path):
    subprocess.run([sys.executable, "-c", THREADS, tmp_path / "history.parquet"], cwd=ROOT, check=True)


@pytest.mark.parametrize("row", [ROW | {"extra": 1}, {"run": "a"}])
def test_undeclared_or_missing_columns(tmp_path, row):
    with pytest.raises(ValueError, match="differs from its schema"):
        tables.write("history", [row], tmp_path / "history.parquet", provenance={})
    assert list(tmp_path.iterdir()) == []


def test_every_column_says_what_it_means():
    for name, schema in tables.SCHEMAS.items():
        for field in schema:
            assert field.metadata[b"meaning"], (name, field.name)


def test_concatenate(tmp_path):
    for run in "ab":
        tables.write("history", [ROW | {"run": run}], tmp_path / f"{run}.parquet", provenance=PROVENANCE)
    tables.concatenate(
        "history", [tmp_path / "b.parquet", tmp_path / "a.parquet"], tmp_path / "all.parquet", provenance={}
    )
    assert tables.read(tmp_path / "all.parquet")["run"].to_pylist() == ["b", "a"]


def test_the_same_table_is_the_same_bytes(tmp_path):
    for name in "xy":
        tables.write("history", [ROW], tmp_path / name, provenance=PROVENANCE)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def training(run, status="converged"):
    row = dict.fromkeys(tables.SCHEMAS["training"].names, None)
    return row | {"run": run, "status": status, "test_accuracy": 0.7, "seconds": 2.0}


def test_a_run_that_diverges_while_averaged_has_diverged(tmp_path):
    outcomes = {"a": ("averaged", 0.9), "b": ("diverged", None), "c": ("skipped", None)}
    for run, (status, accuracy) in outcomes.items():
        trained = training(run, "budget" if run == "c" else "converged")
        averaged = dict.fromkeys(tables.SCHEMAS["averaging"].names, None)
        averaged |= {"run": run, "status": status, "average_test_accuracy": accuracy, "seconds": 1.0}
        averaged |= {"last_test_accuracy": accuracy and accuracy - 0.1, "last_iterations": accuracy and 700}
        tables.write("training", [trained], tmp_path / f"t{run}", provenance={})
        tables.write("averaging", [averaged], tmp_path / f"a{run}", provenance={})
    rows = tables.joined_runs([tmp_path / f"t{run}" for run in "abc"], [tmp_path / f"a{run}" for run in "cba"])
    assert [row["status"] for row in rows] == ["converged", "diverged", "budget"]
    assert [row["average_test_accuracy"] for row in rows] == [0.9, None, None]
    assert [row["last_iterations"] for row in rows] == [700, None, None]
    assert [tables.accuracy_of(row, "last") for row in rows] == [pytest.approx(0.8), None, None]
    assert [tables.accuracy_of(row, "average") for row in rows] == [0.9, None, None]
    assert {tables.accuracy_of(row, "converged") for row in rows} == {0.7}
    assert {row["seconds"] for row in rows} == {3.0}
    shapes = {None: {"kind": None, "width": None, "depth": None}}
    rows = [row | {"step_size": 0.1, "momentum": 0.0} for row in rows]
    whole = network_index.with_index(rows, [], Index(), shapes)
    assert all(set(row) == set(tables.SCHEMAS["runs"].names) for row in whole)


def tail_rows(values, **columns):
    base = dict.fromkeys(tables.SCHEMAS["tails"].names) | {"run": "a", "weights": "average"}
    base |= {"estimator": "mmo_multivariate"} | columns
    return [
        base | {"layer": n, "layer_name": f"fc{n}", "alpha": alpha, "alpha_published": min(alpha, 2.0)}
        for n, alpha in enumerate(values)
    ]


def test_a_networks_index_is_over_the_aggregates_of_its_layers(tmp_path):
    rows = [
        *tail_rows([1.8, 2.2]),
        *tail_rows([1.0], k1=2),
        *tail_rows([1.0], weights="initial"),
        *tail_rows([1.2, 1.4], estimator="mmo_univariate"),
        *tail_rows([1.5], run="b"),
    ]
    tables.write("tails", rows, tmp_path / "t", provenance={})
    shapes = {"m": {"width": 8, "depth": 2}}
    runs = [{"run": run, "model": "m", "dataset": "d", "step_size": 0.01, "momentum": 0.9} for run in "abc"]

    def found(**index):
        return [row["alpha"] for row in network_index.with_index(runs, [tmp_path / "t"], Index(**index), shapes)]

    assert found() == [pytest.approx(1.9), 1.5, None]
    assert found(value="alpha")[0] == pytest.approx(2.0)
    assert found(value="alpha", clip=True)[0] == pytest.approx(1.9)
    assert found(estimator="mmo_univariate")[0] == pytest.approx(1.3)
    assert found(value="alpha", exempt=["head"])[0] == pytest.approx(1.8)
    assert found(value="alpha", exempt=["fc0"])[0] == pytest.approx(2.2)
    index, sizes = Index(estimator="mmo_univariate"), {"d": 1000}
    row = next(network_index.with_index(runs, [tmp_path / "t"], index, shapes, sizes))
    known = {"width": 8, "depth": 2, "train_size": 1000, "effective_step_size": 0.1}
    alphas = {"alpha": pytest.approx(1.3), "mean_alpha": 2.0, "mean_alpha_published": pytest.approx(1.9)}
    assert row == runs[0] | known | alphas


def test_atomic_leaves_the_old_file_when_the_new_one_fails(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), storage.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_weight_file_is_one_sentence(tmp_path):
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00 not safetensors")
    with pytest.raises(InputError, match=r"last.safetensors .* damaged .*; delete it and run again"):
        storage.load_arrays(path)
