import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from sgdtails import batches, data, parquet, run_ids, sources, stages, storage, train_stage
from sgdtails.errors import InputError
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
        data.write(sources.load("digits", {"kind": "digits"}, root=folder, download=False), dataset, made_by=MADE_BY)
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
    names = {"converged": "converged.safetensors", "history": "history.parquet", "row": "training.parquet"}
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
    assert len(before) == 6

    def refuse(*_, **__):
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(train_stage, "train", refuse)
        train.main(smk)
        smk.params.code = "d"  # those files are not this job's
        with pytest.raises(AssertionError, match="trained again"):
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
    assert len(contents(tmp_path)) == 6
    assert not list((tmp_path / "checkpoints").rglob("*.safetensors"))


def test_a_checkpoint_that_cannot_be_read_back_is_made_again_three_times(tmp_path):
    smk, brought = job(tmp_path, *RUNS[:1]), []
    settings = {RUNS[0]: stages.of_run(json.loads(smk.params.settings), RUNS[0])}
    store = stages.store("train", settings, smk, {RUNS[0]: smk.input.dataset})

    def bring(settings, store, on_end):
        brought.append(list(settings))

    with pytest.raises(InputError, match="cannot be read back as it was written; check the disk"):
        stages.through(bring, settings, store, lambda *_: None)
    assert brought == [[RUNS[0]]] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_that_ask_for_a_checkpoint(number):
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
        keeper = stages.Keeper({}, lambda run: ({}, {}), 5)
        assert not keeper.interrupted
        os.kill(os.getpid(), number)
        assert keeper.interrupted
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_what_nohup_ignores_stays_ignored():
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        keeper = stages.Keeper({}, lambda run: ({}, {}), 5)
        os.kill(os.getpid(), signal.SIGHUP)
        assert not keeper.interrupted
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
