"""The array API's functions for numpy and torch: of array-api-compat, or of the copy that SciPy or scikit-learn carry.

So training runs in an image for GPUs that has these and not the package itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.errors import InputError

_PLACES = (
    "array_api_compat",
    "scipy._lib.array_api_compat",
    "scipy._external.array_api_compat",
    "sklearn.externals.array_api_compat",
)


def _found() -> Any:
    for place in _PLACES:
        try:
            return import_module(place)
        except ModuleNotFoundError:
            continue
    raise InputError(
        "Python has no array-api-compat, nor SciPy or scikit-learn, which carry it; install array-api-compat."
    )


if TYPE_CHECKING:
    from array_api_compat import array_namespace, device, is_torch_array, to_device
else:
    _compat = _found()
    _NUMPY, device = _compat.array_namespace(np.empty(0)), _compat.device

    def array_namespace(*arrays: Any) -> Any:
        """The functions for these arrays; of numpy's at once, which are asked for most."""
        return _NUMPY if all(type(array) is np.ndarray for array in arrays) else _compat.array_namespace(*arrays)

    is_torch_array, to_device = _compat.is_torch_array, _compat.to_device

__all__ = ["array_namespace", "device", "host", "is_torch_array", "like", "mean", "to_device", "total"]


def like(values: NDArray, array: Any) -> Any:
    """Values of numpy as an array of the kind of ``array``, on its device; of numpy as they are."""
    return array_namespace(array).asarray(values, device=device(array))


def host(array: Any) -> NDArray:
    """An array as one of numpy's; as it is where it is one."""
    if type(array) is np.ndarray:
        return array
    return np.asarray(to_device(array, "cpu"))


def total(values: Any) -> float:
    """Sum of values (n,) in double precision."""
    xp = array_namespace(values)
    return float(xp.sum(values, dtype=xp.float64))


def mean(values: Any) -> float:
    """Mean of values (n,): their ``total`` over their number."""
    return total(values) / len(values)
