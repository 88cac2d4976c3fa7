"""What rules hand to scripts, from the config and the run table."""

from dataclasses import replace

import pytest

from sgdtails.config.study import Study, read_config
from tests.conftest import ROOT

BLOCK = {"dataset": "mnist", "model": "fcn4", "batch_size": 50, "step_size": [0.1, 0.2], "seed": [0, 1]}


@pytest.fixture
def study():
    return Study.read(read_config(None) | {"runs": [BLOCK], "device": "cpu"}, ROOT)


def test_runs_that_differ_in_step_size_and_seed_have_the_same_settings(study):
    rows = list(study.runs.values())
    assert len(rows) == 4
    for settings in (study.initial, study.network, study.pruning, lambda row: study.steps(row, "train")):
        assert all(settings(row) == settings(rows[0]) for row in rows)
    assert set(study.steps(rows[0], "train")["run"]).isdisjoint({"step_size", "seed"})
    assert study.steps(rows[0], "train")["run"]["batch_size"] == 50


def test_the_number_of_slots_counts_on_a_gpu_only(study):
    (row, *_) = study.runs.values()
    assert "slots" not in study.steps(row, "train", slots=3)
    gpu = Study(study.config | {"device": "cuda"}, study.runs)
    assert gpu.steps(row, "train")["slots"] == study.config["slots"]
    assert gpu.steps(row, "train", slots=3)["slots"] == 3


def test_averaging_depends_on_the_stop_rule_too(study):
    (row, *_) = study.runs.values()
    train, average = study.steps(row, "train"), study.steps(row, "average")
    assert train.pop("snapshots") == study.config["snapshots"]
    assert average == train | {"average": study.config["average"]}


def test_an_attack_counts_where_there_is_one(study):
    row = next(iter(study.runs.values()))
    assert "attack" not in study.pruning(row)
    attack = {"epsilon": 0.1, "steps": 10}
    attacked = replace(study, config={**study.config, "pruning": {**study.config["pruning"], "attack": attack}})
    assert attacked.pruning(row) == study.pruning(row) | {"attack": attack}


def test_only_methods_that_have_ratios_count(study):
    (row, *_) = study.runs.values()
    assert set(study.pruning(row)["methods"]) == {"layer_magnitude", "global_magnitude", "singular_value", "node"}
    assert study.pruning(row)["exempt"] == study.exempt["fcn4"]
