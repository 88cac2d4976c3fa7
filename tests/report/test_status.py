import fcntl
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from sgdtails.config import run_table
from sgdtails.config.study import read_config
from sgdtails.errors import InputError
from sgdtails.io import parquet, storage
from sgdtails.report import plan, status, status_overview
from sgdtails.runtime import progress
from sgdtails.schemas import run_schemas
from tests.conftest import ROOT

STUDY = {
    "study": "s",
    "runs": [{"dataset": "digits", "model": "fcn4", "batch_size": 10, "step_size": [0.1, 0.2, 0.3], "seed": 0}],
    "runs_per_job": 1,
}
FIRST, SECOND, THIRD = (f"fcn4-digits-b10-lr{eta}-s0" for eta in (0.1, 0.2, 0.3))


@pytest.fixture
def study(config):
    return config | STUDY


def write_rows(results, config, runs, *, seconds=100.0, iterations=1000, state="converged"):
    """The files of finished stages of these runs."""
    table = run_table.read_runs(
        config["runs"], datasets=config["datasets"]["sources"], models=config["models"], base=ROOT
    )
    for run in runs:
        row = table[run] | dict.fromkeys(("train_nll", "train_accuracy", "test_nll", "test_accuracy"))
        row |= {"run": run, "eta_over_b": 0.1, "status": state, "iterations": iterations, "seconds": seconds}
        folder = results / config["study"] / "runs" / run
        parquet.write(
            run_schemas.SCHEMAS["training"],
            [row | {"device": "cpu", "precision": "fp32"}],
            folder / "training.parquet",
            provenance={},
        )


def write_averages(results, config, runs):
    for run in runs:
        parquet.write(
            run_schemas.SCHEMAS["averaging"],
            [
                dict.fromkeys(name for name, *_ in run_schemas.AVERAGES)
                | {"run": run, "status": "averaged", "seconds": 10.0}
            ],
            results / config["study"] / "runs" / run / "averaging.parquet",
            provenance={},
        )


@pytest.fixture
def beat(tmp_path, monkeypatch):
    """Write heartbeats as a job does whose log has this name: run, iteration and what was measured."""

    def write(log, total, *reports, stage="train"):
        path = tmp_path / "s/logs" / stage / log
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        progress.start(path)
        reporter = progress.Progress(total, every=0.0)
        for run in dict.fromkeys(run for run, *_ in reports):
            reporter.report(run, 0)
        time.sleep(0.01)  # a rate needs some time
        for run, iteration, values in reports:
            reporter.report(run, iteration, **values)

    yield write
    monkeypatch.setattr(progress, "_log", None)


def lock_of(results, run, stage="train"):
    path = results / "s/checkpoints" / stage / f"{run}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a")


def test_a_run_is_running_while_its_lock_is_held_and_waiting_after(tmp_path, study, beat):
    beat(f"{FIRST}.log", 4000, (FIRST, 200, {"NLL": 0.5, "accuracy": 0.9}))
    with lock_of(tmp_path, FIRST) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        [job] = status.overview(study, tmp_path).jobs
        assert (job.run, job.stage, job.held, job.beat.iteration, job.beat.nll) == (FIRST, "train", True, 200, 0.5)
        assert (tmp_path / "s/checkpoints/train" / f"{FIRST}.lock").exists()
    (tmp_path / "s/checkpoints/train" / f"{FIRST}.lock").unlink()
    assert status.overview(study, tmp_path).jobs == []


def test_looking_leaves_the_lock_to_whoever_comes(tmp_path, study):
    with lock_of(tmp_path, FIRST) as file:
        status.overview(study, tmp_path)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError if it were still held


def test_where_locks_are_not_seen_the_age_of_the_log_decides(tmp_path, study, beat):
    beat(f"{FIRST}.log", 4000, (FIRST, 200, {}))
    lock_of(tmp_path, FIRST).close()
    [job] = status.overview(study, tmp_path).jobs
    assert not job.held
    assert "lock is not seen" in "\n".join(status.lines(status.overview(study, tmp_path)))
    assert status.overview(study, tmp_path, now=time.time() + status_overview.FRESH + 1).jobs == []


