"""Which rows of a layer are the sample. Only this module turns a weight array into observations."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike

from sgdtails.arrays import AnyArray, Array, Row, array_namespace, is_torch_array
from sgdtails.config import prunable_layers
from sgdtails.config.prunable_layers import CONVOLUTIONAL, LINEAR
from sgdtails.errors import InputError, unknown
from sgdtails.io import storage
from sgdtails.runtime import devices

Purpose = Literal["multivariate", "univariate", "singular_value", "node", "row", "kernel", "filter", "channel"]
CENTRINGS = ("median", "mean", "none")
_COLUMNS = 64  # that are sorted at a time


def weights(state: Mapping[str, Array], keys: Iterable[str] | None = None) -> Row:
    """Select the arrays of a network's state that are layers.

    Parameters
    ----------
    state : mapping of str to numpy.ndarray or torch.Tensor
        Arrays by name, in the order of the layers.
    keys : iterable of str, optional
        Names of the layers; without it they are all arrays of two or more dimensions, as in the built-in networks.

    Returns
    -------
    dict of str to numpy.ndarray or torch.Tensor
        Layers in order, the head last, named without ``.weight``.

    Examples
    --------
    >>> list(weights({"fc1.weight": np.ones((3, 2)), "fc1.bias": np.ones(3), "head.weight": np.ones((2, 3))}))
    ['fc1', 'head']
    """
    if keys is None:
        keys = [key for key, value in state.items() if value.ndim >= 2]
    return {key.removesuffix(".weight"): state[key] for key in keys if key in state}


def read(path: str | Path) -> tuple[dict[str, AnyArray], dict[str, Any]]:
    """Read the layers of a file of weights, and its record.

    Parameters
    ----------
    path : str or Path
        A file of weights.

    Returns
    -------
    layers : dict of str to numpy.ndarray
        Layers in order, the head last; none where no average was taken.
    record : dict
        What the file says of itself.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    state, record = storage.load_arrays(path)
    return weights(state, record.get("layers")), record


def placed(weights: Mapping[str, AnyArray], device: Any) -> Row:
    """Copy weights to a torch device.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray
        Layers.
    device : torch.device or None
        Where to; with None they stay in numpy.

    Returns
    -------
    dict of str to numpy.ndarray or torch.Tensor
        The same layers.

    Examples
    --------
    >>> placed({"fc1": np.ones(2)}, None)
    {'fc1': array([1., 1.])}
    """
    return {name: devices.place(weight, device) for name, weight in weights.items()}


def finite(weights: Mapping[str, AnyArray]) -> bool:
    """Check that there are layers and that all their weights are finite.

    Neither holds after divergence; there are no layers where no average was taken.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray
        Layers.

    Returns
    -------
    bool
        True if so.

    Examples
    --------
    >>> finite({"fc1": np.ones(2)}), finite({"fc1": np.array([np.inf])}), finite({})
    (True, False, False)
    """
    return bool(weights) and all(bool(np.isfinite(weight).all()) for weight in weights.values())


def constant(weights: Mapping[str, AnyArray]) -> list[str]:
    """List the layers whose weights are all equal, as some networks start: there is nothing in them to prune or compress.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray
        Layers.

    Returns
    -------
    list of str
        Their names.

    Examples
    --------
    >>> constant({"fc1": np.arange(4.0), "head": np.ones(4)})
    ['head']
    """
    return [name for name, weight in weights.items() if weight.min() == weight.max()]


def check(weights: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], path: str | Path) -> None:
    """Check that a file's layers are those of the model.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray
        Layers of the file.
    shapes : mapping of str to tuple of int
        Shapes of the model's layers.
    path : str or Path
        The file, for the message.

    Raises
    ------
    InputError
        If they are not, naming the file and the layer.

    Examples
    --------
    >>> check({"fc1": np.ones((3, 2))}, {"fc1": (3, 2)}, "average.safetensors")
    """
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    for name in [*shapes, *found]:
        if found.get(name) != shapes.get(name):
            held = f"has shape {found[name]}" if name in found else "is missing"
            wanted = f"needs shape {shapes[name]}" if name in shapes else "has no such layer"
            raise InputError(
                f"{path}: layer {name!r} {held}, but the model {wanted}; delete the file and run again, or correct the model in the config."
            )


def prunable(
    weights: Mapping[str, AnyArray], method: str, exempt: prunable_layers.Entries = prunable_layers.PUBLISHED
) -> list[str]:
    """List the layers that a pruning method may prune.

    They are those that are not exempt. Nodes and rows are of linear layers; kernels, filters and channels of convolutions. Layers with a
    single observation are skipped, such as the row of a layer with one output: centring on the median would zero them.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the head last.
    method : str
        A pruning method.
    exempt : sequence of str or int
        Layers left alone: ``first_convolution``, ``head``, names, or indices from 0.

    Returns
    -------
    list of str
        Their names, in order.

    Raises
    ------
    InputError
        For an exempt layer that is not there.

    Examples
    --------
    >>> prunable({"conv1": np.ones((2, 1, 3, 3)), "fc1": np.ones((4, 8)), "head": np.ones((2, 4))}, "node")
    ['fc1']
    """
    spared = prunable_layers.names({name: weight.ndim for name, weight in weights.items()}, exempt)
    names = [name for name in weights if name not in spared]
    if method in (*LINEAR, *CONVOLUTIONAL):
        names = [name for name in names if (weights[name].ndim == 2) == (method in LINEAR)]
    if method in (*LINEAR, *CONVOLUTIONAL, "singular_value"):
        names = [name for name in names if len(observations(weights[name], method)) > 1]  # type: ignore[arg-type]
    return names


