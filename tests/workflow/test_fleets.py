"""Runs that share a job: the same bytes, and jobs per run as far as Snakemake is concerned."""

import contextlib
import copy
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from sgdtails import storage, tables
from tests.workflow.conftest import TINY, Workflow

RUNS = "results/tiny/tables/runs.parquet"
FLEETS = TINY | {"runs_per_job": 2, "slots": 2}


def weights(workflow):
    """All weights as bytes, by path."""
    folder = workflow.folder / "results/tiny/runs"
    return {
        str(path.relative_to(folder)): {name: array.tobytes() for name, array in storage.load_arrays(path)[0].items()}
        for path in folder.rglob("*.safetensors")
    }


def rows(workflow):
    return [{**row, "seconds": 0} for row in tables.read(workflow.folder / RUNS).to_pylist()]


def trained(folder, config):
    workflow = Workflow(folder)
    result = workflow.run(config, "--", RUNS)
    assert result.returncode == 0, result.stdout
    return workflow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("alone"), TINY)


@pytest.fixture(scope="module")
def fleets(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("fleets"), FLEETS)


def test_runs_in_fleets_have_the_bytes_of_runs_alone(fleets, finished):
    assert rows(fleets) == rows(finished)
    assert weights(fleets) == weights(finished)
    assert not list((fleets.folder / "results/tiny/checkpoints").rglob("*.safetensors"))


def test_nothing_is_left_to_do(fleets):
    assert fleets.planned(FLEETS, "--", RUNS) == {}


def test_a_new_row_trains_one_run(fleets):
    config = copy.deepcopy(FLEETS)
    config["runs"].append({"dataset": "digits", "model": "fcn4", "batch_size": 50, "step_size": 0.2, "seed": 0})
    fleet = "fcn4_digits_b50_1"
    expected = {f"train_{fleet}": 1, "train": 1, f"average_{fleet}": 1, "average": 1, "tails": 1, "runs": 1}
    assert fleets.planned(config, "--", RUNS) == expected


def test_a_changed_setting_of_the_average_trains_nothing(fleets):
    config = FLEETS | {"average": {"burn_in": 20, "length": 31}}
    planned = fleets.planned(config, "--", RUNS)
    fleets = {"average_fcn4_digits_b50_0": 1, "average_fcn4_digits_b50_1": 1}
    assert planned == fleets | {"average": 3, "tails": 3, "runs": 1}  # a network's tail index is in its row


@pytest.mark.parametrize(
    "edit",
    [
        {"datasets": {"sources": {"digits": {"kind": "digits", "label_noise": 0.1}}}},
        {"stop": TINY["stop"] | {"budget": 4001}},
    ],
)
def test_what_training_depends_on_brings_the_fleets_of_both_stages_back(fleets, edit):
    planned = fleets.planned(FLEETS | edit, "--", RUNS)
    expected = {f"{stage}_fcn4_digits_b50_{number}" for stage in ("train", "average") for number in (0, 1)}
    assert {rule for rule in planned if "fcn4" in rule} == expected


def test_a_lost_file_retrains_its_run_alone(fleets):
    target = "results/tiny/runs/fcn4-digits-b50-lr0.1-s0/training.parquet"
    path = fleets.folder / target
    aside = path.rename(path.with_suffix(".aside"))
    try:
        assert fleets.planned(FLEETS, "--", target) == {"train": 1}
    finally:
        aside.rename(path)


def catches(pid, number):
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"SigCgt:\s*([0-9a-f]+)", status)[1], 16) >> (number - 1) & 1


def trainer(driver):
    """The training process below a driver, once it is ready to be interrupted."""
    for _ in range(300):
        for child in psutil.Process(driver.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if "train.py" in child.cmdline()[-1] and catches(child.pid, signal.SIGTERM):
                    return child
        time.sleep(0.1)
    raise AssertionError("no training process")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc, which this system does not have")
def test_a_job_asked_to_end_goes_on_where_it_was(fresh):
    """SIGTERM to the training process itself, as a scheduler sends it: it ends within five seconds, its state saved."""
    slow = copy.deepcopy(TINY)
    slow["runs"][0]["step_size"] = [0.1]
    slow["stop"] |= {"train_nll": 1e-9, "budget": 20_000}  # some seconds of training
    run = "fcn4-digits-b50-lr0.1-s0"
    target = f"results/tiny/runs/{run}/converged.safetensors"
    driver = fresh.start(slow, "--", target)
    process = trainer(driver)
    time.sleep(0.5)
    begin = time.monotonic()
    process.terminate()
    process.wait(5)
    assert time.monotonic() - begin < 5
    driver.communicate(timeout=60)
    assert driver.returncode != 0
    assert "the next start goes on from there" in (fresh.folder / f"results/tiny/logs/train/{run}.log").read_text()
    (saved,) = (fresh.folder / "results/tiny/checkpoints/train").rglob("*.safetensors")
    assert 0 < storage.load_arrays(saved)[1]["iteration"] < 20_000
    for more in ((), ("--forcerun", "train")):
        result = fresh.run(slow, *more, "--", target)
        assert result.returncode == 0, result.stdout
        if not more:
            resumed = weights(fresh)
    assert weights(fresh) == resumed
