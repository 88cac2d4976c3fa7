"""The array API's functions for numpy and torch, and the types of arrays and of tables' rows.

The functions are those of array-api-compat, or of the copy that SciPy or scikit-learn carries: so training runs in an image
for GPUs that has these and not the package itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.errors import InputError

Array = Any  # numpy.ndarray or torch.Tensor
AnyArray = NDArray[Any]  # of numpy, of any type
Floats = NDArray[np.float64]
Row = dict[str, Any]  # of a table, by column

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

    def array_namespace(*arrays: Array) -> Any:
        """Return the functions for these arrays.

        Parameters
        ----------
        *arrays : numpy.ndarray or torch.Tensor
            Arrays of one library.

        Returns
        -------
        module
            Numpy's or torch's functions under the names of the array API.

        Examples
        --------
        >>> xp = array_namespace(np.ones(3))
        >>> xp.concat([np.ones(1), np.zeros(1)])
        array([1., 0.])
        """
        # Most calls are for arrays of numpy: they are answered without array-api-compat's checks.
        return _NUMPY if all(type(array) is np.ndarray for array in arrays) else _compat.array_namespace(*arrays)

    is_torch_array, to_device = _compat.is_torch_array, _compat.to_device

__all__ = [
    "AnyArray",
    "Array",
    "Floats",
    "Row",
    "array_namespace",
    "device",
    "host",
    "is_torch_array",
    "like",
    "mean",
    "to_device",
    "total",
]


def like(values: AnyArray, array: Array) -> Array:
    """Convert an array of numpy to the library and device of another array.

    Parameters
    ----------
    values : numpy.ndarray
        Values of any shape and type.
    array : numpy.ndarray or torch.Tensor
        The array whose library and device count.

    Returns
    -------
    numpy.ndarray or torch.Tensor
        The values; the very array if ``array`` is numpy's.

    Examples
    --------
    >>> like(np.arange(3), np.ones(2))
    array([0, 1, 2])
    """
    return array_namespace(array).asarray(values, device=device(array))


def host(array: Array) -> AnyArray:
    """Convert an array to numpy, in the host's memory.

    Parameters
    ----------
    array : numpy.ndarray or torch.Tensor
        An array on any device.

    Returns
    -------
    numpy.ndarray
        The same values; the very array if it is numpy's.

    Examples
    --------
    >>> host(np.arange(3))
    array([0, 1, 2])
    """
    if type(array) is np.ndarray:
        return array
    return np.asarray(to_device(array, "cpu"))


def total(values: Array) -> float:
    """Sum values in double precision.

    Parameters
    ----------
    values : numpy.ndarray or torch.Tensor
        Numbers, (n,).

    Returns
    -------
    float
        Their sum.

    Examples
    --------
    >>> total(np.array([1e8, 1.0, -1e8], dtype=np.float32))  # single precision would lose the 1
    1.0
    """
    xp = array_namespace(values)
    return float(xp.sum(values, dtype=xp.float64))


def mean(values: Array) -> float:
    """Average values in double precision.

    Parameters
    ----------
    values : numpy.ndarray or torch.Tensor
        Numbers, (n,).

    Returns
    -------
    float
        Their ``total`` over their number.

    Examples
    --------
    >>> mean(np.array([1.0, 2.0, 6.0]))
    3.0
    """
    return total(values) / len(values)
