import errno
import json
import os
import shutil
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sgdtails.config import batches, run_ids
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.errors import InputError, Interrupted
from sgdtails.io import parquet, storage
from sgdtails.training import resume, train_job
from sgdtails.training.checkpointer import FileCheckpointer, ResumableRun
from sgdtails.training.checkpoints import CheckpointStore
from sgdtails.training.settings import RunSettings
from tests.conftest import PLAIN, Files, script

MADE_BY = {"settings": {}, "code": "d"}
STOP = {
    "train_nll": 1e-9,
    "train_accuracy": 1.0,
    "gate": 5,
    "budget": 10,
    "chance_after": 50,
    "chance_accuracy": 0.1,
    "history": 1,
}


RUNS = ("m-digits-b50-lr0.1-s0", "m-digits-b50-lr0.2-s1")


def job(folder, *runs):
    """What Snakemake gives to the script of rule train."""
    dataset = folder / "digits.safetensors"
    if not dataset.exists():
        data.write(loaders.load("digits", {"kind": "digits"}, root=folder, download=False), dataset, made_by=MADE_BY)
    initial = [str(folder / f"initial/{run_ids.initial_id(run)}/weights.safetensors") for run in runs]
    spec = {"fcn": [8]}
    smk = SimpleNamespace(
        input=Files(dataset=str(dataset)),
        output=Files(weights=initial),
        params=SimpleNamespace(settings=json.dumps({"dataset": "digits", "name": "m", "model": spec}), code="c"),
        config={"slots": 2, "checkpoint_minutes": 5},
    )
    if not Path(initial[0]).exists():
        script("initial").main(smk)
    columns = {"dataset": "digits", "model": "m", "batch_size": 50} | PLAIN
    common = {"run": columns, "model": spec, "device": "cpu", "precision": "fp32", "threads": 1, "stop": STOP}
    common["snapshots"] = [0, 5]
    names = {"converged": "converged.safetensors", "history": "history.parquet", "row": "training.parquet"}
    names["trajectory"] = "trajectory.parquet"
    smk.input = Files(dataset=str(dataset), initial=initial)
    smk.output = Files(**{short: [str(folder / "runs" / run / name) for run in runs] for short, name in names.items()})
    smk.params = SimpleNamespace(settings=json.dumps(common), code="c")
    return smk


def contents(folder):
    return {path: path.read_bytes() for path in (folder / "runs").rglob("[!.]*") if path.is_file()}


def weights(folder, run):
    arrays, _ = storage.load_arrays(folder / "runs" / run / "converged.safetensors")
    return {name: array.tobytes() for name, array in arrays.items()}


def test_a_job_that_waited_for_one_that_outlived_its_driver_does_not_train_again(tmp_path, monkeypatch):
    train, smk = script("train"), job(tmp_path, *RUNS)
    train.main(smk)
    before = contents(tmp_path)
    assert len(before) == 8

    def refuse(*_, **__):
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(train_job, "train", refuse)
        train.main(smk)
        smk.params.code = "d"  # those files are not this job's
        with pytest.raises(AssertionError, match="trained again"):
            train.main(smk)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("lost", [RUNS[:1], RUNS])
def test_files_that_snakemake_removes_after_the_job_are_written_again_from_checkpoints(tmp_path, monkeypatch, lost):
    """As after a driver that was killed while its job went on, or a full disk on which the end of the job is not recorded."""
    train, smk = script("train"), job(tmp_path, *RUNS)
    train.main(smk)
    before = contents(tmp_path)
    for path in before:
        if path.parent.name in lost:
            path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(train_job, "train", lambda *_, **__: pytest.fail("trained again"))
        train.main(smk)
    assert contents(tmp_path) == before


def test_runs_of_one_job_are_those_of_jobs_of_their_own(tmp_path):
    for number, runs in enumerate([RUNS, RUNS[:1], RUNS[1:]]):
        script("train").main(job(tmp_path / str(number > 0), *runs))
    for run in RUNS:
        assert weights(tmp_path / "True", run) == weights(tmp_path / "False", run)
    done = batches.Done(tmp_path / "False")
    smk = job(tmp_path / "False", *RUNS)
    depends = (smk.params.settings, "c", *batches.made_by(storage.made_by(smk.input.dataset)))
    assert all(done.has("train", depends, run) for run in RUNS)


