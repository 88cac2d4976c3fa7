"""The exponent of a layer's eigenvalue spectrum, a rival of the tail index, as the package WeightWatcher fits it.

It is an exponent of a density, rho(x) ~ x^-alpha, of the eigenvalues of W^T W. For independent entries with tail index a < 2
that density falls as x^-(1 + a/2): so the exponent is on another scale than a tail index, and it is never clipped at 2.
"""

from dataclasses import dataclass

import numpy as np

from sgdtails import arrays
from sgdtails.arrays import Array, Floats, Row, array_namespace

NAME = "spectrum"  # in table tails
SMALLEST = 1e-5  # eigenvalues up to here are left out, whatever the scale of the layer is
MINIMUM = 8  # eigenvalues
FEW = 20  # with fewer eigenvalues the fit is corrected for its bias; its tail then has at least MINIMUM of them
_NORMAL = 1.959964  # quantile for 95%


@dataclass(frozen=True)
class PowerLaw:
    """A power law that is fitted to the largest of several values.

    Parameters
    ----------
    alpha : float
        Exponent of the density, above 1.
    error : float
        Its standard error if the values were independent: (alpha - 1)/sqrt(tail).
    xmin : float
        Where the power law begins.
    distance : float
        Kolmogorov-Smirnov distance of the values from xmin on to the power law.
    tail : int
        Number of these values.
    """

    alpha: float
    error: float
    xmin: float
    distance: float
    tail: int


def eigenvalues(weight: Array) -> Floats:
    """Compute the eigenvalues of W^T W whose spectrum is fitted.

    A convolution is a matrix (out, in) for each place of its kernel, as in WeightWatcher's default mode ``pool=True``: the
    eigenvalues of all of them are taken together. They are halved, as its ``conv2d_norm`` does.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer, (out, in) or (out, in, *kernel). It is not centred.

    Returns
    -------
    numpy.ndarray
        Eigenvalues, ascending, float64 (min(out, in) * kernel size,).

    Examples
    --------
    >>> eigenvalues(np.diag([3.0, 1.0, 2.0])).round(9)
    array([1., 4., 9.])
    """
    xp = array_namespace(weight)
    places = xp.moveaxis(weight.reshape(*weight.shape[:2], -1), -1, 0)  # (kernel size, out, in)
    matrices = xp.astype(places, xp.float64)
    across = xp.matrix_transpose(matrices)
    squares = matrices @ across if weight.shape[0] <= weight.shape[1] else across @ matrices
    found = arrays.host(xp.linalg.eigvalsh(squares)).ravel()
    return np.sort(found) / (1 if weight.ndim == 2 else 2)


def fit(values: Floats) -> PowerLaw:
    """Fit a power law to the largest values, from the one on that gives the smallest Kolmogorov-Smirnov distance.

    Parameters
    ----------
    values : numpy.ndarray
        Positive values, (n,).

    Returns
    -------
    PowerLaw
        The fit by maximum likelihood (Clauset, Shalizi and Newman 2009). With fewer than ``FEW`` values its exponent is
        corrected for bias, and at least ``MINIMUM`` of them are fitted.

    Raises
    ------
    ValueError
        For fewer than ``MINIMUM`` values, or if they are all equal.

    Examples
    --------
    >>> found = fit(np.random.default_rng(0).pareto(1.5, 5000) + 1)  # a density with the exponent 2.5
    >>> round(found.alpha, 2), round(found.error, 2)
    (2.47, 0.02)
    """
    logs = np.log(np.sort(values))
    if len(logs) < MINIMUM:
        raise ValueError(f"{len(logs)} eigenvalues above {SMALLEST:g}: a power law needs {MINIMUM}")
    few, best = len(logs) < FEW, None
    places = np.arange(len(logs), dtype=np.float64)
    for start in range(len(logs) - (MINIMUM if few else 2) + 1):
        excess = logs[start:] - logs[start]
        tail, total = len(excess), excess.sum()
        if total <= 0:  # equal values
            continue
        slope = (tail - few) / total
        distance = float(np.abs(1 - np.exp(-slope * excess) - places[:tail] / tail).max())
        if best is None or distance < best.distance:
            alpha, error = 1 + slope, slope / np.sqrt(tail)
            best = PowerLaw(float(alpha), float(error), float(np.exp(logs[start])), distance, tail)
    if best is None:
        raise ValueError("the eigenvalues are all equal: they follow no power law")
    return best


def row(weight: Array) -> Row:
    """Make the row of a layer: the exponent, and a nominal interval of 95%.

    Eigenvalues repel each other and xmin is chosen from them, so the interval is only a measure of the fit.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer, (out, in) or (out, in, *kernel).

    Returns
    -------
    dict
        Columns of table ``tails``: those that it has values for.

    Examples
    --------
    >>> found = row(np.random.default_rng(0).standard_normal((128, 64)))
    >>> found["observations"], round(found["alpha"], 1)
    (64, 5.2)
    """
    xp = array_namespace(weight)
    if not bool(xp.all(xp.isfinite(weight))):
        return {"estimator": NAME, "observations": 0, "dimension": 1, "reason": "weights are not finite"}
    values = eigenvalues(weight)
    # Zeros come out of the arithmetic as numbers of the second size.
    values = values[values > max(SMALLEST, np.finfo(np.float64).eps * len(values) * values[-1])]
    common = {"estimator": NAME, "observations": len(values), "dimension": 1}
    try:
        found = fit(values)
    except ValueError as error:
        return common | {"reason": str(error)}
    reach = _NORMAL * found.error
    return common | {"alpha": found.alpha, "alpha_low": found.alpha - reach, "alpha_high": found.alpha + reach}
