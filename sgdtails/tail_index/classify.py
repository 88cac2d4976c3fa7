"""The tail class of a layer, from its K1 profile: stable-like, finite-variance-like, scale-mixture-like or undecided.

Stable data has one tail index at every block length; finite-variance data drifts to 2. Two slopes of mean log||Y||
against log K1 tell them apart. The near slope goes from single observations to blocks of length a, the far slope from there
to blocks of length b; no spread of the observations' norms can move the far slope away from 1/2. Both are taken of the
layer's rows and of its single entries, in random order with random signs (``uncertainty``).

The table of classes is called ``readings``, and its column ``reading`` holds the label.
"""

import math
from dataclasses import dataclass

import numpy as np

from sgdtails import layers
from sgdtails.arrays import Array, Row, array_namespace
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index import uncertainty
from sgdtails.tail_index.permutations import permuted

LABELS = ("stable-like", "finite-variance-like", "scale-mixture-like", "undecided")
FEWEST_BLOCKS = 32  # of length b: fewer do not show their own spread
LIGHT = 1.9  # a far slope is light if its interval contains 1/2 and excludes tail indices up to this one
DISPERSED = 3.0  # standard errors between the spread of log row norms and that of shuffled entries
_COLUMNS = ("near", "near_low", "near_high", "far", "far_low", "far_high", "drift_low", "drift_high", "a", "b")
NOTHING: Row = {
    "reading": "undecided",
    **dict.fromkeys(("log_norm_dispersion", "shuffled_dispersion", "dispersed", "reason")),
    **dict.fromkeys(f"{sample}_{column}" for sample in ("rows", "entries") for column in _COLUMNS),
}
"""The columns of a layer that no estimate can be made of."""


@dataclass(frozen=True)
class Slopes:
    """Near and far slopes of a sample, and their difference.

    Parameters
    ----------
    near, far : tuple of float
        Each slope as 1/alpha, and the ends of its 95% interval.
    drift : tuple of float
        Near less far slope, and the ends of its 95% interval.
    lengths : tuple of int
        The block lengths a and b.
    """

    near: tuple[float, float, float]
    far: tuple[float, float, float]
    drift: tuple[float, float, float]
    lengths: tuple[int, int]

    @property
    def label(self) -> str:
        """``stable``: far slope above 1/2 and no drift; ``finite``: far slope at 1/2; else ``undecided``."""
        _, low, high = self.far
        flat = self.drift[1] <= 0 <= self.drift[2]
        if low > 1 / tail_index.CLIP and flat:
            return "stable"
        if low <= 1 / tail_index.CLIP and high < 1 / LIGHT:
            return "finite"
        return "undecided"