def observations(weight: AnyArray, purpose: Purpose, *, head: bool = False) -> AnyArray:
    """Cut a layer into the observations that serve a purpose, as a view where possible.

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

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer: (out, in) for a linear one, (out, in, *kernel) for a convolution.
    purpose : str
        What the observations are for; see above.
    head : bool
        True for the last layer, whose observations are its columns.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        Observations, (N, d) or (N,).

    Raises
    ------
    ValueError
        For a weight of fewer than two dimensions, or a purpose without a meaning for it.
    InputError
        For an unknown purpose.

    Examples
    --------
    >>> layer = np.ones((10, 20))
    >>> observations(layer, "multivariate").shape, observations(layer, "multivariate", head=True).shape
    ((10, 20), (20, 10))
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


def restored(sample: Array, shape: tuple[int, ...], purpose: Purpose) -> Any:
    """Turn observations back into the weight that they were cut from.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        From ``observations``, but not of a head's multivariate ones.
    shape : tuple of int
        Shape of the weight.
    purpose : str
        What the observations were for.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The weight.

    Examples
    --------
    >>> layer = np.arange(6.0).reshape(2, 3)
    >>> np.array_equal(restored(observations(layer, "node"), (2, 3), "node"), layer)
    True
    """
    if purpose == "node":
        return sample.T
    if purpose == "channel":
        return sample.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)
    return sample.reshape(shape)


def centre(sample: Array, dtype: DTypeLike = np.float64, how: str = "median") -> Any:
    """Subtract from observations what they are centred on.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, d) or (N,).
    dtype : dtype_like
        Type of the result.
    how : {"median", "mean", "none"}
        What is subtracted: ``middle``.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        A new array of the same shape.

    Raises
    ------
    InputError
        For an unknown centring.

    Examples
    --------
    >>> centre(np.array([1.0, 2.0, 6.0]))
    array([-1.,  0.,  4.])
    """
    xp = array_namespace(sample)
    exact = xp.astype(sample, getattr(xp, np.dtype(dtype).name), copy=False)
    return exact - middle(exact, how)


def middle(sample: Array, how: str = "median") -> Any:
    """Compute what centring subtracts from observations: column medians or means, or 0.

    The median is the mean of both middle values for an even number.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, ...).
    how : {"median", "mean", "none"}
        What is subtracted.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The middle, (...).

    Raises
    ------
    InputError
        For an unknown centring.

    Examples
    --------
    >>> middle(np.array([[1.0, 5.0], [2.0, 7.0], [6.0, 0.0]]))
    array([2., 5.])
    """
    if how not in CENTRINGS:
        raise unknown("centring", how, "the config", CENTRINGS)
    xp = array_namespace(sample)
    if how == "none":
        return xp.zeros_like(sample[0, ...])
    if how == "mean":
        mean = xp.mean(sample, axis=0, dtype=xp.float64)
        # Clipped so that, in spite of rounding, the mean of equal observations equals them.
        return xp.clip(xp.astype(mean, sample.dtype), xp.min(sample, axis=0), xp.max(sample, axis=0))
    # Numpy's own median is slower; torch's is the lower one of both middle values.
    if sample.ndim == 1 or is_torch_array(sample):
        return _between(ascending(sample))
    # Sorting is many times faster where the numbers of a column are adjacent in memory.
    parts = (np.array(sample[:, at : at + _COLUMNS].T, order="C") for at in range(0, sample.shape[1], _COLUMNS))
    return np.concatenate([_between(np.sort(part, axis=1).T) for part in parts])


def _between(ordered: Array) -> Any:
    """Average both middle observations of an ordered sample."""
    xp = array_namespace(ordered)
    low, high = ordered[(len(ordered) - 1) // 2, ...], ordered[len(ordered) // 2, ...]
    return xp.astype((xp.astype(low, xp.float64) + xp.astype(high, xp.float64)) / 2, ordered.dtype)


def ascending(sample: Array) -> Any:
    """Sort along axis 0.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Values, (N, ...).

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The same values, ascending. The sort is not stable, which is many times faster.

    Examples
    --------
    >>> ascending(np.array([3.0, 1.0, 2.0]))
    array([1., 2., 3.])
    """
    if is_torch_array(sample):
        return sample.sort(dim=0).values
    return array_namespace(sample).sort(sample, axis=0, stable=False)
