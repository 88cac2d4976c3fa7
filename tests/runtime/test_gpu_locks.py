"""Every job has a GPU of its own: on pretend GPUs, which an nvidia-smi of this test's lists."""

import os
import signal
import subprocess
import sys

import pytest

from sgdtails.errors import InputError
from sgdtails.runtime import gpu_locks
from tests.conftest import ROOT

UUIDS = [f"GPU-{letter * 8}-0000-1111-2222-333333333333" for letter in "abcd"]


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Four GPUs, nobody's; the folder in which they are reserved."""
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    lines = "".join(f"GPU {number}: Pretend (UUID: {uuid})\n" for number, uuid in enumerate(UUIDS))
    program.write_text(f"#!/bin/sh\ncat <<END\n{lines}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpu_locks, "_LOCKS", [])
    yield tmp_path / "gpus"
    for lock in gpu_locks._LOCKS:
        os.close(lock)


def collisions(folder, *, rounds: int, lock: bool = True) -> tuple[int, int]:
    """How often a job got a GPU that a living one had, and how many jobs got one; see gpu_rounds.py."""
    command = [sys.executable, "-m", "tests.gpu_rounds", str(folder), str(rounds), str(int(lock))]
    clashes, served = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return int(clashes), int(served)


def test_eight_jobs_on_four_gpus_never_share_one_though_some_are_killed(gpus):
    clashes, served = collisions(gpus, rounds=200)
    assert clashes == 0
    assert served >= 200 * 5  # those that were not killed


def test_jobs_would_share_a_gpu_without_the_lock(gpus):
    assert collisions(gpus, rounds=10, lock=False)[0] > 0


def test_each_job_sees_one_gpu(gpus):
    environments = [{"PATH": os.environ["PATH"]} for _ in range(4)]
    assert [gpu_locks.take(environment, folder=gpus) for environment in environments] == ["0", "1", "2", "3"]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1", "2", "3"]
    assert environments[0]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_a_restricted_set_is_respected_and_names_of_one_gpu_are_one(gpus):
    assert gpu_locks.take({"CUDA_VISIBLE_DEVICES": f"GPU-cccc,{UUIDS[1]}"}, folder=gpus) == "GPU-cccc"
    assert gpu_locks.take({"CUDA_VISIBLE_DEVICES": "2,3"}, folder=gpus) == "3"
    assert gpu_locks.take({}, folder=gpus) == "0"
    assert gpu_locks.visible({"CUDA_VISIBLE_DEVICES": "3, 0,7,1"}) == [
        "3",
        "0",
    ]  # CUDA stops at a GPU that is not there


@pytest.mark.parametrize("nothing", ["", "-1", "NoDevFiles"])
def test_without_a_gpu_nothing_happens(gpus, nothing):
    environment = {"CUDA_VISIBLE_DEVICES": nothing}
    assert gpu_locks.take(environment, folder=gpus) is None
    assert environment == {"CUDA_VISIBLE_DEVICES": nothing}
    assert not gpus.exists()


def test_no_gpu_in_the_machine(gpus, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu_locks, "_nodes", list)
    environment: dict[str, str] = {}
    assert gpu_locks.take(environment, folder=gpus) is None
    assert environment == {}


def test_slurm_has_assigned_the_gpu(gpus):
    for _ in range(2):  # two jobs whose cgroups number their GPUs from 0
        environment = {"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_ID": "7"}
        assert gpu_locks.take(environment, folder=gpus) == "0"
        assert environment == {"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_ID": "7"}
    assert not gpus.exists()
    for job in ("7", "8"):  # an allocation of two, for a workflow inside it, and another's
        for expected in ("0", "1"):
            environment = {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": job}
            assert gpu_locks.take(environment, folder=gpus) == expected


def test_a_job_too_many_waits_says_so_and_goes_on_when_one_is_killed(gpus):
    script = "import sys, time, pathlib; from sgdtails.runtime import gpu_locks; "
    script += f"gpu_locks.take(folder=pathlib.Path({str(gpus)!r})); print(); time.sleep(3600)"
    jobs = []
    try:
        for expected in ("0", "1", "2", "3", "waiting"):
            jobs.append(subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True))
            line = jobs[-1].stderr.readline()
            assert line.startswith(f"GPU {expected} of 0, 1, 2, 3 is reserved" if expected != "waiting" else "waiting")
        assert "use --resources gpu=4" in line
        jobs[2].kill()
        assert jobs[-1].stderr.readline().startswith("GPU 2 of")
    finally:
        for job in jobs:
            job.kill()
            job.wait()
            job.stderr.close()


def test_a_program_that_a_job_leaves_behind_does_not_keep_the_gpu(gpus):
    script = f"import pathlib, subprocess; from sgdtails.runtime import gpu_locks; gpu_locks.take(folder=pathlib.Path({str(gpus)!r})); "
    script += "print(subprocess.Popen(['sleep', '3600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
    output = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    try:
        assert gpu_locks.take({}, folder=gpus) == "0"
    finally:
        os.kill(int(output.stdout), signal.SIGKILL)


def test_a_folder_that_cannot_be_used_is_one_sentence(gpus):
    gpus.write_text("")
    with pytest.raises(InputError, match="where jobs reserve GPUs"):
        gpu_locks.take({}, folder=gpus)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_no_file_in_place_of_a_lock_is_one_sentence(gpus, kind):
    gpus.mkdir()
    lock = gpus / "gpu-0.lock"
    {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda path: path.symlink_to(gpus)}[kind](lock)
    with pytest.raises(InputError, match=r"gpu-0\.lock.*by which jobs reserve GPUs.*remove it\.$"):
        gpu_locks.take({}, folder=gpus)
    assert os.path.lexists(lock)


@pytest.mark.parametrize(
    ("requested", "environment", "sentence"),
    [
        (8, {}, "--resources gpu=8: there are 4 GPUs on this machine; use --resources gpu=4."),
        (3, {"CUDA_VISIBLE_DEVICES": "1,2"}, "there are 2 GPUs in CUDA_VISIBLE_DEVICES; use --resources gpu=2."),
    ],
)
def test_more_gpus_than_there_are(gpus, requested, environment, sentence):
    with pytest.raises(InputError) as error:
        gpu_locks.check_request(requested, environment=environment)
    assert sentence in str(error.value)
    gpu_locks.check_request(2, environment=environment)
    gpu_locks.check_request(8, environment={"CUDA_VISIBLE_DEVICES": ""})  # no GPU: the CPU does it


def test_select_takes_one_gpu_however_often_it_is_called_unless_the_device_is_the_cpu(gpus, monkeypatch):
    from sgdtails.runtime import devices

    monkeypatch.setattr(gpu_locks, "FOLDER", gpus)
    taken = []
    monkeypatch.setattr(gpu_locks, "take", lambda: taken.append(True))
    devices._lease.cache_clear()  # of earlier tests in this process
    devices.select("cpu", "fp32", 1)
    assert taken == []
    for _ in range(2):
        devices.select("auto", "fp32", 1)
    assert taken == [True]
