import errno
import json
import os
import signal
import threading
import types
from pathlib import Path

import numpy as np
import pytest

from sgdtails import data, sources, stages, train_stage
from sgdtails.checkpoints import Checkpoints
from sgdtails.errors import Interrupted
from tests.conftest import PLAIN, script

STOP = {
    "train_nll": 1e-9,
    "train_accuracy": 1.0,
    "gate": 5,
    "budget": 10,
    "chance_after": 50,
    "chance_accuracy": 0.1,
    "history": 1,
}


@pytest.fixture
def job(tmp_path):
    """What Snakemake gives to the script of rule train."""
    dataset = sources.load("digits", {"kind": "digits", "test_fraction": 0.2}, root=tmp_path, download=False)
    data.write(dataset, tmp_path / "digits.safetensors")
    run = {"run": "a", "dataset": "digits", "model": "m", "batch_size": 50, "step_size": 0.1, "seed": 0} | PLAIN
    settings = {"run": run, "model": {"fcn": [8]}, "device": "cpu", "precision": "fp32", "threads": 1, "stop": STOP}
    names = {
        "initial": "initial.safetensors",
        "converged": "converged.safetensors",
        "history": "h.parquet",
        "row": "t.parquet",
    }

    class Output(list):
        pass

    output = Output(str(tmp_path / name) for name in names.values())
    output.__dict__.update(zip(names, output, strict=True))
    params = types.SimpleNamespace(settings=json.dumps(settings), code="c", checkpoints=str(tmp_path / "checkpoints"))
    limits = {"slots": 1, "runs_per_job": 1, "checkpoint_minutes": 5}
    inputs = types.SimpleNamespace(dataset=str(tmp_path / "digits.safetensors"))
    return types.SimpleNamespace(input=inputs, output=output, params=params, config=limits)


def test_a_job_that_waited_for_one_that_outlived_its_driver_does_not_train_again(job, monkeypatch):
    train = script("train")
    train.main(job)
    before = {path: Path(path).read_bytes() for path in job.output}

    def refuse(*_, **__):
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(train_stage, "train", refuse)
        train.main(job)
        job.params.code = "d"  # those files are not this job's
        with pytest.raises(AssertionError, match="trained again"):
            train.main(job)
    assert {path: Path(path).read_bytes() for path in job.output} == before


NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)