def slope_lengths(n: int) -> tuple[int, int] | None:
    """Choose the block lengths a and b of the slopes for n observations.

    b is the longest that leaves sqrt(n) blocks, and 32 at least; a is the one nearest to the root of b. Fewer blocks would
    decide little; more, and so shorter ones, would stop short of the limit of finite variance.

    Parameters
    ----------
    n : int
        Number of observations.

    Returns
    -------
    tuple of int or None
        a and b with 1 < a < b, where a divides b and b divides n; None if there are none.

    Examples
    --------
    >>> slope_lengths(2048)
    (4, 32)
    >>> slope_lengths(2053) is None  # a prime
    True
    """
    blocks = max(FEWEST_BLOCKS, math.isqrt(n))
    for far in reversed([k for k in tail_index.divisors(n) if n // k >= blocks]):
        near = [k for k in tail_index.divisors(far) if 1 < k < far]
        if near:
            return min(near, key=lambda k: abs(math.log(k * k / far))), far
    return None


def slopes(sample: Array, *, rng: np.random.Generator) -> Slopes | None:
    """Estimate the near and far slopes of a sample.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Centred observations, (N, d) or (N,).
    rng : numpy.random.Generator
        Source of the random order and signs.

    Returns
    -------
    Slopes or None
        None if the observations are too few, or a prime number of them.

    Raises
    ------
    ValueError
        If the sample has no tail index (``mmo.log_norms``).

    Examples
    --------
    >>> from sgdtails.stable import sampling
    >>> heavy = sampling.sample(1.5, (4096, 3), rng=np.random.default_rng(0))
    >>> slopes(heavy, rng=np.random.default_rng(1)).label
    'stable'
    """
    chosen = slope_lengths(len(sample))
    if chosen is None:
        return None
    a, b = chosen
    near, whole = tail_index.block_contrasts(uncertainty.signed_permutation(sample, rng=rng), [a, b])
    (near,) = tail_index.block_sums(near, [b // a])
    near /= b // a
    far = (whole * math.log(b) - near * math.log(a)) / math.log(b / a)
    of_near, of_far, drift = (uncertainty.mean_interval(each) for each in (near, far, near - far))
    return Slopes(of_near, of_far, drift, (a, b))


def dispersion(sample: Array) -> tuple[float, float]:
    """Compute how much the log norms of observations spread.

    Parameters
    ----------
    sample : numpy.ndarray or torch.Tensor
        Observations, (N, d).

    Returns
    -------
    spread : float
        Standard deviation of the log norms.
    error : float
        Its standard error.

    Raises
    ------
    ValueError
        If more than half of the observations are zero, or one is not finite.

    Examples
    --------
    >>> dispersion(np.array([[3.0, 4.0], [0.0, -5.0]]))
    (0.0, 0.0)
    """
    logs = tail_index.log_norms(sample)
    xp = array_namespace(logs)
    logs = xp.astype(logs, xp.float64)
    deviations = (logs - logs.mean()) ** 2
    spread = math.sqrt(float(deviations.mean()))
    return spread, float(xp.std(deviations)) / (2 * spread * math.sqrt(len(logs))) if spread > 0 else 0.0


def label(rows: Slopes | None, entries: Slopes | None, *, dispersed: bool) -> str:
    """Combine the slopes of a layer's rows and entries into its tail class.

    Rows of equal size: stable-like if one of the slopes is stable and none finite; finite-variance-like if one is finite
    and none stable. Dispersed rows are a heavy tail of the rows, not of the weights, unless the entries are stable too;
    they are scale-mixture-like if they drift, or are finite, while the entries are not stable.

    Parameters
    ----------
    rows, entries : Slopes or None
        Slopes of both samples; None where a sample has none.
    dispersed : bool
        True if the rows differ in size by more than chance (``classify_samples``).

    Returns
    -------
    str
        One of ``LABELS``.

    Examples
    --------
    >>> flat = Slopes((0.6, 0.58, 0.62), (0.6, 0.58, 0.62), (0.0, -0.01, 0.01), (4, 32))
    >>> label(flat, None, dispersed=False), label(flat, None, dispersed=True)
    ('stable-like', 'undecided')
    """
    of_rows, of_entries = (slope.label if slope else "undecided" for slope in (rows, entries))
    if dispersed:
        if of_entries == "stable" and of_rows != "finite":
            return "stable-like"
        drifts = of_rows == "finite" or (rows is not None and rows.drift[1] > 0)
        return "scale-mixture-like" if drifts and of_entries != "stable" else "undecided"
    labels = {of_rows, of_entries}
    if "stable" in labels and "finite" not in labels:
        return "stable-like"
    return "finite-variance-like" if "finite" in labels and "stable" not in labels else "undecided"


def centred_samples(weight: Array, *, head: bool, centring: str = "median") -> tuple[Array, Array]:
    """Cut a layer into the two samples that its class is made from.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer, (out, in) or (out, in, *kernel).
    head : bool
        True for the last layer, whose observations are its columns.
    centring : {"median", "mean", "none"}
        What is subtracted from the observations.

    Returns
    -------
    rows : numpy.ndarray or torch.Tensor
        Centred rows or kernels, (N, d), in single precision.
    entries : numpy.ndarray or torch.Tensor
        Centred entries, (N*d,), in single precision.

    Raises
    ------
    InputError
        For an unknown centring.

    Examples
    --------
    >>> rows, entries = centred_samples(np.ones((10, 20)), head=True)
    >>> rows.shape, entries.shape
    ((20, 10), (200,))
    """
    return (
        layers.centre(layers.observations(weight, "multivariate", head=head), np.float32, centring),
        layers.centre(layers.observations(weight, "univariate"), np.float32, centring),
    )


def classify_layer(weight: Array, *, head: bool, rng: np.random.Generator, centring: str = "median") -> Row:
    """Classify a layer by its weights.

    Parameters
    ----------
    weight : numpy.ndarray or torch.Tensor
        A layer, (out, in) or (out, in, *kernel).
    head : bool
        True for the last layer, whose observations are its columns.
    rng : numpy.random.Generator
        Source of random orders and signs.
    centring : {"median", "mean", "none"}
        What is subtracted from the observations.

    Returns
    -------
    dict
        As from ``classify_samples``.

    Raises
    ------
    ValueError
        For a layer without a tail index: its weights are all equal, or not all finite.
    InputError
        For an unknown centring.

    Examples
    --------
    >>> from sgdtails.stable import sampling
    >>> layer = sampling.sample(1.5, (512, 128), rng=np.random.default_rng(0))
    >>> classify_layer(layer, head=False, rng=np.random.default_rng(1))["reading"]
    'stable-like'
    """
    return classify_samples(*centred_samples(weight, head=head, centring=centring), rng=rng)


def classify_samples(rows: Array, entries: Array, *, rng: np.random.Generator) -> Row:
    """Classify a layer by its centred rows and entries.

    Its rows count as dispersed if their log norms spread by more than three standard errors beyond those of its shuffled
    entries.

    Parameters
    ----------
    rows : numpy.ndarray or torch.Tensor
        Centred rows or kernels, (N, d).
    entries : numpy.ndarray or torch.Tensor
        Centred entries, (N*d,).
    rng : numpy.random.Generator
        Source of random orders and signs.

    Returns
    -------
    dict
        The columns of table ``readings``, without run, weights and layer; ``reading`` is one of ``LABELS``.

    Raises
    ------
    ValueError
        For a layer without a tail index: its weights are all equal, or not all finite.

    Examples
    --------
    >>> normal = np.random.default_rng(0).standard_normal((256, 64))
    >>> found = classify_samples(normal, normal.ravel(), rng=np.random.default_rng(1))
    >>> found["reading"], found["dispersed"]
    ('finite-variance-like', False)
    """
    of_rows, of_entries = slopes(rows, rng=rng), slopes(entries, rng=rng)
    spread, error = dispersion(rows)
    shuffled, shuffled_error = dispersion(permuted(rows.reshape(-1), rng).reshape(rows.shape))
    dispersed = spread - shuffled > DISPERSED * math.hypot(error, shuffled_error)
    result: Row = {
        "reading": label(of_rows, of_entries, dispersed=dispersed),
        "log_norm_dispersion": spread,
        "shuffled_dispersion": shuffled,
        "dispersed": dispersed,
    }
    for name, found in (("rows", of_rows), ("entries", of_entries)):
        if found:
            values = (*found.near, *found.far, *found.drift[1:], *found.lengths)
            result |= dict(zip((f"{name}_{column}" for column in _COLUMNS), values, strict=True))
    short = [f"{len(rows)} rows"] * (of_rows is None) + [f"{len(entries)} entries"] * (of_entries is None)
    if short:
        result["reason"] = f"no two block lengths for {' and '.join(short)}"
    return NOTHING | result