def test_an_interrupted_job_goes_on_to_the_same_trajectory(tmp_path, monkeypatch, handlers):
    """To the byte: the checkpoint, at the second of three gates, has the rows of the snapshots before it."""
    for run in RUNS:
        script("train").main(job(tmp_path / "whole", run))
        gates = []

        def due(self, gates=gates):
            gates.append(self)
            self.interrupted = len(gates) == 2
            return False

        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            patch.setattr(FileCheckpointer, "due", due)
            script("train").main(job(tmp_path / "again", run))
        (checkpoint,) = (tmp_path / "again/checkpoints/train" / run).glob("*/*.safetensors")
        assert [row["iteration"] for row in storage.read_record(checkpoint)["trajectory"] if row["k1"] is None] == [
            0,
            0,
            5,
            5,
        ]
        script("train").main(job(tmp_path / "again", run))
        one, other = (tmp_path / way / "runs" / run / "trajectory.parquet" for way in ("whole", "again"))
        assert one.read_bytes() == other.read_bytes()
        rows = parquet.read(one).to_pylist()
        assert [(row["run"], row["iteration"]) for row in rows if row["k1"] is None] == [
            (run, i) for i in (0, 0, 5, 5, 10, 10)
        ]


def test_a_run_has_its_files_as_soon_as_it_has_ended(tmp_path, monkeypatch):
    """Also those that an earlier job has ended, which was killed before its last run had."""
    seen, written = [], parquet.write

    def write(schema, rows, path, **more):
        seen.append([run for run in RUNS if (tmp_path / "runs" / run / "converged.safetensors").exists()])
        if len(seen) == 2:  # in the middle of the first run's files
            raise OSError("no space left")
        written(schema, rows, path, **more)

    monkeypatch.setattr(parquet, "write", write)
    with pytest.raises(OSError, match="no space"):
        script("train").main(job(tmp_path, *RUNS))
    assert seen[0] == seen[1]
    assert len(seen[0]) == 1
    monkeypatch.setattr(parquet, "write", written)
    script("train").main(job(tmp_path, *RUNS))
    assert len(contents(tmp_path)) == 8


def test_a_checkpoint_that_cannot_be_read_back_is_made_again_three_times(tmp_path):
    smk, brought = job(tmp_path, *RUNS[:1]), []
    settings = {RUNS[0]: RunSettings.from_params(json.loads(smk.params.settings), RUNS[0])}
    stores = resume.checkpoint_stores("train", settings, smk, {RUNS[0]: smk.input.dataset})

    def advance(settings, stores, on_end):
        brought.append(list(settings))

    with pytest.raises(InputError, match="cannot be read back as it was written; check the disk"):
        resume.finish_runs(advance, settings, stores, lambda *_: None)
    assert brought == [[RUNS[0]]] * 3


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
    checkpointer = FileCheckpointer({}, 5)
    assert not checkpointer.interrupted
    os.kill(os.getpid(), number)
    assert checkpointer.interrupted


