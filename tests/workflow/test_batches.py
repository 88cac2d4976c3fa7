"""Networks that share a job: the same bytes, and what is made again is what would be without."""

import contextlib
import copy
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from sgdtails.io import integrity, storage, tables
from sgdtails.training.checkpoints import CheckpointStore
from tests.workflow.conftest import TINY

RUNS = "results/tiny/tables/runs.parquet"
PAIRS = TINY | {"runs_per_job": 2}


def weights(workflow):
    """All weights as bytes, by path."""
    folder = workflow.folder / "results/tiny"
    return {
        str(path.relative_to(folder)): {name: array.tobytes() for name, array in storage.load_arrays(path)[0].items()}
        for part in ("initial", "runs")
        for path in (folder / part).rglob("*.safetensors")
    }


def test_nothing_is_left_to_do_by_one_run_a_job_or_several(finished):
    for number in (1, 2, 3, "auto"):
        assert finished.planned(PAIRS | {"runs_per_job": number}, "--", RUNS) == {}


def test_a_new_row_trains_one_run(finished):
    config = copy.deepcopy(PAIRS)
    config["runs"].append({"dataset": "digits", "model": "fcn4", "batch_size": 50, "step_size": 0.2, "seed": 0})
    assert finished.planned(config, "--", RUNS) == {"train": 1, "average": 1, "tails": 1, "runs": 1}
    config["runs"][-1]["seed"] = 1
    assert finished.planned(config, "--", RUNS) == {"initial": 1, "train": 1, "average": 1, "tails": 1, "runs": 1}


def test_a_changed_setting_of_the_average_trains_nothing(finished):
    config = PAIRS | {"average": {"burn_in": 20, "length": 31}}
    assert finished.planned(config, "--", RUNS) == {"average, several": 1, "average": 1, "tails, several": 1, "runs": 1}


@pytest.mark.parametrize(
    "edit",
    [
        {"datasets": {"sources": {"digits": {"kind": "digits", "label_noise": 0.1}}}},
        {"stop": TINY["stop"] | {"budget": 4001}},
    ],
)
def test_what_training_depends_on_is_made_again_side_by_side(finished, edit):
    planned = finished.planned(PAIRS | edit, "--", RUNS)
    stages = {"train, several": 1, "train": 1, "average, several": 1, "average": 1, "tails, several": 1}
    assert planned == stages | {"runs": 1} | ({"dataset": 1, "initial": 1} if "datasets" in edit else {})


def test_lost_files_are_made_again_without_those_of_others(finished):
    """The first two runs shared a job."""
    lost = [f"results/tiny/runs/fcn4-digits-b50-lr{step}-s0/converged.safetensors" for step in ("0.1", "0.3")]
    for names, planned in ((lost[:1], {"train": 1}), (lost, {"train, several": 1})):
        aside = {path: path.rename(path.with_suffix(".aside")) for path in (finished.folder / name for name in names)}
        try:
            assert finished.planned(PAIRS, "--", *names) == planned
        finally:
            for path, there in aside.items():
                there.rename(path)


def test_without_notes_of_what_is_done_nothing_is_made_again(finished, tmp_path):
    done = finished.folder / "results/tiny/.done"
    done.rename(tmp_path / "done")
    try:
        assert finished.planned(PAIRS, "--", RUNS) == {}
    finally:
        (tmp_path / "done").rename(done)


@pytest.mark.slow("trains a study of its own")
def test_networks_of_several_seeds_that_leave_no_weights(fresh):
    """A batch of runs may start from one network, from several, or from some in common; an edit later trains again."""
    config = copy.deepcopy(TINY) | {"weights": {"keep": "none"}}
    config["runs"][0]["step_size"] = [0.1, 0.2]
    config["runs"].append(config["runs"][0] | {"step_size": 0.3, "seed": 1})
    targets = ("--", *(f"results/tiny/tables/{name}.parquet" for name in ("runs", "tails", "histograms")))
    result = fresh.run(config, *targets)
    assert result.returncode == 0, result.stdout
    seeds = {row["run"]: row["seed"] for row in tables.read(fresh.folder / RUNS).to_pylist()}
    assert sorted(seeds.values()) == [0, 0, 1]
    initial = tables.read(fresh.folder / "results/tiny/tables/tails.parquet").to_pylist()
    alphas = {
        run: [row["alpha"] for row in initial if (row["run"], row["weights"]) == (run, "initial")] for run in seeds
    }
    first, second, third = (alphas[run] for run in sorted(seeds))
    assert first == second != third
    assert weights(fresh) == {}
    assert integrity.main(fresh.folder / "results") == 0
    assert fresh.planned(config, *targets) == {}
    stages = ("initial, several", "train, several", "average, several", "tails, several")
    assert fresh.planned(config | {"tails": {"orders": 4}}, "--", RUNS) == dict.fromkeys(stages, 1) | {"runs": 1}


def catches(pid, number):
    """Whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"SigCgt:\s*([0-9a-f]+)", status)[1], 16) >> (number - 1) & 1


def trainer(driver):
    """The training process below a driver, once it is ready to be interrupted."""
    for _ in range(3000):
        for child in psutil.Process(driver.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                if "train.py" in child.cmdline()[-1] and catches(child.pid, signal.SIGTERM):
                    return child
        time.sleep(0.1)
    raise AssertionError("no training process")


@pytest.mark.slow("trains one run three times; what a job does that is asked to end is tested in the library as well")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc, which this system does not have")
def test_a_job_asked_to_end_goes_on_where_it_was(fresh):
    """SIGTERM to the training process itself, as a scheduler sends it: it ends long before its training would, its state saved."""
    slow = copy.deepcopy(TINY)
    slow["runs"][0]["step_size"] = [0.1]
    slow["stop"] |= {"train_nll": 1e-9, "budget": 20_000}  # some seconds of training
    run = "fcn4-digits-b50-lr0.1-s0"
    target = f"results/tiny/runs/{run}/converged.safetensors"
    driver = fresh.start(slow, "--", target)
    process = trainer(driver)
    process.terminate()
    driver.communicate()
    assert driver.returncode != 0
    assert "the next start goes on from there" in (fresh.folder / f"results/tiny/logs/train/{run}.log").read_text()
    (saved,) = (fresh.folder / "results/tiny/checkpoints/train").rglob("*.safetensors")
    assert 0 <= storage.load_arrays(saved)[1]["iteration"] < 20_000
    for more in ((), ("--forcerun", "train")):
        result = fresh.run(slow, *more, "--", target)
        assert result.returncode == 0, result.stdout
        assert not saved.parents[1].exists()  # since Snakemake has recorded that the run has ended
        if not more:
            resumed = weights(fresh)
    assert weights(fresh) == resumed
    checkpoints = fresh.folder / "results/tiny/checkpoints"
    ended, other = (CheckpointStore(checkpoints, "train", run, depends={"code": code}) for code in ("ended", "other"))
    ended.save({}, {"outcome": {"status": "converged"}})
    other.save({}, {"outcome": None})
    for options in (("-n",), ("--touch",)):
        assert fresh.run(slow, *options, "--", target).returncode == 0
        assert ended.folder.exists()
    assert (
        "Nothing to be done" in fresh.run(slow, "--", target).stdout
    )  # an earlier start ended before it had removed them
    assert not ended.folder.exists()
    assert other.folder.exists()
    assert fresh.run(slow, "--forcerun", "train", "--touch", "--", target).returncode == 0
    assert other.folder.exists()
