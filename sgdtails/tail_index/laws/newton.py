"""Newton's method for a smooth loss of one or two parameters, with differences in place of derivatives."""

from collections.abc import Callable

import numpy as np

from sgdtails.arrays import Floats

STEP = 1e-3  # of the differences
_LONGEST = 1.0  # step of a parameter
_ITERATIONS = 60
_HALVINGS = 12


def derivatives(loss: Callable[[Floats], float], at: Floats, value: float) -> tuple[Floats, Floats]:
    """Compute gradient and Hessian by central differences.

    Parameters
    ----------
    loss : callable
        Function of the parameters, (k,).
    at : numpy.ndarray
        Parameters, (k,).
    value : float
        Loss there.

    Returns
    -------
    gradient : numpy.ndarray
        (k,).
    hessian : numpy.ndarray
        (k, k).

    Examples
    --------
    >>> gradient, hessian = derivatives(lambda p: float(p[0] ** 2 + p[0] * p[1]), np.ones(2), 2.0)
    >>> gradient.round(6), hessian.round(6)
    (array([3., 1.]), array([[2., 1.],
           [1., 0.]]))
    """
    steps = np.eye(len(at)) * STEP
    above, below = (np.array([loss(at + sign * step) for step in steps]) for sign in (1, -1))
    hessian = np.diag((above - 2 * value + below) / STEP**2)
    for i in range(1, len(at)):
        for j in range(i):
            both = loss(at + steps[i] + steps[j]) + loss(at - steps[i] - steps[j])
            single = above[i] + below[i] + above[j] + below[j]
            hessian[i, j] = hessian[j, i] = (both + 2 * value - single) / (2 * STEP**2)
    return (above - below) / (2 * STEP), hessian


def minimise(loss: Callable[[Floats], float], start: Floats, low: Floats, high: Floats, precise: float) -> Floats:
    """Minimise a loss between bounds.

    A parameter that lies on a bound, and would leave it, is held there.

    Parameters
    ----------
    loss : callable
        Function of the parameters, (k,), k = 1 or 2.
    start : numpy.ndarray
        First parameters, (k,).
    low, high : numpy.ndarray
        Bounds, (k,); the loss is only asked for between them.
    precise : float
        The search ends when the next step would lower the loss by less.

    Returns
    -------
    numpy.ndarray
        Parameters, (k,).

    Examples
    --------
    >>> bounds = np.array([-5.0, -5.0]), np.array([5.0, 1.0])
    >>> minimise(lambda p: float((p[0] - p[1]) ** 2 + (p[1] - 2) ** 2), np.zeros(2), *bounds, 1e-12).round(6)
    array([1., 1.])
    """
    at = np.clip(np.asarray(start, dtype=float), low, high)
    value = loss(at)
    for _ in range(_ITERATIONS):
        centre = np.clip(at, low + STEP, high - STEP)
        gradient, hessian = derivatives(loss, centre, value if (centre == at).all() else loss(centre))
        gradient = gradient + hessian @ (at - centre)
        free = ~(((at <= low) & (gradient > 0)) | ((at >= high) & (gradient < 0)))
        step = np.zeros(len(at))
        step[free] = _step(gradient[free], hessian[np.ix_(free, free)])
        if -gradient @ step / 2 < precise:
            break
        for _ in range(_HALVINGS):
            new = np.clip(at + step, low, high)
            if (lower := loss(new)) < value:
                break
            step = step / 2
        else:
            break
        at, value = new, lower
    return np.asarray(at)


def _step(gradient: Floats, hessian: Floats) -> Floats:
    """Make Newton's step, downhill where the loss is not convex, and not too long."""
    values, vectors = np.linalg.eigh(hessian)
    sizes = np.maximum(np.abs(values), 1e-10)
    step = -vectors @ ((vectors.T @ gradient) / sizes)
    longest = float(np.abs(step).max(initial=0.0))
    return np.asarray(step * min(1.0, _LONGEST / longest) if longest > 0 else step)
