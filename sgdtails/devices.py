"""Where the arithmetic happens, and how exactly."""

import os
from typing import Any

from sgdtails.errors import InputError


def select(
    device: str, precision: str, threads: int
):  # -> torch.device; torch is imported only here, after the environment is set
    """The torch.device for ``auto``, ``cpu`` or ``cuda``, deterministic, at ``fp32`` or ``tf32``, on ``threads`` CPU threads.

    InputError if CUDA is asked for and absent.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic matrix products need
    import torch

    torch.set_num_threads(threads)
    # The same as use_deterministic_algorithms(True), which imports torch's compiler first: seconds in every job.
    torch.set_deterministic_debug_mode("error")
    torch.backends.cudnn.benchmark = False
    # Convolutions default to TF32 while matrix products do not: say both.
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "config key device: 'cuda' was asked for, but torch sees no CUDA device; set device: auto or cpu."
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def place(array: Any, device: Any) -> Any:
    """A numpy array as a torch tensor on a device, or as it is (device None)."""
    if device is None:
        return array
    import torch

    return torch.from_numpy(array).to(device)


def describe(device) -> str:
    """The device's kind, as written into ``runs.parquet``: ``cpu`` or the GPU's name."""
    import torch

    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)
