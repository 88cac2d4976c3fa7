"""The tiny study's results, and what is wrong with wrong ones."""

import copy
import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
from PIL import Image

from sgdtails.config import claimed_tables
from sgdtails.io import integrity, manifest, storage, tables
from sgdtails.schemas import audit_schemas
from sgdtails.tail_index import layer_tails
from tests.workflow.conftest import TINY, Workflow


def results(workflow: Workflow):
    return workflow.folder / "results/tiny"


def test_tables_hold_every_run(finished):
    runs = tables.read(results(finished) / "tables/runs.parquet").to_pylist()
    assert [row["status"] for row in runs] == ["converged", "converged", "diverged"]
    assert all(row["average_test_accuracy"] > 0.8 for row in runs[:2])
    assert runs[2]["train_nll"] is None
    for row in runs[:2]:  # at the end of the averages, or at the first gate after it where the run is converged
        assert row["last_converged"]
        assert row["last_train_nll"] < 0.05
        more = row["last_iterations"] - row["iterations"]
        assert more == 50 or more % 100 == 0
        record = storage.read_record(results(finished) / f"runs/{row['run']}/last.safetensors")
        assert record["iterations"] == row["last_iterations"]
    assert all(value is None for key, value in runs[2].items() if key.startswith(("last_", "average_")))
    history = tables.read(results(finished) / "tables/history.parquet")
    # every fifth gate of 100 iterations, and where training ended
    assert history.num_rows == sum(row["iterations"] // 500 + 1 + (row["iterations"] % 500 > 0) for row in runs)
    others = {
        "training",
        "averaging",
        "pruned",
        "compared",
        "comparisons",
        *claimed_tables.ON_DEMAND,
        *audit_schemas.SCHEMAS,
    }
    names = set(tables.SCHEMAS) - others
    assert {path.stem for path in (results(finished) / "tables").glob("*.parquet")} == names
    for name in names:
        schema = pq.read_schema(results(finished) / f"tables/{name}.parquet")
        assert schema.equals(tables.SCHEMAS[name])
        assert all(field.metadata[b"meaning"] for field in schema)
        assert set(json.loads(schema.metadata[b"sgdtails"])) >= {"code", "libraries"}


def test_tails_cover_weights_layers_and_estimators(finished):
    tails = tables.read(results(finished) / "tables/tails.parquet").to_pylist()
    seen = {(row["run"], row["weights"]) for row in tails}
    good, also_good, diverged = (f"fcn4-digits-b50-lr{step}-s0" for step in ("0.1", "0.3", "1000000"))
    assert seen == {(run, kind) for run in (good, also_good) for kind in ("initial", "last", "average")} | {
        (diverged, "initial")
    }
    one = [row for row in tails if row["run"] == good and row["weights"] == "average"]
    assert {(row["layer"], row["layer_name"]) for row in one} == {(0, "fc1"), (1, "fc2"), (2, "head")}
    assert len([row for row in one if row["k1"] is None]) == 3 * len(layer_tails.NAMES)


def test_trajectories_lead_from_the_initial_weights_to_those_where_training_ended(finished):
    rows = tables.read(results(finished) / "tables/trajectory.parquet").to_pylist()
    runs = {row["run"]: row for row in tables.read(results(finished) / "tables/runs.parquet").to_pylist()}
    assert list(dict.fromkeys(row["run"] for row in rows)) == list(runs)
    for run, row in runs.items():
        own = [each for each in rows if each["run"] == run]
        due = [iteration for iteration in (0, 200, 400, 800, 1600, 3200) if iteration < row["iterations"]]
        assert list(dict.fromkeys(each["iteration"] for each in own)) == [*due, row["iterations"]]
        assert {each["layer_name"] for each in own} == {"fc1", "fc2", "head"}
    tails = tables.read(results(finished) / "tables/tails.parquet").to_pylist()
    (tail,) = (
        row["log_norm_dispersion"]
        for row in tails
        if (row["run"], row["weights"], row["layer"]) == (rows[0]["run"], "initial", 0)
        if (row["estimator"], row["k1"]) == ("mmo_multivariate", None)
    )
    assert rows[0]["log_norm_dispersion"] == pytest.approx(tail, rel=1e-6)


def test_pruning_covers_runs_methods_and_ratios(finished, config):
    rows = tables.read(results(finished) / "tables/pruning.parquet").to_pylist()
    good, also_good, diverged = (f"fcn4-digits-b50-lr{step}-s0" for step in ("0.1", "0.3", "1000000"))
    methods = ("layer_magnitude", "global_magnitude", "singular_value", "node")
    levels = config["pruning"]["adaptive"]["epsilon"]
    asked = [(method, ratio, None) for method in methods for ratio in config["pruning"][method]["ratios"]]
    asked += [(method, None, level) for method in methods if method != "global_magnitude" for level in levels]
    expected = {
        (run, status, weights, *each)
        for each in asked
        for run, status, kinds in (
            (good, "converged", ("initial", "last")),
            (also_good, "converged", ("initial", "last")),
            (diverged, "diverged", ("initial", "last")),
        )
        for weights in kinds
    }
    keys = ("run", "status", "weights", "method", "ratio", "epsilon")
    assert sorted((tuple(row[key] for key in keys) for row in rows), key=str) == sorted(expected, key=str)
    runs = {row["run"]: row for row in tables.read(results(finished) / "tables/runs.parquet").to_pylist()}
    for row in rows:
        if row["status"] == "diverged" and row["weights"] == "last":
            assert row.pop("reason") == "never averaged: training did not converge"
            assert all(value is None for key, value in row.items() if key not in keys)
        elif row["ratio"] == 0 and row["weights"] == "last":
            assert row["test_accuracy"] == runs[row["run"]]["last_test_accuracy"]
            assert row["test_nll"] == pytest.approx(runs[row["run"]]["last_test_nll"], rel=1e-5)
            assert row["relative_test_accuracy"] == 1
            assert row["train_accuracy"] == runs[row["run"]]["last_train_accuracy"]
        elif row["ratio"] == 1:
            assert row["relative_error_l2"] == pytest.approx(1)
            assert row["parameters_left"] == 160  # the head


def test_smaller_networks_do_the_same_in_less(finished):
    rows = tables.read(results(finished) / "tables/latency.parquet").to_pylist()
    assert [row["ratio"] for row in rows] == [0, 0.25, 0.5, 0.75, 0.9]
    for row in rows:
        assert row["difference"] < 1e-5
        assert row["smaller_parameters"] <= row["parameters"] == 64 * 16 + 16 * 16 + 160
    assert rows[2]["smaller_parameters"] == 32 * 8 + 8 * 16 + 160


def test_tables_1_and_2(finished):
    folder = results(finished) / "tables"
    assert tables.read(folder / "table1.parquet").to_pylist() == [
        {"dataset": "digits", "model": "fcn4", "variant": "", "parameters": 64 * 16 + 16 * 16 + 160}
    ]
    assert (folder / "table1.md").read_text() == "| | FCN4 |\n|---|---|\n| digits | 1,440 |\n"
    (row,) = tables.read(folder / "table2.parquet").to_pylist()
    assert (row["eta_over_b_lowest"], row["eta_over_b_highest"], row["runs"], row["converged"]) == (0.002, 2e4, 3, 2)


def test_make_figures_redraws_and_touches_nothing_else(finished):
    arguments = ("--forcerun", "figure", "--allowed-rules", "figure", "figures", "--")
    assert finished.planned(TINY, *arguments, "figures") == {"figure": 21, "figures": 1}
    before = {path: path.stat().st_mtime_ns for path in results(finished).rglob("*.*")}
    result = finished.run(TINY, *arguments, "results/tiny/figures/fig01.pdf")
    assert result.returncode == 0, result.stdout
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert {path.name for path in changed} >= {"fig01.pdf", "fig01.png"}
    assert {path.name.strip(".").partition(".")[0] for path in changed} == {"fig01"}


def test_make_figures_without_a_table_draws_the_others(finished, tmp_path):
    """A table that is damaged is moved away, and is missing the next time."""
    spoilt = finished.copied(tmp_path / "spoilt")
    for table in (results(spoilt) / "tables").glob("*.parquet"):
        if table.stem not in ("tails", "synthetic"):  # of figure 8
            table.unlink()
    (results(spoilt) / "tables/tails.parquet").write_bytes(b"damaged")
    figures = {file: file.stat().st_mtime_ns for file in results(spoilt).rglob("figures/*")}
    for moved in (True, False):
        arguments = ("--forcerun", "figure", "--allowed-rules", "figure", "figures", "--", "figures")
        result = spoilt.run(TINY, *arguments)
        assert result.returncode == 0
        assert "fig01" in result.stdout.partition("Not drawn")[2]
        assert "Traceback" not in result.stdout
        assert ("is moved to results/tiny/.damaged/tables/tails.parquet" in result.stdout) == moved
        drawn = {file for file, time in figures.items() if file.stat().st_mtime_ns != time}
        assert {file.stem.strip(".").partition(".")[0] for file in drawn} == {"fig08"}


def test_weights_of_another_model_name_file_and_layer(finished, tmp_path):
    spoilt = finished.copied(tmp_path / "spoilt")
    path = results(spoilt) / "runs/fcn4-digits-b50-lr0.1-s0/last.safetensors"
    state, record = storage.load_arrays(path)
    storage.save_arrays(path, state | {"fc2.weight": state["fc2.weight"][:7].copy()}, record)
    target = "results/tiny/runs/fcn4-digits-b50-lr0.1-s0/pruned.parquet"
    result = spoilt.run(TINY, "--forcerun", "prune", "--allowed-rules", "prune", "--", target)
    assert result.returncode != 0
    assert "last.safetensors: layer 'fc2' has shape (7, 16), but the model needs shape (16, 16)" in result.stdout


def test_figures_are_there_and_nothing_is_left_over(finished):
    names = [f"fig{number:02d}" for number in range(1, 13) if number != 6]
    for name in (
        *names,
        "trajectory",
        "profiles",
        "laws",
        "lawfits",
        "labels",
        "calibration",
        "confusion",
        "kesten",
        "theorems",
        "perturbation",
    ):
        with Image.open(results(finished) / f"figures/{name}.png") as picture:
            assert picture.width > 900
        assert (results(finished) / f"figures/{name}.pdf").read_bytes().startswith(b"%PDF")
    assert {path.suffix or path.name for path in results(finished).rglob(".*")} == {".sha256", ".done", manifest.NAME}
    assert integrity.main(finished.folder / "results") == 0


def test_training_begins_before_what_follows_from_it(finished):
    """Analyses of the first runs would keep the others, and GPUs, waiting for a core."""
    begun = re.findall(
        r"^(?:local)?rule ([a-z]+)_fcn4_digits_b?\w+:", (finished.folder / "driver.log").read_text(), re.M
    )
    assert begun.count("train") == 1
    assert (
        "train" not in begun[min(begun.index(rule) for rule in ("tails", "laws", "prune", "compression", "bounds")) :]
    )


def test_nothing_about_an_initial_network_is_computed_twice(finished):
    """Three runs start from one network: it has one file of each kind, no file of a run says anything of it, and tables say it of each run."""
    runs = {row["run"] for row in tables.read(results(finished) / "tables/runs.parquet").to_pylist()}
    assert [path.name for path in (results(finished) / "initial").iterdir()] == ["fcn4-digits-s0"]
    log = (finished.folder / "driver.log").read_text()
    for rule in ("initial", "initial_tails", "initial_laws", "initial_compression", "initial_prune"):
        assert len(re.findall(rf"^(?:local)?rule {rule}:", log, re.M)) == 1
    for name, collected in {
        "tails": "tails",
        "readings": "readings",
        "laws": "laws",
        "compression": "compression",
        "pruned": "pruning",
    }.items():
        for run in runs:
            own = tables.read(results(finished) / f"runs/{run}/{name}.parquet").to_pylist()
            assert "initial" not in {row.get("weights") for row in own}
        of_initial = tables.read(results(finished) / f"initial/fcn4-digits-s0/{name}.parquet").to_pylist()
        found = tables.read(results(finished) / f"tables/{collected}.parquet").to_pylist()
        for run in runs:
            rows = [row for row in found if row["run"] == run and row["weights"] == "initial"]
            assert [{**row, "run": ""} for row in rows] == [
                {key: row[key] for key in rows[0]} | {"run": ""}
                for row in ({**each, "status": rows[0].get("status")} for each in of_initial)
            ]


def test_nothing_is_done_twice(finished):
    assert finished.planned(TINY) == {}


@pytest.mark.slow("trains the study a second time")
def test_the_same_seed_gives_the_same_bytes_in_a_job_of_its_own(finished, fresh):
    assert fresh.run(TINY | {"runs_per_job": 1}).returncode == 0
    assert not list((results(finished) / "checkpoints").rglob("*.safetensors"))
    compared = 0
    for path in sorted(results(finished).rglob("*.*")):
        other = results(fresh) / path.relative_to(results(finished))
        if path.name in (
            "runs.parquet",
            "training.parquet",
            "averaging.parquet",
            "latency.parquet",
        ):  # they hold seconds
            assert pq.read_schema(path).equals(pq.read_schema(other), check_metadata=True)
            one, two = tables.read(path), tables.read(other)
            timed = [name for name in one.column_names if name.endswith("seconds")]
            assert one.drop(timed).equals(two.drop(timed))
        elif path.suffix in (".parquet", ".safetensors", ".png", ".pdf"):
            assert path.read_bytes() == other.read_bytes(), path
        else:
            continue
        compared += 1
    assert compared >= 3 * 12 + 1 + 24 + 34


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
        (changed(runs=[TINY["runs"][0] | {"step_size": -1}]), "step_size is -1; it must be a positive number"),
        (
            changed(pruning={"exempt": ["head", "fc11"]}),
            "unknown layer 'fc11' in config key pruning.exempt: did you mean 'fc1'?",
        ),
    ],
)
def test_a_wrong_config_is_one_sentence_before_anything_starts(planned, config, sentence):
    result = planned.run(config)
    assert result.returncode != 0
    assert sentence in result.stdout
    assert "Traceback" not in result.stdout
    assert not (planned.folder / "results").exists()


def test_a_batch_larger_than_the_data(finished, tmp_path):
    run, other = "fcn4-digits-b5000-lr0.1-s0", finished.copied(tmp_path / "copy")
    shutil.rmtree(results(other) / "runs")
    config = changed(runs=[TINY["runs"][0] | {"batch_size": 5000, "step_size": 0.1}])
    result = other.run(config, "--", f"results/tiny/runs/{run}/tails.parquet")
    assert result.returncode != 0
    assert "batch_size 5000 is larger than the training set of 1438 images" in result.stdout
    assert "Traceback" not in (results(other) / f"logs/train/{run}.log").read_text()
    assert not list(results(other).glob("runs/*/*"))


def test_a_folder_with_one_class(planned):
    (planned.folder / "data/pictures/cat").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(planned.folder / "data/pictures/cat/a.png")
    config = changed(
        datasets={"sources": {"pets": {"kind": "folder", "path": "pictures"}}},
        runs=[TINY["runs"][0] | {"dataset": "pets"}],
    )
    result = planned.run(config, "--", "results/tiny/tables/runs.parquet")
    assert result.returncode != 0
    assert "dataset 'pets': data/pictures holds 1 class(es)" in result.stdout
    assert not list(results(planned).glob("data/*"))
