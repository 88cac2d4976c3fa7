"""Which rows of a layer are the sample. The only place that turns a weight array into observations."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sgdtails.arrays import array_namespace, is_torch_array
from sgdtails.config import prunable_layers
from sgdtails.config.prunable_layers import CONVOLUTIONAL, LINEAR
from sgdtails.errors import InputError, unknown
from sgdtails.io import storage
from sgdtails.runtime import devices

Purpose = Literal["multivariate", "univariate", "singular_value", "node", "row", "kernel", "filter", "channel"]
CENTRINGS = ("median", "mean", "none")
_COLUMNS = 64  # sorted at a time


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


def prunable(
    weights: Mapping[str, NDArray], method: str, exempt: prunable_layers.Entries = prunable_layers.PUBLISHED
) -> list[str]:
    """The layers that a pruning method may touch: those that are not exempt; nodes and rows are of linear layers, kernels,
    filters and channels of convolutions. Nor a layer that is one observation of the method, such as the row of a layer with
    one output: it is its own median, and there is nothing to choose. InputError for an exempt layer that is not there.
    """
    spared = prunable_layers.names({name: weight.ndim for name, weight in weights.items()}, exempt)
    names = [name for name in weights if name not in spared]
    if method in (*LINEAR, *CONVOLUTIONAL):
        names = [name for name in names if (weights[name].ndim == 2) == (method in LINEAR)]
    if method in (*LINEAR, *CONVOLUTIONAL, "singular_value"):
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
    node            (in, out): one column an observation     ValueError
    row             (out, in)                                ValueError
    kernel          ValueError                               (out*in, kernel size)
    filter          ValueError                               (out, in*kernel size)
    channel         ValueError                               (in, out*kernel size), a copy
    ==============  =======================================  =========================
    """
    if weight.ndim < 2:
        raise ValueError(f"a layer has two or more dimensions, got shape {weight.shape}")
    linear = weight.ndim == 2
    if purpose == "univariate":
        return weight.reshape(-1)
    if purpose == "singular_value" or (purpose == "row" and linear) or (purpose == "filter" and not linear):
        return weight.reshape(weight.shape[0], -1)
    if purpose == "multivariate" and linear:
        return weight.T if head else weight
    if purpose == "node" and linear:
        return weight.T
    if purpose in ("multivariate", "kernel") and not linear:
        return weight.reshape(weight.shape[0] * weight.shape[1], -1)
    if purpose == "channel" and not linear:
        return weight.swapaxes(0, 1).reshape(weight.shape[1], -1)
    if purpose in get_args(Purpose):
        raise ValueError(f"{purpose!r} has no meaning for a weight of shape {weight.shape}")
    raise unknown("purpose", purpose, "layers.observations", get_args(Purpose))


def restored(sample: Any, shape: tuple[int, ...], purpose: Purpose) -> Any:
    """The weight of a shape whose ``observations`` for a purpose the sample is, of numpy or torch; not of a head's multivariate ones."""
    if purpose == "node":
        return sample.T
    if purpose == "channel":
        return sample.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)
    return sample.reshape(shape)


def centre(sample: Any, dtype: DTypeLike = np.float64, how: str = "median") -> Any:
    """Observations of numpy or torch less their centre, a new array: column medians of (N, d), the scalar median of (N,);
    or means, or 0.
    """
    xp = array_namespace(sample)
    exact = xp.astype(sample, getattr(xp, np.dtype(dtype).name), copy=False)
    return exact - middle(exact, how)


def middle(sample: Any, how: str = "median") -> Any:
    """What centring subtracts from observations (N, ...) of numpy or torch, (...): one of ``CENTRINGS``, 0 for none.

    The median is the mean of both middle values for an even number. InputError for another name.
    """
    if how not in CENTRINGS:
        raise unknown("centring", how, "the config", CENTRINGS)
    xp = array_namespace(sample)
    if how == "none":
        return xp.zeros_like(sample[0, ...])
    if how == "mean":
        mean = xp.mean(sample, axis=0, dtype=xp.float64)
        # Rounding must not tell equal observations from their mean.
        return xp.clip(xp.astype(mean, sample.dtype), xp.min(sample, axis=0), xp.max(sample, axis=0))
    # Numpy's own median is slower, torch's the lower one.
    if sample.ndim == 1 or is_torch_array(sample):
        return _between(ascending(sample))
    # Sorting is many times faster where the numbers of a column are side by side.
    parts = (np.array(sample[:, at : at + _COLUMNS].T, order="C") for at in range(0, sample.shape[1], _COLUMNS))
    return np.concatenate([_between(np.sort(part, axis=1).T) for part in parts])


def _between(ordered: Any) -> Any:
    """The mean of both middle observations."""
    xp = array_namespace(ordered)
    low, high = ordered[(len(ordered) - 1) // 2, ...], ordered[len(ordered) // 2, ...]
    return xp.astype((xp.astype(low, xp.float64) + xp.astype(high, xp.float64)) / 2, ordered.dtype)


def ascending(sample: Any) -> Any:
    """Sorted along axis 0; not stable, which is many times faster."""
    if is_torch_array(sample):
        return sample.sort(dim=0).values
    return array_namespace(sample).sort(sample, axis=0, stable=False)
