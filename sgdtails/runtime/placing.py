"""Where an analysis of a fully connected network computes: in numpy on a CPU, in torch on a GPU."""

from typing import Any

from sgdtails.runtime import devices


def device(asked: str, threads: int, precision: str = "fp32") -> Any:
    """The torch device of a GPU, or None for numpy, from what config keys device and precision say.

    ``cpu`` imports no torch, which takes longer to start than a small network's analysis. Distances and margins of outputs
    are measured in fp32 whatever training used: TF32's rounding would count as theirs.
    """
    if asked == "cpu":
        return None
    found = devices.select(asked, precision, threads)
    return None if found.type == "cpu" else found
