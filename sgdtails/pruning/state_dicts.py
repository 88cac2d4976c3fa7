"""Pruning a state dict: what goes in comes out, of the same type, with smaller layers' terms removed."""

import copy
from collections.abc import MutableMapping, Sequence
from typing import Any, TypeVar

from sgdtails import layers
from sgdtails.arrays import array_namespace, is_torch_array
from sgdtails.config import prunable_layers
from sgdtails.errors import InputError, unknown
from sgdtails.pruning.methods import METHODS, Pruner

State = TypeVar("State", bound=MutableMapping[str, Any])


def prune(
    state_dict: State,
    method: str = "layer_magnitude",
    ratio: float = 0.9,
    *,
    p: float = 2.0,
    centring: str = "median",
    exempt: Sequence[str | int] = prunable_layers.PUBLISHED,
) -> State:
    """Prune a network's weights as the paper does.

    Each layer is centred on its median, its smallest terms are removed, and the median is added back.

    Parameters
    ----------
    state_dict : dict of str to numpy.ndarray or torch.Tensor
        A network's arrays by name in the order of its layers, such as ``model.state_dict()``. Its layers are the arrays of
        floating-point numbers with two or more dimensions, ``(out, in)`` or ``(out, in, *kernel)``; the last is the head.
        It is not changed.
    method : str
        What is removed: entries of each layer (``layer_magnitude``) or of all layers together (``global_magnitude``),
        singular values (``singular_value``), columns or rows of linear layers (``node``, ``row``), or kernels, filters or
        input channels of convolutions (``kernel``, ``filter``, ``channel``).
    ratio : float
        Share of the terms to remove, from 0 to 1.
    p : float
        Norm by which columns, rows, kernels, filters and channels are compared, positive.
    centring : {"median", "mean", "none"}
        What layers are centred on.
    exempt : sequence of str or int
        Layers that are left as they are: ``first_convolution``, ``head``, names without ``.weight``, or indices from 0.

    Returns
    -------
    dict
        A new mapping of the same type. Pruned layers are new arrays of the same kind, shape, type and device; all else is
        the very objects of ``state_dict``.

    Raises
    ------
    InputError
        For an unknown method, centring or layer, a ratio outside [0, 1], p <= 0, a state without layers or with none that
        the method may prune, and a layer whose weights are all equal or not all finite. It is a ``ValueError``.

    Examples
    --------
    >>> import numpy as np
    >>> import sgdtails
    >>> rng = np.random.default_rng(0)
    >>> state = {"0.weight": rng.standard_normal((20, 10)), "0.bias": np.zeros(20), "2.weight": np.ones((2, 20))}
    >>> pruned = sgdtails.prune(state, ratio=0.9)
    >>> int((pruned["0.weight"] != np.median(state["0.weight"])).sum())
    20
    >>> pruned["2.weight"] is state["2.weight"]  # the head
    True
    """
    keys = _layers(state_dict)
    weights = {name: _exact(state_dict[key]) for name, key in keys.items()}
    if method not in METHODS:
        raise unknown("pruning method", method, "prune", METHODS)
    if not layers.prunable(weights, method, exempt):
        raise InputError(
            f"the state has no layer that pruning method {method!r} may prune; its layers are {', '.join(keys)}, of which "
            f"{', '.join(map(str, exempt)) or 'none'} are exempt; choose another method or other exempt layers."
        )
    network = Pruner(weights, method=method, p=p, centring=centring, exempt=exempt).at_ratio(ratio)
    result = copy.copy(state_dict)  # with attributes, such as the versions that torch keeps
    for name in network.pruned:
        key = keys[name]
        result[key] = _alike(network.layers[name].dense(), state_dict[key])
    return result


def _layers(state: MutableMapping[str, Any]) -> dict[str, str]:
    """Return keys of layers by the layers' names, in order. InputError if there is none, or two have one name."""
    keys = [key for key, value in state.items() if getattr(value, "ndim", 0) >= 2 and _is_floating(value)]
    names = {key.removesuffix(".weight"): key for key in keys}
    if not keys or len(names) < len(keys):
        raise InputError(
            "the state has no arrays of floating-point numbers in two or more dimensions; give a network's state dict."
            if not keys
            else "two layers of the state have one name, with and without '.weight'; rename one of them."
        )
    return names


def _is_floating(value: Any) -> bool:
    return bool(array_namespace(value).isdtype(value.dtype, "real floating"))


def _exact(value: Any) -> Any:
    """Return a weight in single precision where it has less, and without a gradient."""
    xp = array_namespace(value)
    value = value.detach() if is_torch_array(value) else value
    return xp.astype(value, xp.float32) if value.itemsize < 4 else value


def _alike(value: Any, original: Any) -> Any:
    """Return a pruned weight in the type of its original."""
    return array_namespace(value).astype(value, original.dtype)