def test_runs_are_counted_by_what_their_files_say(tmp_path, study):
    write_rows(tmp_path, study, [FIRST])
    write_rows(tmp_path, study, [SECOND], state="diverged")
    write_averages(tmp_path, study, [FIRST])
    text = "\n".join(status.lines(status.overview(study, tmp_path)))
    assert "trained        2   1 converged, 1 diverged, 0 budget" in text
    assert "averaged       1   of 1 converged" in text
    assert "waiting        1 " in text


def test_a_damaged_table_counts_as_a_run_that_waits(tmp_path, study):
    write_rows(tmp_path, study, [FIRST])
    (tmp_path / "s/runs" / FIRST / "training.parquet").write_bytes(b"PAR1")
    assert status.overview(study, tmp_path).ended["train"] == {}


def test_time_left_is_what_runs_of_the_same_kind_took(tmp_path, study, beat):
    write_rows(tmp_path, study, [FIRST], seconds=100.0, iterations=1000)
    write_averages(tmp_path, study, [FIRST])
    beat(f"{SECOND}.log", 4000, (SECOND, 250, {}))
    with lock_of(tmp_path, SECOND) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # three quarters of one training, one training, two averages of 10 seconds
        assert status_overview.time_left(status.overview(study, tmp_path)) == (pytest.approx(75 + 100 + 2 * 10), 0)


def test_nothing_is_said_of_a_kind_that_has_not_ended_once(tmp_path, study, beat):
    assert status_overview.time_left(status.overview(study, tmp_path)) == (0.0, 6)
    assert "How long 6 trainings and averages take is not known" in "\n".join(
        status.lines(status.overview(study, tmp_path))
    )
    beat(f"{SECOND}.log", 4000, (SECOND, 250, {}))
    with lock_of(tmp_path, SECOND) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # What its budget allows is in its own line; of all the rest that says nothing.
        text = "\n".join(status.lines(status.overview(study, tmp_path)))
        assert "of training and averaging left" not in text
        assert "How long 5 trainings and averages take is not known" in text
        write_rows(tmp_path, study, [FIRST], seconds=100.0, iterations=1000)
        assert "More than 0:02:55 of training" in "\n".join(status.lines(status.overview(study, tmp_path)))


def test_the_time_of_a_start_is_that_of_its_own_jobs(tmp_path, study):
    """Neither of runs that it leaves out, nor less for those that it trains again."""
    write_rows(tmp_path, study, [FIRST, SECOND], seconds=100.0, iterations=1000)
    assert list(plan.time(study, {"train": [], "average": [FIRST]}, tmp_path)) == [
        "How long one training or average takes is not known: no run like it has ended yet."
    ]
    write_averages(tmp_path, study, [FIRST])
    [line] = plan.time(study, {"train": [SECOND], "average": [SECOND]}, tmp_path)
    assert line.startswith("About 0:01:50 of training and averaging left")
    [line] = plan.time(study, {"train": [SECOND, THIRD], "average": [SECOND]}, tmp_path)
    assert line.startswith("About 0:03:30 of training and averaging left")


def test_no_table_is_begun_for_jobs_that_have_said_nothing(tmp_path, study, beat):
    beat(f"{FIRST}.log", 4000)
    with lock_of(tmp_path, FIRST) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = "\n".join(status.lines(status.overview(study, tmp_path)))
    assert "1 more begin" in text
    assert "steps/s" not in text


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path, study):
    for name in (f"runs/{FIRST}/training.parquet", f"checkpoints/train/{FIRST}/0123456789abcdef/00000000.safetensors"):
        path = tmp_path / "s" / name
        path.parent.mkdir(parents=True)
        path.symlink_to("/proc/self/mem")
    assert "All runs" not in "\n".join(status.lines(status.overview(study, tmp_path)))


