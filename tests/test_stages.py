import json
import os
import signal
import types
from pathlib import Path

import pytest

from sgdtails import data, sources, stages, train_stage
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
