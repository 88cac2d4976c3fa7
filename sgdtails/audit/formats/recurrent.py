"""The gates of recurrent layers, in the order in which torch stores them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

GATES = {1: ("",), 3: ("r", "z", "n"), 4: ("i", "f", "g", "o")}  # of torch's RNN, GRU and LSTM, by their number
_ORDERS = {  # where torch's gates stand in another library's weights
    "onnx LSTM": (0, 2, 3, 1),  # i, o, f, c
    "onnx GRU": (1, 0, 2),  # z, r, h
    "keras GRU": (1, 0, 2),
}


def reordered(weight: NDArray[Any], layout: str) -> NDArray[Any]:
    """Put the gates of a recurrent layer into torch's order.

    Parameters
    ----------
    weight : array of shape (gates * hidden, inputs)
        A weight of an RNN, a GRU or an LSTM.
    layout : str
        Library and layer, such as ``onnx LSTM``.

    Returns
    -------
    array of that shape
        The same if the order is torch's.

    Examples
    --------
    >>> reordered(np.array([[1], [2], [3], [4]]), "onnx LSTM").ravel()
    array([1, 3, 4, 2])
    """
    order = _ORDERS.get(layout)
    if order is None:
        return weight
    parts = np.split(weight, len(order))
    return np.concatenate([parts[place] for place in order])