def test_what_nohup_ignores_stays_ignored(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    checkpointer = FileCheckpointer({}, 5)
    os.kill(os.getpid(), signal.SIGHUP)
    assert not checkpointer.interrupted


class Disk:
    """Stores of checkpoints that wait until they are let through, or fail."""

    def __init__(self, broken=()):
        self.open, self.broken = threading.Event(), broken
        self.written = []

    def __getitem__(self, name):
        def save(arrays, record):
            assert self.open.wait(600)
            if name in self.broken:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            self.written.append((name, record["iteration"]))

        return SimpleNamespace(save=save)


class Run(ResumableRun):
    FIELDS = ("iteration",)

    def __init__(self, name, iteration=0):
        self.name, self.iteration, self.state = name, iteration, {"w": np.zeros(3)}


def checkpointer_of(disk, **more):
    return FileCheckpointer(disk, 1e9, **more)


def test_ended_runs_are_not_waited_for_and_said_once_they_are_on_the_disk(handlers):
    disk, said = Disk(), []
    with checkpointer_of(disk, on_end=lambda name: said.append((name, [*disk.written]))) as checkpointer:
        for name in "ab":
            checkpointer.ended(run := Run(name))
            assert run.state is None
        assert not checkpointer.due()
        assert (disk.written, said) == ([], [])
        disk.open.set()
    assert disk.written == [("a", 0), ("b", 0)]
    assert [name for name, _ in said] == ["a", "b"]
    assert all((name, 0) in written for name, written in said)


def test_few_ended_runs_wait_in_memory_and_writes_stay_in_order(handlers):
    disk = Disk()
    with checkpointer_of(disk) as checkpointer:
        timer = threading.Timer(0.2, disk.open.set)
        timer.start()
        for number in range(5):
            checkpointer.ended(Run("a", number))
            assert len(disk.written) >= number + 1 - checkpointer.WAITING
        checkpointer.save(Run("b", 5))  # written when this comes back, and after what came before it
        assert disk.written == [*(("a", number) for number in range(5)), ("b", 5)]
        timer.join()


@pytest.mark.parametrize("when", ["gate", "next end", "end"])
def test_a_full_disk_is_an_error_at_the_next_gate_or_at_the_end(handlers, when):
    disk, said = Disk(broken="a"), []
    disk.open.set()
    with (
        pytest.raises(OSError, match="No space left") as error,
        checkpointer_of(disk, on_end=said.append) as checkpointer,
    ):
        checkpointer.ended(Run("a"))
        checkpointer.save(Run("b"))  # by now the thread has met it
        if when != "end":
            checkpointer.due() if when == "gate" else checkpointer.ended(Run("c"))
            pytest.fail("it was not raised")
    assert error.value.filename == "a"
    assert disk.written == [("b", 0)]
    assert said == []


def test_a_full_disk_ends_a_job_in_one_sentence_and_a_later_one_goes_on(tmp_path, monkeypatch, handlers):
    """With the same weights in the end."""
    train, smk = script("train"), job(tmp_path, *RUNS)
    train.main(smk)
    before = [weights(tmp_path, run) for run in RUNS]
    for folder in ("runs", "checkpoints"):
        shutil.rmtree(tmp_path / folder)

    def full(self, arrays, record):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "there")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(CheckpointStore, "save", full)
        train.main(smk)
    assert not (tmp_path / "runs").exists()
    train.main(smk)
    assert [weights(tmp_path, run) for run in RUNS] == before


def test_a_write_changes_nothing_that_threads_share(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", None)
    monkeypatch.setattr(os, "chdir", None)
    CheckpointStore(tmp_path, "train", "a", depends={}).save({"w": np.zeros(3)}, {})


THREE = [f"m-digits-b50-lr0.1-s{seed}" for seed in range(3)]


def train_three(folder, **more):
    """Three runs in two slots; the checkpoints of each."""
    smk = job(folder, *THREE)
    settings = {run: RunSettings.from_params(json.loads(smk.params.settings), run) for run in THREE}
    stores = resume.checkpoint_stores("train", settings, smk, dict.fromkeys(THREE, smk.input.dataset))
    how = {"initial": dict(zip(THREE, smk.input.initial, strict=True)), "dataset": smk.input.dataset}
    train_job.train(settings, stores, **how, slots=2, minutes=1e9, **more)
    return stores


def saved(stores):
    found = {}
    for name, checkpoints in stores.items():
        arrays, record = checkpoints.load()
        record.pop("seconds")
        found[name] = {key: array.tobytes() for key, array in arrays.items()}, record
    return found


def test_a_signal_while_an_ended_run_is_written_loses_nothing(monkeypatch, handlers, tmp_path):
    said = []
    whole = saved(train_three(tmp_path / "whole", on_end=said.append))
    assert sorted(said) == THREE
    asked, saving, first = threading.Event(), threading.Event(), []
    write, save, ended = CheckpointStore.save, FileCheckpointer.save, FileCheckpointer.ended

    def slow(self, arrays, record):
        if not first:
            first.append(self)
            os.kill(os.getpid(), signal.SIGTERM)
            asked.set()
            assert saving.wait(600)  # the run that has not ended waits for this write
        write(self, arrays, record)

    def signalled(self, run):
        ended(self, run)
        assert asked.wait(600)

    def last(self, run):
        saving.set()
        save(self, run)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(CheckpointStore, "save", slow)
        patch.setattr(FileCheckpointer, "ended", signalled)
        patch.setattr(FileCheckpointer, "save", last)
        train_three(tmp_path / "others", on_end=said.append)
    assert first[0].load()[1]["outcome"]
    assert len(said) == 4  # the other run of two is asked to stop within its last look at the images
    assert saved(train_three(tmp_path / "others", on_end=said.append)) == whole
    assert sorted(said[3:]) == THREE
