"""What the user's own evaluation function says of a checkpoint pruned by magnitude, layer by layer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from numbers import Real
from typing import TYPE_CHECKING, Any

from sgdtails import layers
from sgdtails.audit.weights.matrices import matrices
from sgdtails.config import plugins
from sgdtails.errors import InputError
from sgdtails.pruning import compression

if TYPE_CHECKING:
    from torch import Tensor

_KEY = "config key audit.evaluate"


def rows(
    state: Mapping[str, "Tensor"], path: str, ratios: Sequence[float], exclude: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield every number that a function of the user's returns for a state pruned at each ratio.

    Each layer but embeddings is centred on its median, the share of its entries that are smallest in magnitude is removed, and
    the median is added back; layers that are computed from several arrays stay as they are.

    Parameters
    ----------
    state : mapping of str to torch.Tensor
        A network's arrays by name. It is not changed.
    path : str
        The function, as ``package.module.function``. It gets a state dict of its own each time, with the names and types of the
        file, and returns numbers by name.
    ratios : sequence of float
        Shares of the entries to remove, from 0 to 1.
    exclude : sequence of str
        Patterns of names of arrays that are no layers.

    Yields
    ------
    dict
        Rows of table ``audit_accuracy``, less the checkpoint.

    Raises
    ------
    InputError
        For a function that cannot be imported or returns anything else, and a state without layers that could be pruned.

    Examples
    --------
    >>> import torch
    >>> state = {"a.weight": torch.tensor([[-4.0, -1.0], [1.0, 4.0]])}
    >>> list(rows(state, "builtins.len", [0.5]))
    Traceback (most recent call last):
    ...
    sgdtails.errors.InputError: config key audit.evaluate: 'builtins.len' returned 1; it must return finite numbers by name, such as {'accuracy': 0.9}.
    """
    evaluate = plugins.load(path, _KEY)
    names = None
    for ratio in ratios:
        copy = deepcopy(dict(state))  # tied weights stay tied
        kept, total = _prune(copy, ratio, exclude)
        values = _checked(evaluate(copy), path)
        names = names or set(values)
        if set(values) != names:
            raise InputError(
                f"{_KEY}: {path!r} returned {sorted(values)} at pruning ratio {ratio}, but {sorted(names)} before; let it return the same names each time."
            )
        for name, value in values.items():
            yield {"ratio": ratio, "pruned_ratio": 1 - kept / total, "measure": name, "value": float(value)}


def _prune(state: dict[str, "Tensor"], ratio: float, exclude: Sequence[str]) -> tuple[int, int]:
    """Prune a state's layers where they are; parameters kept and parameters, of all that is subject to pruning."""
    kept = total = 0
    for matrix in matrices(state, exclude)[0]:
        # What is computed from several arrays cannot be pruned in the state that the function gets.
        if matrix.kind == "embedding" or not matrix.is_view or not matrix.tensor.isfinite().all():
            continue
        flat = matrix.tensor.flatten().float()
        middle = layers.middle(flat)
        magnitudes = (flat - middle).abs()
        count = compression.removed(ratio, len(flat))
        stays = compression.mask(magnitudes, layers.ascending(magnitudes), count)
        matrix.tensor.copy_(flat.where(stays, middle).reshape(matrix.tensor.shape))
        kept, total = kept + len(flat) - count, total + len(flat)
    if not total:
        raise InputError(f"{_KEY}: the checkpoint has no layers that could be pruned; set it to null.")
    return kept, total


def _checked(values: Any, path: str) -> Mapping[str, float]:
    if (
        not isinstance(values, Mapping)
        or not values
        or not all(
            isinstance(name, str) and isinstance(value, Real) and math.isfinite(value) for name, value in values.items()
        )
    ):
        raise InputError(
            f"{_KEY}: {path!r} returned {values!r:.80}; it must return finite numbers by name, such as {{'accuracy': 0.9}}."
        )
    return values
