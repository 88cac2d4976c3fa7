"""How compressible a layer is, in one number: stable rank, and PQ index."""

import numpy as np

from sgdtails import layers
from sgdtails.arrays import AnyArray

P, Q = 0.5, 1.0  # of the PQ index, as its authors set them
_DENSE = 256  # rows up to which all eigenvalues are computed: it takes less time


def stable_rank(weight: AnyArray) -> float:
    """Compute the stable rank of a layer: its squared Frobenius norm over its squared spectral norm.

    Parameters
    ----------
    weight : numpy.ndarray
        A layer, (out, in), or (out, in, *kernel), which is taken as (out, in * kernel size). It is not centred.

    Returns
    -------
    float
        From 1 to the rank; small if few singular values carry the layer. Not a number for a layer of zeros.

    References
    ----------
    .. [1] Rudelson and Vershynin, "Sampling from large matrices: an approach through geometric functional analysis", J. ACM 2007.

    Examples
    --------
    >>> stable_rank(np.diag([2.0, 2.0, 1.0]))
    2.25
    """
    matrix = layers.observations(weight, "singular_value").astype(np.float64)
    largest = np.abs(matrix).max()
    if not largest > 0:
        return float("nan")
    matrix = matrix / largest  # the squares of tiny weights leave the range
    squares = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    if len(squares) <= _DENSE:
        norm = np.linalg.eigvalsh(squares)[-1]
    else:
        from scipy.sparse.linalg import eigsh  # small layers do without its import

        # A given start makes the result the same each time.
        start = np.random.default_rng(0).standard_normal(len(squares))
        (norm,) = eigsh(squares, k=1, v0=start, return_eigenvectors=False)
    return float(np.trace(squares) / norm)


def pq_index(weight: AnyArray, p: float = P, q: float = Q) -> float:
    """Compute the PQ index of a layer's d entries: 1 - d^(1/q - 1/p) ||w||_p / ||w||_q.

    Parameters
    ----------
    weight : numpy.ndarray
        A layer, of any shape. It is not centred.
    p, q : float
        The norms, 0 < p < q.

    Returns
    -------
    float
        From 0, if all magnitudes are equal, to 1 - d^(1/q - 1/p), if a single one is not 0. Not a number for a layer of zeros.

    References
    ----------
    .. [1] Diao et al., "Pruning deep neural networks from a sparsity perspective", ICLR 2023, definition 1.

    Examples
    --------
    >>> pq_index(np.array([1.0, -1.0, 1.0])), pq_index(np.array([0.0, 0.0, 5.0, 0.0]))
    (0.0, 0.75)
    """
    magnitudes = np.abs(weight, dtype=np.float64).ravel()
    largest = magnitudes.max()
    if not largest > 0:
        return float("nan")
    magnitudes /= largest
    # Means in place of sums: the power of d is in them.
    return 1 - float(np.mean(magnitudes**p) ** (1 / p) / np.mean(magnitudes**q) ** (1 / q))
