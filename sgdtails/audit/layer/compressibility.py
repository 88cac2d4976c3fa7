"""How much of a layer can go: relative errors against the share of terms removed, and ranks."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails import layers
from sgdtails.arrays import Row, array_namespace
from sgdtails.audit.layer.dead import parts
from sgdtails.errors import InputError
from sgdtails.pruning import compression

Array = Any  # numpy.ndarray or torch.Tensor
CURVE = tuple(share / 40 for share in range(41))  # shares of terms removed
LEVELS = (0.01, 0.1)  # relative errors at which the page and the plan say what can go, whatever the config asks for
ENERGY = 0.9  # share of the sum of squared singular values that rank_90 holds
WIDEST = 4096  # shorter side of a matrix whose singular values are taken; of a wider one as many random rows
MAGNITUDES = "magnitudes"  # entries that are not centred, as torch.nn.utils.prune removes them


def singular_values(tensor: Array, rng: np.random.Generator) -> tuple[NDArray[np.float64], int]:
    """Take the singular values of a layer as a matrix (rows, the rest), not centred.

    They come from the Gram matrix of the shorter side, in double precision.

    Parameters
    ----------
    tensor : numpy.ndarray or torch.Tensor
        (N, d), or (out, in, *kernel).
    rng : numpy.random.Generator
        Chooses ``WIDEST`` rows of a matrix that is wider on both sides.

    Returns
    -------
    values : numpy.ndarray
        Singular values, ascending.
    rows : int
        How many rows they are of.

    Examples
    --------
    >>> singular_values(np.diag([1.0, 3.0, 2.0]), np.random.default_rng(0))[0].tolist()
    [1.0, 2.0, 3.0]
    """
    matrix, xp = tensor.reshape(len(tensor), -1), array_namespace(tensor)
    if min(matrix.shape) > WIDEST:
        matrix = matrix[np.sort(rng.choice(len(matrix), WIDEST, replace=False))]
    used = len(matrix)
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    gram = np.zeros((matrix.shape[1],) * 2)
    for part in parts(matrix):
        block = np.asarray(xp.astype(part, xp.float64))
        gram += block.T @ block
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0)), used


def spectrum(values: NDArray[np.float64], rows: int) -> Row:
    """Say how few singular values hold ``ENERGY`` of the sum of squares, and give the effective rank.

    Parameters
    ----------
    values : numpy.ndarray
        Singular values, ascending, of as many ``rows`` of the layer.
    rows : int
        See there.

    Returns
    -------
    dict
        Columns of table ``audit``.

    References
    ----------
    Roy, Vetterli. The effective rank. EUSIPCO 2007: exp of the entropy of the values' shares of their sum.

    Examples
    --------
    >>> spectrum(np.ones(20), 20)["rank_90"]
    18
    """
    total = float(np.sum(values))
    if total == 0:
        return {"spectrum_rows": rows}
    held = np.cumsum(values[::-1] ** 2)
    rank = int(np.searchsorted(held, ENERGY * held[-1])) + 1
    shares = values[values > 0] / total
    effective = math.exp(-float(np.sum(shares * np.log(shares))))
    return {
        "rank_90": rank,
        "rank_90_share": rank / len(values),
        "spectrum_rows": rows,
        "effective_rank": effective,
        "effective_rank_share": effective / len(values),
    }


def compressibility(
    sample: NDArray[np.float32], values: NDArray[np.float64], matrix: tuple[int, int], epsilon: Sequence[float]
) -> tuple[list[Row], list[Row]]:
    """Take relative l2 errors against the share of terms removed, and kappa at given errors.

    Parameters
    ----------
    sample : numpy.ndarray
        Weights, (N, d) or (out, in, *kernel), zeros and dead rows included.
    values : numpy.ndarray
        Singular values of a matrix of the shape ``matrix``.
    matrix : tuple of int
        See there.
    epsilon : sequence of float
        Relative errors. Entries that are not centred get those of ``LEVELS`` too.

    Returns
    -------
    curves, kappas : list of dict
        Rows of tables ``audit_curves`` and ``audit_compression``, less checkpoint and layer. A structure whose terms are all
        zero, once centred, has none.

    Examples
    --------
    >>> sample = np.array([[1.0, -1.0], [10.0, -10.0]], np.float32)
    >>> kappas = compressibility(sample, np.array([1.0]), (2, 2), [0.1])[1]
    >>> [row["kappa"] for row in kappas if row["structure"] == "magnitudes"]
    [1.0, 0.5]
    """
    structure, purpose = ("columns", "node") if sample.ndim == 2 else ("kernels", "kernel")
    blocks = layers.centre(layers.observations(sample, purpose), np.float32)  # type: ignore[arg-type]
    flat = layers.observations(sample, "univariate")
    terms = {
        "entries": layers.centre(flat, np.float32),
        MAGNITUDES: flat,
        structure: compression.column_norms(blocks, 2.0),
        "singular_values": values,
    }
    curves, kappas = [], []
    for name, vector in terms.items():
        try:
            errors = compression.relative_errors(vector, 2.0)
        except InputError:  # nothing but zeros
            continue
        if name != MAGNITUDES:
            for share in CURVE:
                error = float(errors[compression.removed(share, len(vector))])
                curves.append({"structure": name, "ratio": share, "relative_error": error})
        for level in sorted({*epsilon, *LEVELS}) if name == MAGNITUDES else epsilon:
            kappa = compression.kappa(errors, level)
            if name == "singular_values":
                kappa = compression.kappa_of_rank(errors, level, matrix)
            kappas.append({"structure": name, "epsilon": level, "kappa": kappa})
    return curves, kappas