def checkpoint(results, run, record, file="0123456789abcdef/00000000"):
    path = results / "s/checkpoints/train" / run / f"{file}.safetensors"
    storage.save_arrays(path, {"state/w": np.zeros(2)}, {"depends": {}, **record})
    return path


def test_checkpoints_tell_paused_runs_from_finished_ones(tmp_path, study):
    row = {"train_nll": 0.25, "train_accuracy": 0.5}
    checkpoint(tmp_path, FIRST, {"iteration": 600, "history": [row], "seconds": 5.0, "outcome": None})
    outcome = {"status": "diverged", "iterations": 800}
    checkpoint(tmp_path, SECOND, {"iteration": 800, "history": [row], "seconds": 9.0, "outcome": outcome})
    found = status.overview(study, tmp_path)
    assert found.paused == {FIRST: 600}
    assert found.ended["train"] == {SECOND: outcome | {"seconds": 9.0}}


def test_an_older_checkpoint_of_other_settings_does_not_count(tmp_path, study):
    """Though it has a higher number."""
    row = {"train_nll": 0.25, "train_accuracy": 0.5}
    ended = {"iteration": 800, "history": [row], "seconds": 9.0, "outcome": {"status": "converged", "iterations": 800}}
    older = checkpoint(tmp_path, FIRST, ended, file="fedcba9876543210/00000004")
    os.utime(older, (1e9, 1e9))
    checkpoint(tmp_path, FIRST, ended | {"iteration": 200, "outcome": None})
    found = status.overview(study, tmp_path)
    assert found.paused == {FIRST: 200}
    assert found.ended["train"] == {}


FLEET = "fcn4_digits_b10_0.log"


def test_runs_of_a_fleet_are_read_from_its_log(tmp_path, study, beat):
    beat(FLEET, 4000, (FIRST, 200, {}), (SECOND, 400, {}))
    files = [lock_of(tmp_path, run) for run in (FIRST, SECOND, THIRD)]
    for file in files:
        fcntl.flock(file, fcntl.LOCK_EX)
    found = status.overview(study, tmp_path)
    assert [job.beat and job.beat.iteration for job in found.jobs] == [200, 400, None]
    assert "with 1 job at once" not in "\n".join(status.lines(found))  # nothing has ended: no time to tell
    assert "1 more begin, or wait for a slot" in "\n".join(status.lines(found))
    write_rows(tmp_path, study, [THIRD], seconds=100.0, iterations=1000)
    assert "with 1 job at once" in "\n".join(status.lines(status.overview(study, tmp_path)))
    for file in files:
        file.close()


def test_a_heartbeat_keeps_what_was_measured_last(tmp_path, study, beat):
    beat(FLEET, 4000, (FIRST, 200, {"NLL": 0.5, "accuracy": 0.75}), (SECOND, 300, {}), (FIRST, 400, {}))
    first, second = (progress.read(tmp_path / "s/logs/train", run) for run in (FIRST, SECOND))
    assert (first.iteration, first.total, first.nll, first.accuracy, first.log) == (400, 4000, 0.5, 0.75, FLEET)
    assert (second.iteration, second.nll) == (300, None)
    assert first.left == timedelta(seconds=round(3600 / first.rate))
    progress.finish()
    assert progress.read(tmp_path / "s/logs/train", FIRST) is None


@pytest.mark.parametrize("data", ["", "{", "[]", '{"iteration": 1}', "\0"])
def test_a_heartbeat_that_cannot_be_read_is_none(tmp_path, data):
    (tmp_path / "heartbeats").mkdir()
    (tmp_path / "heartbeats/a.json").write_text(data)
    assert progress.read(tmp_path, "a") is None


def test_training_goes_on_where_no_heartbeat_can_be_written(tmp_path, study, beat):
    (tmp_path / "s/logs/train").mkdir(parents=True)
    (tmp_path / "s/logs/train/heartbeats").touch()
    beat(FLEET, 4000, (FIRST, 200, {}))
    assert progress.read(tmp_path / "s/logs/train", FIRST) is None


