"""Times of runs of other studies that train the same network in the same way."""

import copy
import json
from datetime import timedelta

import pyarrow as pa
import pytest

from sgdtails.config.study import Study
from sgdtails.io import parquet
from sgdtails.report import plan, similar_runs
from tests.conftest import ROOT


@pytest.fixture
def mine(config):
    runs = [{"dataset": "digits", "model": "fcn4", "batch_size": [10, 20], "step_size": 0.1, "seed": 0}]
    return config | {"study": "mine", "runs": runs, "device": "cpu"}


def train(config, results, seconds):
    """Write what the training of each run leaves behind, as far as it is read here."""
    study = Study.read(config, ROOT)
    for (run, row), took in zip(study.runs.items(), seconds, strict=True):
        path = results / config["study"] / "runs" / run / "training.parquet"
        path.parent.mkdir(parents=True)
        table = pa.Table.from_pylist([{"seconds": took, "iterations": 500}])
        parquet.store(table, path, provenance={"settings": json.loads(json.dumps(study.steps(row, "train")))})


def test_the_same_network_of_another_name_counts(mine, tmp_path):
    other = copy.deepcopy(mine) | {"study": "other"}
    other["models"]["renamed"] = other["models"]["fcn4"]
    other["runs"][0] |= {"model": "renamed", "step_size": [0.1, 0.4]}
    train(other, tmp_path, [10.0, 30.0, 7.0, 9.0])
    runs = Study.read(mine, ROOT).runs
    found = similar_runs.times(mine, runs, tmp_path)
    assert found == {
        "train": {"fcn4-digits-b10-lr0.1-s0": (20.0, 500.0), "fcn4-digits-b20-lr0.1-s0": (8.0, 500.0)},
        "average": {},
    }
    known, unknown = plan.time(mine, {"train": runs, "average": runs}, tmp_path)
    assert known.startswith(f"More than {timedelta(seconds=28)} of training and averaging left")
    assert unknown.startswith("How long 2 trainings and averages take is not known")


def test_other_studies_are_read_only_for_kinds_of_runs_that_are_new(mine, tmp_path, monkeypatch):
    train(mine, tmp_path, [10.0, 30.0])
    runs = Study.read(mine, ROOT).runs
    looked = []
    monkeypatch.setattr(similar_runs, "times", lambda *_: looked.append(1) or {})
    [line] = plan.time(mine, {"train": runs}, tmp_path)
    assert line.startswith(f"About {timedelta(seconds=40)}")
    assert not looked
    [*_, unknown] = plan.time(mine, {"average": runs}, tmp_path)
    assert unknown.startswith("How long 2 trainings and averages take is not known")
    assert looked


@pytest.mark.parametrize(
    "change",
    [
        {"models": {"fcn4": {"fcn": [16]}}},
        {"precision": "tf32"},
        {"stop": {"budget": 5}},
        {"runs": [{"dataset": "mnist", "model": "fcn4", "batch_size": [10, 20], "step_size": 0.1, "seed": 0}]},
        {"runs": [{"dataset": "digits", "model": "fcn4", "batch_size": [30, 40], "step_size": 0.1, "seed": 0}]},
    ],
)
def test_another_way_of_training_does_not_count(mine, tmp_path, change):
    other = copy.deepcopy(mine) | {"study": "other"}
    for key, value in change.items():
        other[key] = other[key] | value if isinstance(value, dict) else value
    train(other, tmp_path, [10.0, 20.0])
    assert similar_runs.times(mine, Study.read(mine, ROOT).runs, tmp_path)["train"] == {}


def test_a_damaged_file_is_passed_over(mine, tmp_path):
    train(copy.deepcopy(mine) | {"study": "other"}, tmp_path, [10.0, 20.0])
    next(tmp_path.glob("*/runs/*b10*/training.parquet")).write_bytes(b"no table")
    found = similar_runs.times(mine, Study.read(mine, ROOT).runs, tmp_path)["train"]
    assert found == {"fcn4-digits-b20-lr0.1-s0": (20.0, 500.0)}
