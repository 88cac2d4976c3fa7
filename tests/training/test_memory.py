"""When memory runs out: a job goes on with half as many runs at once, or says so in one sentence."""

import dataclasses
import errno
import os
import types

import numpy as np
import pytest
import torch

from sgdtails.errors import InputError, out_of_memory
from sgdtails.io import storage
from sgdtails.models import building as models
from sgdtails.runtime import jobs, limits
from sgdtails.training import average_job, train_job
from sgdtails.training.checkpointer import select_group
from sgdtails.training.checkpoints import CheckpointStore
from sgdtails.training.engines import factory
from sgdtails.training.settings import RunSettings
from tests.conftest import PLAIN
from tests.training.helpers import STOP, same_bytes

RUNS = {f"small-digits-b50-lr{0.1 + 0.05 * seed:.12g}-s{seed}": seed for seed in range(5)}


def settings():
    """The settings of all runs."""
    params = {
        "run": {"dataset": "digits", "model": "small", "batch_size": 50, **PLAIN},
        "model": {"fcn": [16]},
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "stop": dataclasses.asdict(dataclasses.replace(STOP, budget=200)),
        "average": {"burn_in": 20, "length": 30, "until_converged": True},
    }
    return {run: RunSettings.from_params(params, run) for run in RUNS}


def stores(folder, stage):
    return {run: CheckpointStore(folder, stage, run, depends={"run": run}) for run in RUNS}


class Small:
    """Engines on a device that has room for so many slots: more of them in use fail after some steps."""

    def __init__(self, monkeypatch, room, patience=30):
        self.room, self.patience, self.tried = room, patience, []
        self._build = factory.build_engines
        monkeypatch.setattr(factory, "build_engines", self.build)

    def build(self, *arguments, replicas, **more):
        self.tried.append(replicas)
        built = self._build(*arguments, replicas=replicas, **more)
        for engine in built:
            done = {"steps": 0}

            def limited(order, advance=engine.advance, done=done):
                done["steps"] += len(order)
                if order.shape[1] > self.room and done["steps"] > self.patience:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
                advance(order)

            engine.advance = limited
        return built


def train(folder, dataset, slots, minutes=60.0, runs=RUNS):
    initial = {}
    for run, seed in runs.items():
        initial[run] = str(folder / f"initial/{run}.safetensors")
        network = models.build("small", (1, 8, 8), 10, {"small": {"fcn": [16]}}, seed=seed)
        storage.save_arrays(initial[run], models.state(network), {})
    files = {"initial": initial, "dataset": dataset}
    asked, there = ({run: each[run] for run in runs} for each in (settings(), stores(folder, "train")))
    train_job.train(asked, there, **files, slots=slots, minutes=minutes)
    return {run: found.load() for run, found in stores(folder, "train").items()}


def assert_same(one, other):
    for run, (arrays, record) in one.items():
        assert record["outcome"] == other[run][1]["outcome"]
        assert same_bytes(arrays, other[run][0])


@pytest.mark.parametrize("minutes", [60.0, 1e-9])
def test_training_goes_on_with_half_the_slots(tmp_path, digits_file, monkeypatch, capsys, minutes):
    """From the beginning, or from checkpoints at every gate; on a CPU to the same bytes."""
    whole = train(tmp_path / "whole", digits_file, 4)
    device = Small(monkeypatch, room=1)
    assert_same(train(tmp_path / "small", digits_file, 4, minutes), whole)
    assert device.tried == [4, 2, 1]
    said = capsys.readouterr().err
    assert "out of memory with 4 slots (CUDA out of memory" in said
    assert "out of memory with 2 slots" in said
    assert "going on from the last checkpoints with 1" in said


def test_averaging_goes_on_with_half_the_slots(tmp_path, digits_file, monkeypatch, capsys):
    trained = {}
    for run, (arrays, record) in train(tmp_path, digits_file, 4).items():
        trained[run] = str(tmp_path / f"{run}.safetensors")
        storage.save_arrays(trained[run], select_group(arrays, "state"), record["outcome"])

    def average(folder):
        files = {"trained": trained, "dataset": digits_file}
        average_job.average(settings(), stores(folder, "average"), **files, slots=4, minutes=60.0)
        return {run: found.load() for run, found in stores(folder, "average").items()}

    whole = average(tmp_path / "whole")
    device = Small(monkeypatch, room=2)
    assert_same(average(tmp_path / "small"), whole)
    assert device.tried == [4, 2]
    assert "out of memory with 4 slots" in capsys.readouterr().err


