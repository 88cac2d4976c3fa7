"""Which rows of a layer are the sample. The only place that turns a weight array into observations."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sgdtails import devices, storage
from sgdtails.errors import InputError, unknown

Purpose = Literal["multivariate", "univariate", "singular_value", "node", "kernel"]


def weights(state: Mapping[str, Any], keys: Iterable[str] | None = None) -> dict[str, Any]:
    """The arrays of a network's state that are layers, in order, the head last, named without ``.weight``.

    ``keys`` names them; without it they are all arrays of two or more dimensions, as in networks of ours.
    """
    if keys is None:
        keys = [key for key, value in state.items() if value.ndim >= 2]
    return {key.removesuffix(".weight"): state[key] for key in keys if key in state}


def read(path: str | Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The layers of a file of weights, in order, the head last, and its record; no layers where no average was taken."""
    state, record = storage.load_arrays(path)
    return weights(state, record.get("layers")), record


def placed(weights: Mapping[str, NDArray], device: Any) -> dict[str, Any]:
    """The same weights on a torch device, or as they are (device None)."""
    return {name: devices.place(weight, device) for name, weight in weights.items()}


def finite(weights: Mapping[str, NDArray]) -> bool:
    """Whether there are layers and all their weights are finite: not so after divergence, or where no average was taken."""
    return bool(weights) and all(bool(np.isfinite(weight).all()) for weight in weights.values())


def constant(weights: Mapping[str, NDArray]) -> list[str]:
    """Names of layers whose weights are all equal, as some networks start: there is nothing in them to prune or compress."""
    return [name for name, weight in weights.items() if weight.min() == weight.max()]


def check(weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], path: str | Path) -> None:
    """InputError, naming the file and the layer, if a file's layers are not those of the model."""
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    for name in [*shapes, *found]:
        if found.get(name) != shapes.get(name):
            held = f"has shape {found[name]}" if name in found else "is missing"
            wanted = f"needs shape {shapes[name]}" if name in shapes else "has no such layer"
            raise InputError(
                f"{path}: layer {name!r} {held}, but the model {wanted}; delete the file and run again, or correct the model in the config."
            )


def prunable(weights: Mapping[str, NDArray], method: str) -> list[str]:
    """The layers that a pruning method may touch: not the head, not a convolution that comes first; nodes are columns of
    linear layers, kernels belong to convolutions. Nor a single one of the method's observations, such as the row of a layer
    with one output, which is its own median.
    """
    names = list(weights)[:-1]
    if names and weights[names[0]].ndim > 2:
        names = names[1:]
    if method in ("node", "kernel"):
        names = [name for name in names if (weights[name].ndim == 2) == (method == "node")]
    if method in ("singular_value", "node", "kernel"):
        names = [name for name in names if len(observations(weights[name], method)) > 1]  # type: ignore[arg-type]
    return names


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


CENTRINGS = ("median", "mean", "none")


def centre(sample: NDArray, dtype: DTypeLike = np.float64, how: str = "median") -> NDArray:
    """Observations less their median, or mean, or as they are: of each column of (N, d), of all of (N,).

    InputError for an unknown ``how``.
    """
    exact = np.asarray(sample, dtype=dtype)
    return exact - centre_of(exact, how)


def centre_of(sample: NDArray, how: str = "median") -> NDArray:
    """What ``centre`` subtracts: (d,) of (N, d), a number of (N,)."""
    if how == "median":
        return np.median(sample, axis=0)
    if how == "mean":
        return sample.mean(axis=0, dtype=np.float64).astype(sample.dtype)
    if how == "none":
        return np.zeros(sample.shape[1:], sample.dtype)
    raise unknown("centring", how, "layers.centre", CENTRINGS)
