"""Where the arithmetic happens, and how exactly."""

import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtails.errors import InputError
from sgdtails.runtime import gpu_locks

if TYPE_CHECKING:
    import torch

_DEVICES = Path("/dev")


@cache
def _lease() -> None:
    """Once a process: it would wait for itself."""
    gpu_locks.take()


def select(
    device: str, precision: str, threads: int
) -> "torch.device":  # torch is imported only here, after the environment is set
    """The torch.device for ``auto``, ``cpu`` or ``cuda``, deterministic, at ``fp32`` or ``tf32``, on ``threads`` CPU threads.

    InputError if CUDA is asked for and absent.
    """
    if device != "cpu":
        _lease()  # before torch counts devices
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic matrix products need
    import torch

    torch.set_num_threads(_given(threads))
    # The same as use_deterministic_algorithms(True), which imports torch's compiler first: seconds in every job.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads what it has not written
    torch.backends.cudnn.benchmark = False
    _set_precision(precision)
    if device != "cpu" and not torch.cuda.is_available():
        refuse_an_unused_gpu()
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "config key device: 'cuda' was asked for, but torch sees no CUDA device; set device: auto or cpu."
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _precisions() -> tuple[Any, ...]:
    """Torch's settings of the precision of products, convolutions and recurrent cells on a GPU; none before torch 2.9."""
    import torch

    found = (torch.backends.cuda.matmul, *(getattr(torch.backends.cudnn, name, None) for name in ("conv", "rnn")))
    return found if all(hasattr(part, "fp32_precision") for part in found) else ()


def _set_precision(precision: str) -> None:
    """Convolutions default to TF32 while matrix products do not: say both, in torch's old way and, where there is one, in the new.

    In one way alone, versions from 2.9 on raise an error when the other is read.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the old way, which is no reason to stop
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
    for part in _precisions():
        part.fp32_precision = "tf32" if precision == "tf32" else "ieee"


def uses_tf32() -> bool:
    """Whether products or convolutions on a GPU are in TF32, as ``select`` or whoever came after it has set it."""
    import torch

    if found := _precisions():
        return any(part.fp32_precision == "tf32" for part in found)
    return torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32


def rounding(device: Any) -> float:
    """How far apart, relative to the largest, two ways to compute the same logits on a torch device may be.

    On a GPU the number of images decides which kernel computes them: one of float32's own arithmetic, a fast convolution's,
    or TF32's, whose factors have 11 bits.
    """
    if device.type == "cpu":
        return 1e-4
    return 1e-2 if uses_tf32() else 1e-3


def cores(most: int) -> int:
    """How many cores this process may use, at most so many."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    return min(most, len(affinity(0)) if affinity else os.cpu_count() or 1)


def _given(threads: int) -> int:
    """As many threads as are asked for, or as the job has cores: more would wait for each other."""
    limit = os.environ.get("OMP_NUM_THREADS", "")  # Snakemake says there what it gives to the job
    found = min(threads, cores(int(limit) if limit.isdecimal() and int(limit) else threads))
    if threads > found:
        print(f"config key resources.threads is {threads}, but this job has {found}: it uses {found}.", file=sys.stderr)
    return found


def refuse_an_unused_gpu() -> None:
    """InputError if this process may use a GPU that torch cannot use: on the CPU a study would take weeks, unasked."""
    import torch

    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles") or not (node := gpu_node()):
        return
    try:
        init: Callable[[], None] = torch.cuda.init
        init()
        reason = "it counts no GPU"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition(". ")[0].rstrip(".")
    raise InputError(
        f"there is a GPU ({node}), but torch {torch.__version__} cannot use it: {reason}; install a driver for CUDA "
        f"{torch.version.cuda} or newer (a container also needs --nv), or set config key device: cpu."
    )


def gpu_node() -> Path | None:
    """A GPU's device node that this process may open: not one that a scheduler keeps from it, nor one without a driver."""
    for node in sorted(_DEVICES.glob("nvidia[0-9]*")):
        try:
            os.close(os.open(node, os.O_RDWR))
        except OSError:
            continue
        return node
    return None


def place(array: Any, device: Any) -> Any:
    """A numpy array as a torch tensor on a device, or as it is (device None)."""
    if device is None:
        return array
    import torch

    return torch.from_numpy(array).to(device)


def describe(device: "torch.device") -> str:
    """The device's kind, as written into ``runs.parquet``: ``cpu`` or the GPU's name."""
    import torch

    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)