def test_a_device_without_room_for_one_run(tmp_path, digits_file, monkeypatch):
    device = Small(monkeypatch, room=0)
    with pytest.raises(torch.OutOfMemoryError):
        train(tmp_path, digits_file, 4)
    assert device.tried == [4, 2, 1]


def test_a_run_alone_is_not_tried_again_with_fewer_slots_on_a_cpu(tmp_path, digits_file, monkeypatch):
    device = Small(monkeypatch, room=0)
    with pytest.raises(torch.OutOfMemoryError):
        train(tmp_path, digits_file, 4, runs=dict([*RUNS.items()][:1]))
    assert device.tried == [1]


def test_other_errors_are_not_taken_for_it(tmp_path, digits_file, monkeypatch):
    device = Small(monkeypatch, room=4)
    monkeypatch.setattr(torch, "stack", None)
    with pytest.raises(TypeError):
        train(tmp_path, digits_file, 4)
    assert device.tried == [4]


def run(tmp_path, error):
    def main(smk):
        raise error

    smk = types.SimpleNamespace(log=[str(tmp_path / "log")])
    with pytest.raises(SystemExit) as caught:
        jobs.run(main, smk)
    assert caught.value.code == 1
    return (tmp_path / "log").read_text()


def raised(action):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        action()
    return caught.value


def test_a_job_out_of_memory_says_so_in_one_sentence(tmp_path):
    """As numpy and torch say it when they ask for a petabyte."""
    errors = [raised(lambda: np.empty(10**15)), raised(lambda: torch.empty(10**15)), MemoryError()]
    for error in [*errors, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")]:
        log = run(tmp_path, error)
        assert log.count("\n") == 1
        assert log.startswith("sgdtails: out of memory (")
        assert "resources.mem_mb" in log


NO_ADDRESSES = [
    ImportError("libtorch_cuda.so: failed to map segment from shared object"),
    RuntimeError("can't start new thread"),
    RuntimeError("std::bad_alloc"),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
]


@pytest.mark.parametrize("error", NO_ADDRESSES)
def test_a_job_without_addresses_says_what_limits_it(tmp_path, monkeypatch, error):
    monkeypatch.setattr(limits.resource, "getrlimit", lambda which: (4 * 10**9, -1))
    log = run(tmp_path, error)
    assert log.startswith("sgdtails: out of memory (")
    assert "A process may address 4.0 GB here: raise that (ulimit -v)." in log
    monkeypatch.setattr(limits.resource, "getrlimit", lambda which: (limits.resource.RLIM_INFINITY,) * 2)
    assert "ulimit" not in run(tmp_path, error)


def test_too_few_addresses_for_the_libraries_are_said_before_any_job(monkeypatch):
    limit = 10**6
    monkeypatch.setattr(limits.resource, "getrlimit", lambda which: (limit, -1))
    with pytest.raises(
        InputError, match=r"may address 0.0 GB here \(ulimit -v\), and the libraries .* are [0-9.]+ GB; raise"
    ):
        limits.check_address_space()
    limit = 10**15
    limits.check_address_space()
    limit = limits.resource.RLIM_INFINITY
    limits.check_address_space()


def test_what_cannot_be_repeated_on_a_gpu_is_named(tmp_path):
    message = "adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation, but you set ..."
    said = run(tmp_path, RuntimeError(message)).splitlines()[-1]
    assert said.startswith(
        "sgdtails: torch has no adaptive_avg_pool2d_backward_cuda on a GPU that gives the same result"
    )


def test_an_error_of_the_program_is_still_one(tmp_path):
    assert "error of the program" in run(tmp_path, RuntimeError("shapes differ"))
    assert run(tmp_path, InputError("no \udcff.")) == "sgdtails: no \\udcff.\n"


def test_what_a_failed_capture_hides():
    """A graph whose capture an allocation ended complains of the capture."""
    complaint = RuntimeError("operation failed due to a previous error during capture")
    assert not out_of_memory(complaint)
    complaint.__context__ = torch.OutOfMemoryError("CUDA out of memory")
    assert out_of_memory(complaint)
