"""The tiny study's results, and what is wrong with wrong ones."""

import copy
import json

import pyarrow.parquet as pq
import pytest
from PIL import Image

from sgdtails import tables
from tests.conftest import ROOT
from tests.workflow.conftest import TINY, Workflow


def results(workflow: Workflow):
    return workflow.folder / "results/tiny"


def test_tables_hold_every_run(finished):
    runs = tables.read(results(finished) / "tables/runs.parquet").to_pylist()
    assert [row["status"] for row in runs] == ["converged", "converged", "diverged"]
    assert all(row["average_test_accuracy"] > 0.8 for row in runs[:2])
    assert runs[2]["train_nll"] is None
    history = tables.read(results(finished) / "tables/history.parquet")
    assert history.num_rows == sum(row["iterations"] // 100 + 1 for row in runs)
    for name in ("runs", "history", "tails", "histograms"):
        schema = pq.read_schema(results(finished) / f"tables/{name}.parquet")
        assert schema.equals(tables.SCHEMAS[name])
        assert schema.field("run").metadata[b"meaning"]
        assert set(json.loads(schema.metadata[b"sgdtails"])) >= {"code", "libraries"}


def test_tails_cover_weights_layers_and_estimators(finished):
    tails = tables.read(results(finished) / "tables/tails.parquet").to_pylist()
    seen = {(row["run"], row["weights"]) for row in tails}
    good, also_good, diverged = (f"fcn4-digits-b50-lr{step}-s0" for step in ("0.1", "0.3", "1000000"))
    assert seen == {(run, kind) for run in (good, also_good) for kind in ("initial", "final", "average")} | {
        (diverged, "initial")
    }
    one = [row for row in tails if row["run"] == good and row["weights"] == "average"]
    assert {(row["layer"], row["layer_name"]) for row in one} == {(0, "fc1"), (1, "fc2"), (2, "head")}
    assert len([row for row in one if row["k1"] is None]) == 3 * 2


def test_figures_are_there_and_nothing_is_left_over(finished):
    for name in ("fig01", "fig02", "fig07"):
        with Image.open(results(finished) / f"figures/{name}.png") as picture:
            assert picture.width > 900
        assert (results(finished) / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
    assert not list(results(finished).rglob(".*"))


def test_nothing_is_done_twice(finished):
    assert finished.planned(TINY) == {}


def test_the_same_seed_gives_the_same_bytes(finished, fresh):
    assert fresh.run(TINY).returncode == 0
    compared = 0
    for path in sorted(results(finished).rglob("*.*")):
        other = results(fresh) / path.relative_to(results(finished))
        if path.name in ("runs.parquet", "training.parquet", "averaging.parquet"):  # they hold seconds
            assert pq.read_schema(path).equals(pq.read_schema(other), check_metadata=True)
            assert tables.read(path).drop(["seconds"]).equals(tables.read(other).drop(["seconds"]))
        elif path.suffix in (".parquet", ".safetensors", ".png", ".pdf"):
            assert path.read_bytes() == other.read_bytes(), path
        else:
            continue
        compared += 1
    assert compared >= 3 * 7 + 1 + 4 + 6


def changed(**sections) -> dict:
    config = copy.deepcopy(TINY)
    for key, value in sections.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    return config


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (changed(stop={"trainnll": 1}), "unknown key 'trainnll' in config key stop: did you mean 'train_nll'?"),
        (
            changed(runs=[TINY["runs"][0] | {"model": "fnc4"}]),
            "unknown model 'fnc4' in config key runs, block 1: did you mean 'fcn4'?",
        ),
        (changed(runs=[TINY["runs"][0] | {"step_size": -1}]), "step_size is -1.0; it must be a positive number."),
    ],
)
def test_a_wrong_config_is_one_sentence_before_anything_starts(fresh, config, sentence):
    result = fresh.run(config)
    assert result.returncode != 0
    assert sentence in result.stdout
    assert "Traceback" not in result.stdout
    assert not (fresh.folder / "results").exists()


def test_a_batch_larger_than_the_data(fresh):
    result = fresh.run(changed(runs=[TINY["runs"][0] | {"batch_size": 5000, "step_size": 0.1}]))
    assert result.returncode != 0
    assert "batch_size 5000 is larger than the training set of 1438 images" in result.stdout
    assert "Traceback" not in (results(fresh) / "logs/train/fcn4-digits-b5000-lr0.1-s0.log").read_text()
    assert not list(results(fresh).glob("runs/*/*"))


def test_a_folder_with_one_class(fresh):
    (fresh.folder / "data/pictures/cat").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(fresh.folder / "data/pictures/cat/a.png")
    config = changed(
        datasets={"sources": {"pets": {"kind": "folder", "path": "pictures"}}},
        runs=[TINY["runs"][0] | {"dataset": "pets"}],
    )
    result = fresh.run(config)
    assert result.returncode != 0
    assert "dataset 'pets': data/pictures holds 1 class(es)" in result.stdout
    assert not list(results(fresh).glob("data/*"))


def test_pins_for_conda_are_those_of_the_lock():
    import yaml

    lock = (ROOT / "requirements.lock").read_text()
    pins = yaml.safe_load((ROOT / "envs/sgdtails.yaml").read_text())["dependencies"][-1]["pip"]
    assert len(pins) == 9
    assert [pin for pin in pins if f"\n{pin} " not in lock] == []
    assert "http" not in lock
