"""`make gpu-study`, rehearsed on the CPU: to the end, to a deadline, interrupted, and when something goes wrong."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from benchmarks import gpu_study, study_jobs, study_process
from benchmarks.study_plan import Plan, read_config
from sgdtails.errors import InputError
from sgdtails.io import parquet, storage
from tests.conftest import ROOT

pytestmark = pytest.mark.slow("no part of the library or the workflow")

NOTHING = {"ratios": []}
TINY = {
    "runs": [
        {"dataset": "digits", "model": "fcn4", "batch_size": 50, "step_size": [0.3, 1e6], "seed": 0},
        {"dataset": "digits", "model": "fcn6", "batch_size": 50, "step_size": 0.3, "seed": 0},
    ],
    "models": {"fcn4": {"fcn": [8]}, "fcn6": {"fcn": [8, 8]}},
    "stop": {"train_nll": 0.5, "train_accuracy": 0.8, "gate": 100, "budget": 1000, "chance_after": 500, "history": 5},
    "average": {"burn_in": 10, "length": 10},
    "tails": {"block_lengths": [2], "permutations": 1, "orders": 2, "robustness": False},
    "pruning": {
        **{"evaluate": ["test"], "adaptive": {"epsilon": []}, "layer_magnitude": {"ratios": [0, 0.5]}},
        **{"global_magnitude": NOTHING, "singular_value": NOTHING, "node": NOTHING},
    },
}
RUNS = {f"{model}-digits-b50-lr{rate}-s0" for model, rate in (("fcn4", 0.3), ("fcn4", 1000000), ("fcn6", 0.3))}


class Here:
    """A job of the device, made in this process as soon as it begins."""

    made: list[tuple[str, str]]

    def __init__(self, plan, kind, name):
        self.made.append((kind, name))
        handlers = {number: signal.getsignal(number) for number in signal.Signals if number not in _FIXED}
        streams = sys.stdout, sys.stderr
        self._problem = ""
        try:
            study_jobs.make(plan, kind, name)
        except SystemExit:
            newest = max((plan.folder / "logs").glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
            self._problem = newest.read_text().splitlines()[-1].removeprefix("sgdtails: ")
        finally:
            sys.stdout, sys.stderr = streams
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def ended(self):
        return True

    def problem(self):
        return self._problem


_FIXED = {signal.SIGKILL, signal.SIGSTOP}


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(Here, "made", [], raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return Here


def study(folder, here, seconds=1e9, *, config=TINY, **more):
    file = folder.parent / "study.yaml"
    file.write_text(yaml.safe_dump(config))
    given = [str(seconds), "--device", "cpu", "--configfile", str(file), "--folder", str(folder), "--workers", "0"]
    return gpu_study.main(given, **{"start": here, **more})


def rows(folder, name):
    return parquet.read(folder / f"tables/{name}.parquet").to_pylist()


def stages(folder):
    return {row["run"]: row["stage"] for row in rows(folder, "progress")}


def weights(folder):
    """All arrays as bytes, by path."""
    return {
        str(path.relative_to(folder)): {name: array.tobytes() for name, array in storage.load_arrays(path)[0].items()}
        for path in (folder / "runs").rglob("*.safetensors")
    }


def test_a_study_to_its_end_and_once_more(tmp_path, here, capsys):
    folder = tmp_path / "study"
    assert study(folder, here) == 0
    assert capsys.readouterr().out == f"gpu-study: all 3 runs are finished; tables are in {folder / 'tables'}.\n"
    assert set(stages(folder)) == RUNS
    assert set(stages(folder).values()) == {"pruned"}
    found = {row["run"]: row for row in rows(folder, "runs")}
    assert {run: row["status"] for run, row in found.items()} == {
        run: "diverged" if "1000000" in run else "converged" for run in RUNS
    }
    healthy = {run for run in RUNS if "1000000" not in run}
    assert all((found[run]["alpha"] is not None) == (run in healthy) for run in RUNS)
    for name in ("tails", "readings", "compression"):
        assert {row["run"] for row in rows(folder, name)} >= healthy
    for run in healthy:  # the tables of these are left to the workflow
        for name in ("bounds", "perturbation"):
            assert parquet.read(folder / f"runs/{run}/{name}.parquet").num_rows
        assert not (folder / f"runs/{run}/dependence.parquet").exists()
    assert {row["run"] for row in rows(folder, "history")} == {row["run"] for row in rows(folder, "pruning")} == RUNS
    assert not list((folder / "checkpoints").rglob("*.safetensors"))
    here.made.clear()
    assert study(folder, here) == 0
    assert here.made == []

    # Other settings are other runs: nothing of the old ones is taken for theirs.
    assert study(folder, here, config=TINY | {"stop": TINY["stop"] | {"budget": 900}}) == 0
    assert ("train", "fcn4-digits-b50-0") in here.made


def test_the_analyses_that_claims_ask_for(tmp_path, here):
    folder, asked = tmp_path / "study", {"of": "dependence", "measure": "within_rows"}
    errors = {"of": "relative_error", "structure": "entries", "kappa": 0.1}
    compare = [{"x": "step_size", "y": asked}, {"x": "step_size", "y": errors}]
    assert study(folder, here, config=TINY | {"compare": compare}) == 0
    for run in RUNS:
        of_run = folder / "runs" / run
        assert parquet.read(of_run / "dependence.parquet").num_rows or "1000000" in run
        assert parquet.read_record(of_run / "errors.parquet")["settings"]["weights"] == "last"
    assert len(list((folder / "initial").glob("*/dependence.parquet"))) == 2  # FCN4 and FCN6


def test_a_deadline_leaves_rows_of_what_is_finished(tmp_path, here, capsys):
    folder, straight = tmp_path / "study", tmp_path / "straight"
    first = folder / "runs/fcn4-digits-b50-lr0.3-s0/tails.parquet"
    over = {"clock": lambda: math.inf if first.exists() else 0.0}
    assert study(folder, here, **over) == 0
    said = capsys.readouterr().out
    assert "seconds are over: 0 of 3 runs are finished, 2 trained;" in said
    assert "the same command goes on." in said
    assert {row["run"] for row in rows(folder, "runs")} == {run for run in RUNS if "fcn4" in run}
    assert "fcn4-digits-b50-lr0.3-s0" in (analysed := {row["run"] for row in rows(folder, "tails")})
    assert "fcn6-digits-b50-lr0.3-s0" not in analysed
    assert stages(folder)["fcn6-digits-b50-lr0.3-s0"] == "waiting"
    assert study(folder, here) == 0
    assert sum(kind == "train" for kind, _ in here.made) == 2  # one of each group
    assert study(straight, here) == 0
    assert weights(folder) == weights(straight)


def test_too_few_seconds_for_one_run(tmp_path, here, capsys):
    folder = tmp_path / "study"
    assert study(folder, here, clock=lambda: math.inf if (folder / "data").exists() else 0.0) == 1
    assert "before one run was trained" in (said := capsys.readouterr().err)
    assert "give more seconds: the same command goes on from there." in said
    assert set(stages(folder).values()) == {"waiting"}
    assert rows(folder, "runs") == []
    for seconds in ("0", "-3", "nan", "inf", "an hour"):
        assert gpu_study.main([f"--folder={folder}", "--device=cpu", "--", seconds]) == 1
        assert f"SECONDS is {seconds}; give" in capsys.readouterr().err


def test_a_group_that_fails_does_not_stop_the_next(tmp_path, here, capsys):
    folder = tmp_path / "study"
    runs = [{"dataset": "mnist", "model": "fcn4", "batch_size": 50, "step_size": 0.3, "seed": 0}, TINY["runs"][1]]
    more = {"datasets": {"root": str(tmp_path / "nowhere"), "download": False}}
    assert study(folder, here, config=TINY | more | {"runs": runs}) == 1
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence.startswith("gpu-study: fcn4-mnist-b50-0: ")
    assert "1 of 2 runs are finished" in sentence
    assert {row["model"] for row in rows(folder, "runs")} == {"fcn6"}
    assert [bool(row["problem"]) for row in rows(folder, "progress")] == [True, False]


def test_an_analysis_that_fails_keeps_no_job_from_the_device(tmp_path, here, capsys, monkeypatch):
    folder, analyse = tmp_path / "study", study_jobs.analyse
    monkeypatch.setattr(
        study_jobs,
        "analyse",
        lambda text, run, name, initial: "no law" if name == "laws" else analyse(text, run, name, initial),
    )
    assert study(folder, here) == 1
    assert "no law" in capsys.readouterr().err
    assert [name for kind, name in here.made if kind == "prune"] == ["fcn4-digits-b50-0", "fcn6-digits-b50-1"]


def test_initial_networks_of_other_settings_are_made_again(tmp_path, here):
    folder = tmp_path / "study"
    assert study(folder, here) == 0
    assert study(folder, here, config=TINY | {"models": {"fcn4": {"fcn": [12]}, "fcn6": {"fcn": [8, 8]}}}) == 0
    widths = {
        path.parent.name: storage.load_arrays(path)[0]["fc1.weight"].shape[0]
        for path in folder.glob("initial/*/*.safetensors")
    }
    assert sorted(widths.values()) == [8, 12]


def test_the_time_of_checks_before_it_counts(tmp_path, here, capsys, monkeypatch):
    now = [0.0]

    def slow(device):
        now[0] += 100
        return ""

    monkeypatch.setattr(gpu_study.gpu_check, "missing", slow)
    assert study(tmp_path / "study", here, 100, clock=lambda: now[0]) == 1
    assert "before one run was trained" in capsys.readouterr().err
    assert here.made == []


def test_a_full_disk_is_one_sentence_and_tables_stay(tmp_path, here, capsys, monkeypatch):
    folder = tmp_path / "study"
    assert study(folder, here, clock=lambda: math.inf if list(folder.glob("runs/*")) else 0.0) == 0
    before = {path: path.read_bytes() for path in (folder / "tables").iterdir()}
    capsys.readouterr()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(storage.tempfile, "mkstemp", full)
        assert study(folder, here) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("gpu-study: No space left on device: ")
    assert said.endswith("what is finished is kept: make room or grant access, then run again.")
    assert {path: path.read_bytes() for path in before} == before
    assert study(folder, here) == 0
    assert set(stages(folder).values()) == {"pruned"}


def test_one_driver_a_folder(tmp_path, here, capsys):
    folder = tmp_path / "study"
    with study_process.alone(folder):
        assert study(folder, here) == 1
    assert f"another process works in {folder}" in capsys.readouterr().err


class Probe:
    """What a job says that looks at the GPU."""

    def __init__(self, output="", problem="", ended=True):
        self._parts, self.stopped = (output, problem, ended), False

    def __call__(self, plan, kind, name):
        assert (kind, name) == ("probe", "probe")
        return self

    def output(self):
        return self._parts[0]

    def problem(self):
        return self._parts[1]

    def ended(self):
        return self._parts[2] or self.stopped

    def stop(self, patience):
        self.stopped = True


def test_a_gpu_that_is_busy_full_or_unusable_is_one_sentence(tmp_path, capsys):
    def said(**how):
        memory = json.dumps({"name": "H100", "free": how.pop("free", 80) * 2**30, "total": 80 * 2**30})
        study_process.check_memory(None, Probe(output=f"{memory}\n", **how), patience=0.3)
        return capsys.readouterr().err

    assert said() == ""
    assert said(free=40) == "H100 is in use by another process: times will not be those of a free one.\n"
    for how, sentence in (
        (
            {"free": 1},
            "H100 has 1.0 of its 80 GiB free, and training needs 2 at least; end what else uses it, then run again.",
        ),
        ({"problem": "there is a GPU, but torch cannot use it"}, "there is a GPU, but torch cannot use it"),
        (
            {"ended": False},
            "no GPU was free within 0 seconds: other jobs have reserved all of them; wait for these, then run again.",
        ),
    ):
        with pytest.raises(InputError) as error:
            said(**how)
        assert f"{error.value}" == sentence


def test_without_a_gpu_it_is_skipped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu_study.gpu_check, "missing", lambda device: "skipped: torch sees no GPU here.")
    assert gpu_study.main(["60", "--folder", str(tmp_path / "study")]) == 0
    assert capsys.readouterr().out == "skipped: torch sees no GPU here.\n"
    assert not (tmp_path / "study").exists()


def test_the_papers_study_begins_with_its_first_panel():
    plan = Plan(read_config(None, None, "cuda"), Path("nowhere"))
    groups = plan.groups
    assert sum(len(group.runs) for group in groups) == len(plan.runs) == 215
    assert [(group.name, len(group.runs)) for group in groups[:3]] == [
        *[("fcn4-mnist-b50-0", 38), ("fcn4-mnist-b100-1", 14), ("fcn6-mnist-b50-2", 23)],
    ]
    cnn = [group for group in groups if group.name.startswith("cnn-mnist-b50")]
    assert [len(group.runs) for group in cnn] == [8, 4]
    rates = [[plan.runs[run]["step_size"] for run in group.runs] for group in cnn]
    assert min(rates[0]) >= max(rates[1])
    assert {plan.precision(run) for run in cnn[0].runs} == {"tf32"}
    assert {plan.precision(run) for run in groups[0].runs} == {"fp32"}


def test_an_interrupted_study_goes_on_from_its_checkpoints(tmp_path, here):
    """The driver and its jobs as processes: SIGTERM while a run trains that would take for ever."""
    folder, file = tmp_path / "study", tmp_path / "endless.yaml"
    stop = TINY["stop"] | {"train_nll": 1e-300, "budget": 10**9, "chance_accuracy": 0.0}
    endless = TINY | {"stop": stop, "runs": TINY["runs"][1:], "checkpoint_minutes": 0.001}
    file.write_text(yaml.safe_dump(endless))
    plan = Plan(read_config(str(file), None, "cpu"), folder)
    here(plan, "dataset", plan.groups[0].name)
    command = [sys.executable, "-m", "benchmarks.gpu_study", "1e6", "--device", "cpu", "--configfile", str(file)]
    driver = subprocess.Popen([*command, "--folder", str(folder)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    (checkpoints,) = plan.store("train", plan.runs, plan.groups[0]).values()
    while not checkpoints.record().get("iteration"):
        assert driver.poll() is None
        time.sleep(0.1)
    driver.send_signal(signal.SIGTERM)
    _, said = driver.communicate()
    assert driver.returncode == 1
    (row,) = rows(folder, "progress")
    assert row["stage"] == "training"
    assert row["iterations"] > 0
    assert f"interrupted before one run was trained ({row['run']} is at iteration {row['iterations']});" in said
    assert checkpoints.record()["iteration"] == row["iterations"]
    arrays, record = checkpoints.load()
    assert arrays
    assert record["outcome"] is None
