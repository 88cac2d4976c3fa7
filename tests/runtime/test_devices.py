"""A GPU that torch cannot use is an error, not a reason to train on the CPU for weeks."""

import warnings

import pytest
import torch

from sgdtails.errors import InputError
from sgdtails.runtime import devices

OLD = (
    "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver by downloading "
    "and installing a new version from the URL: ... Alternatively, ..."  # torch/csrc/cuda's own words
)


@pytest.fixture
def unusable_gpu(tmp_path, monkeypatch):
    """A GPU's device node that can be opened, and a torch that refuses the driver."""

    def init():
        raise RuntimeError(OLD)

    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(devices.gpu_locks, "take", lambda: None)  # no GPU of this machine is asked for
    monkeypatch.setattr(devices, "_DEVICES", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "nvidia0"


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_driver_too_old_is_one_sentence(unusable_gpu, device):
    with pytest.raises(InputError) as error:
        devices.select(device, "fp32", 1)
    message = str(error.value)
    assert "driver on your system is too old (found version 12020);" in message
    assert f"{unusable_gpu}" in message
    assert f"CUDA {torch.version.cuda} or newer" in message
    assert "device: cpu" in message
    assert "\n" not in message


def test_a_gpu_that_is_not_wanted_or_not_given_is_no_error(unusable_gpu, monkeypatch):
    assert devices.select("cpu", "fp32", 1).type == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.select("auto", "fp32", 1).type == "cpu"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    unusable_gpu.unlink()
    unusable_gpu.mkdir()  # cannot be opened for writing, as a node that a scheduler's cgroup keeps from the job
    assert devices.select("auto", "fp32", 1).type == "cpu"


def test_without_a_gpu_cuda_is_an_error_and_auto_is_the_cpu(unusable_gpu):
    unusable_gpu.unlink()
    assert devices.select("auto", "fp32", 1).type == "cpu"
    with pytest.raises(InputError, match="torch sees no CUDA device; set device: auto or cpu"):
        devices.select("cuda", "fp32", 1)


def test_no_more_threads_than_the_job_has(monkeypatch, capsys):
    before = torch.get_num_threads()
    try:
        for limit, cores, asked, used in [("2", 8, 64, 2), ("", 3, 64, 3), ("8", 3, 2, 2), ("all", 4, 4, 4)]:
            monkeypatch.setenv("OMP_NUM_THREADS", limit)  # as Snakemake says it to a job
            monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
            devices.select("cpu", "fp32", asked)
            assert torch.get_num_threads() == used
            said = capsys.readouterr().err
            assert said.count("resources.threads") == (asked > used)
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def _fp32_afterwards():
    yield
    devices.select("cpu", "fp32", 1)


@pytest.mark.usefixtures("_fp32_afterwards")
def test_torchs_two_ways_to_say_the_precision_agree():
    """In one way alone, torch raises an error as soon as somebody reads the other."""
    for precision in ("tf32", "fp32", "tf32", "fp32"):
        devices.select("cpu", precision, 1)
        tf32 = precision == "tf32"
        assert devices.uses_tf32() == tf32
        assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == tf32
        assert [part.fp32_precision for part in devices._precisions()] == ["tf32" if tf32 else "ieee"] * 3


def test_an_older_torch_has_one_way_and_its_warnings_stop_nothing(monkeypatch):
    class Old:
        """Settings as before torch 2.9, with a warning as since."""

        def __setattr__(self, name, value):
            warnings.warn("Please use the new API settings to control TF32 behavior", UserWarning, stacklevel=2)
            object.__setattr__(self, name, value)

    monkeypatch.setattr(torch.backends.cuda, "matmul", Old())
    monkeypatch.setattr(torch.backends, "cudnn", Old())
    for precision in ("tf32", "fp32"):
        devices._set_precision(precision)
        assert devices._precisions() == ()
        assert devices.uses_tf32() == (precision == "tf32")


@pytest.mark.usefixtures("_fp32_afterwards")
def test_what_two_kernels_may_be_apart():
    """On a GPU more, and in TF32, whose factors have 11 bits, more still."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert devices.rounding(cpu) == 1e-4
    assert devices.rounding(gpu) == 1e-3
    devices.select("cpu", "tf32", 1)
    assert devices.rounding(cpu) == 1e-4
    assert devices.rounding(gpu) > 2**-11
