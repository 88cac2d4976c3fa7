"""Where an analysis of a fully connected network computes: in numpy on a CPU, in torch on a GPU."""

from typing import Any

from sgdtails.runtime import devices


def device(asked: str, threads: int, precision: str = "fp32") -> Any:
    """Choose where an analysis computes.

    ``cpu`` imports no torch, which takes longer to start than a small network's analysis. Distances and margins of outputs
    are measured in fp32 whatever training used: TF32's rounding would count as theirs.

    Parameters
    ----------
    asked
        Config key ``device``.
    threads
        Threads of a CPU.
    precision
        Config key ``precision``.

    Returns
    -------
    torch.device or None
        A GPU; None for numpy on the CPU.
    """
    if asked == "cpu":
        return None
    found = devices.select(asked, precision, threads)
    return None if found.type == "cpu" else found
