"""Which rows of a layer are the sample. The only place that turns a weight array into observations."""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sgdtails.errors import unknown

Purpose = Literal["multivariate", "univariate", "singular_value", "node", "kernel"]


def weights(state: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The arrays of a network's state that are layers (two or more dimensions), in order, named without ``.weight``."""
    return {key.removesuffix(".weight"): value for key, value in state.items() if value.ndim >= 2}


def observations(weight: NDArray, purpose: Purpose, *, head: bool = False) -> NDArray:
    """The sample that a layer is for a purpose, as a view where possible.

    ``weight`` is (out, in) for a linear layer and (out, in, *kernel) for a convolution.

    ==============  =======================================  =========================
    purpose         linear                                   convolution
    ==============  =======================================  =========================
    multivariate    (out, in); the head (in, out)            (out*in, kernel size)
    univariate      (out*in,)                                (out*in*kernel size,)
    singular_value  (out, in)                                (out, in*kernel size)
    node            (in, out): one column an observation     InputError
    kernel          InputError                               (out*in, kernel size)
    ==============  =======================================  =========================
    """
    if weight.ndim < 2:
        raise ValueError(f"a layer has two or more dimensions, got shape {weight.shape}")
    linear = weight.ndim == 2
    if purpose == "univariate":
        return weight.reshape(-1)
    if purpose == "singular_value":
        return weight.reshape(weight.shape[0], -1)
    if purpose == "multivariate" and linear:
        return weight.T if head else weight
    if purpose == "node" and linear:
        return weight.T
    if purpose in ("multivariate", "kernel") and not linear:
        return weight.reshape(weight.shape[0] * weight.shape[1], -1)
    if purpose in get_args(Purpose):
        raise ValueError(f"{purpose!r} has no meaning for a weight of shape {weight.shape}")
    raise unknown("purpose", purpose, "layers.observations", get_args(Purpose))


def centre(sample: NDArray) -> NDArray[np.float64]:
    """Observations less their median: column medians of (N, d), the scalar median of (N,)."""
    exact = np.asarray(sample, dtype=np.float64)
    return exact - np.median(exact, axis=0)