@pytest.fixture
def handlers():
    """What signals do comes back."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_signals_that_ask_for_a_checkpoint(number, handlers):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    keeper = stages.Keeper({}, lambda run: ({}, {}), 5)
    assert not keeper.interrupted
    os.kill(os.getpid(), number)
    assert keeper.interrupted


def test_what_nohup_ignores_stays_ignored(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    keeper = stages.Keeper({}, lambda run: ({}, {}), 5)
    os.kill(os.getpid(), signal.SIGHUP)
    assert not keeper.interrupted


class Disk:
    """Checkpoints that wait until they are let through, or fail."""

    def __init__(self, broken=()):
        self.open, self.broken = threading.Event(), broken
        self.written = []

    def __getitem__(self, name):
        def save(arrays, record):
            assert self.open.wait(60)
            if name in self.broken:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            self.written.append((name, record["iteration"]))

        return types.SimpleNamespace(save=save)


class Run:
    def __init__(self, name, iteration=0):
        self.name, self.iteration, self.state = name, iteration, {"w": np.zeros(3)}

    def release(self):
        self.state = None


def keeper_of(disk, **more):
    return stages.Keeper(disk, lambda run: stages.packed(run, ("state",), ("iteration",)), 1e9, **more)


def test_ended_runs_are_not_waited_for_and_said_once_they_are_on_the_disk(handlers):
    disk, said = Disk(), []
    with keeper_of(disk, on_end=lambda name: said.append((name, [*disk.written]))) as keeper:
        for name in "ab":
            keeper.ended(run := Run(name))
            assert run.state is None
        assert not keeper.due()
        assert (disk.written, said) == ([], [])
        disk.open.set()
    assert disk.written == [("a", 0), ("b", 0)]
    assert [name for name, _ in said] == ["a", "b"]
    assert all((name, 0) in written for name, written in said)


def test_few_ended_runs_wait_in_memory_and_writes_stay_in_order(handlers):
    disk = Disk()
    with keeper_of(disk) as keeper:
        timer = threading.Timer(0.2, disk.open.set)
        timer.start()
        for number in range(5):
            keeper.ended(Run("a", number))
            assert len(disk.written) >= number + 1 - keeper.WAITING
        keeper.save(Run("b", 5))  # written when this comes back, and after what came before it
        assert disk.written == [*(("a", number) for number in range(5)), ("b", 5)]
        timer.join()


@pytest.mark.parametrize("when", ["gate", "next end", "end"])
def test_a_full_disk_is_an_error_at_the_next_gate_or_at_the_end(handlers, when):
    disk, said = Disk(broken="a"), []
    disk.open.set()
    with pytest.raises(OSError, match="No space left") as error, keeper_of(disk, on_end=said.append) as keeper:
        keeper.ended(Run("a"))
        keeper.save(Run("b"))  # by now the thread has met it
        if when != "end":
            keeper.due() if when == "gate" else keeper.ended(Run("c"))
            pytest.fail("it was not raised")
    assert error.value.filename == "a"
    assert disk.written == [("b", 0)]
    assert said == []


def test_a_full_disk_ends_a_job_in_one_sentence_and_a_later_one_goes_on(job, monkeypatch, handlers):
    """With the same files in the end."""
    train = script("train")
    whole = [Path(path) for path in job.output]
    train.main(job)
    before = {path: path.read_bytes() for path in whole[:2]}
    for path in whole:
        path.unlink()

    def full(self, arrays, record):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Checkpoints, "save", full)
        train.main(job)
    assert not any(path.exists() for path in whole)
    train.main(job)
    assert {path: path.read_bytes() for path in before} == before


def test_a_write_changes_nothing_that_threads_share(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", None)
    monkeypatch.setattr(os, "chdir", None)
    Checkpoints(tmp_path, "train", "a", depends={}).save({"w": np.zeros(3)}, {})


def fleet(job, **more):
    """Three runs in two slots; the checkpoints of each."""
    settings = json.loads(job.params.settings)
    runs = {name: settings | {"run": settings["run"] | {"run": name, "seed": ord(name)}} for name in "abc"}
    store = stages.store("train", runs, job.params, dict.fromkeys(runs, job.input.dataset))
    train_stage.train(runs, store, job.input.dataset, slots=2, minutes=1e9, **more)
    return store


def contents(store):
    found = {}
    for name, checkpoints in store.items():
        arrays, record = checkpoints.load()
        record.pop("seconds")
        found[name] = {key: array.tobytes() for key, array in arrays.items()}, record
    return found


def test_a_signal_while_an_ended_run_is_written_loses_nothing(job, monkeypatch, handlers, tmp_path):
    said = []
    whole = contents(fleet(job, on_end=said.append))
    assert sorted(said) == ["a", "b", "c"]
    asked, saving, first = threading.Event(), threading.Event(), []
    write, save, ended = Checkpoints.save, stages.Keeper.save, stages.Keeper.ended

    def slow(self, arrays, record):
        if not first:
            first.append(self)
            os.kill(os.getpid(), signal.SIGTERM)
            asked.set()
            assert saving.wait(60)  # the run that has not ended waits for this write
        write(self, arrays, record)

    def signalled(self, run):
        ended(self, run)
        assert asked.wait(60)

    def last(self, run):
        saving.set()
        save(self, run)

    job.params.checkpoints = str(tmp_path / "others")
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Checkpoints, "save", slow)
        patch.setattr(stages.Keeper, "ended", signalled)
        patch.setattr(stages.Keeper, "save", last)
        fleet(job, on_end=said.append)
    assert first[0].load()[1]["outcome"]
    assert len(said) == 4  # the other run of two is asked to stop within its last look at the images
    assert contents(fleet(job, on_end=said.append)) == whole
    assert sorted(said[3:]) == ["a", "b", "c"]