def test_what_a_fleet_has_said_last_is_one_line(tmp_path, study, beat):
    log = tmp_path / "s/logs/train" / FLEET
    beat(FLEET, 4000, (FIRST, 200, {}), (SECOND, 200, {}))
    with log.open("a") as file:
        file.write("sgdtails: No space left on device: x; make room.\n")
    text = "\n".join(status.lines(status.overview(study, tmp_path)))
    assert f"{FIRST} and 1 more stopped: No space left on device: x; make room." in text


def test_what_a_stopped_job_has_said_last_is_shown(tmp_path, study, beat):
    log = tmp_path / "s/logs/train" / f"{FIRST}.log"
    beat(log.name, 4000, (FIRST, 200, {}))
    with log.open("a") as file:
        file.write("sgdtails: No space left on device: x; make room.\n")
    assert status.overview(study, tmp_path).stopped == {FIRST: "No space left on device: x; make room."}


def test_a_config_is_joined_as_snakemake_joins_it(tmp_path, config):
    (tmp_path / "mine.yaml").write_text("study: mine\nstop: {budget: 1000}\n")
    joined = read_config(tmp_path / "mine.yaml")
    assert joined == config | {"study": "mine", "stop": config["stop"] | {"budget": 1000}}
    (tmp_path / "empty.yaml").touch()
    assert read_config(tmp_path / "empty.yaml") == config


def test_a_missing_config_is_one_sentence(tmp_path, capsys):
    with pytest.raises(InputError, match="--configfile"):
        read_config(tmp_path / "none.yaml")
    assert status.main(["--configfile", str(tmp_path / "none.yaml")]) == 1
    assert capsys.readouterr().err.startswith("sgdtails: --configfile: cannot read")


@pytest.mark.parametrize("text", ["- study: mine\n", "mine\n", "7\n"])
def test_a_config_without_keys_is_one_sentence(tmp_path, capsys, text):
    (tmp_path / "my list.yaml").write_text(text)
    assert status.main(["--configfile", str(tmp_path / "my list.yaml")]) == 1
    assert "my list.yaml holds a" in capsys.readouterr().err


def test_a_model_of_another_kind_is_no_second_kind(tmp_path):
    (tmp_path / "mine.yaml").write_text("models: {fcn4: {cnn: [4, M]}}\n")
    assert read_config(tmp_path / "mine.yaml")["models"]["fcn4"] == {"cnn": [4, "M"]}


def test_a_folder_that_may_not_be_looked_into_is_one_sentence(tmp_path, capsys, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", "results/s")

    monkeypatch.setattr(status, "overview", refuse)
    assert status.main(["--results", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "sgdtails: Permission denied: results/s; grant access, then look again.\n"


def make_status(config, **streams):
    """`make status` of a config, without the set-up of the environment."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["make", "-s", "-o", ".venv/ready", "status", f"CONFIG={config}"]
    return subprocess.run(command, cwd=ROOT, env=environment, text=True, check=False, **streams)


def test_into_a_pipe_that_nobody_reads(tmp_path):
    """As in `make status | head`, with spaces and quotes in the path."""
    path = tmp_path / 'it\'s "my" study.yaml'
    path.write_text("study: mine\n")
    reader, writer = os.pipe()
    os.close(reader)
    result = make_status(path, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")
    result = make_status(path, capture_output=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Study mine: 215 runs")


def test_the_papers_215_runs_are_read_without_torch(tmp_path, config):
    """Which would take longer to import than all else."""
    runs = run_table.read_runs(
        config["runs"], datasets=config["datasets"]["sources"], models=config["models"], base=ROOT
    )
    write_rows(tmp_path, config, runs)
    write_averages(tmp_path, config, list(runs)[:100])
    script = "import sys; from sgdtails.report import status; code = status.main(sys.argv[1:]); sys.exit(code or 'torch' in sys.modules)"
    command = [sys.executable, "-c", script, "--results", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "trained      215" in result.stdout
