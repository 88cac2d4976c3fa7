"""The tail index of one array of weights, for use from Python: one call, one result that can be drawn."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sgdtails import layers
from sgdtails.arrays import is_torch_array
from sgdtails.audit.layer import label
from sgdtails.errors import InputError, unknown
from sgdtails.tail_index import layer_tails
from sgdtails.tail_index.block_estimates import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

GAUSSIAN = 2.0  # the tail index of light tails


class Profile(NamedTuple):
    """Estimates of the tail index by block length, ascending: four arrays (number of block lengths,)."""

    k1: NDArray[np.int64]
    alpha: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TailEstimate:
    """The tail index of an array of weights; ``tail_index.estimate`` makes it.

    Attributes
    ----------
    alpha : float
        Tail index, not clipped: the median over block lengths of the mean over random orders with random signs. 2 is a
        light tail, less a heavier one; infinite where the sums of blocks do not grow.
    low, high : float
        Ends of its 95% interval.
    published : float
        The paper's value: the median over random orders of the median over block lengths, clipped at 2.
    label : str or None
        What the profile looks like, by majority of five permutations: ``stable-like``, ``finite-variance-like``,
        ``scale-mixture-like`` or ``undecided``. None for a one-dimensional sample.
    observations, dimension : int
        Number of observations N, and of values in each.
    interval_holds : bool
        Whether the interval is known to cover about as often as it says: not so for 100 values and more in each
        observation where it reaches above 1.8.
    profile : Profile
        ``k1``, ``alpha``, ``low`` and ``high`` by block length.
    """

    alpha: float
    low: float
    high: float
    published: float
    label: str | None
    observations: int
    dimension: int
    interval_holds: bool
    profile: Profile = field(repr=False)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the profile: tail index against block length with its 95% interval, and the estimate as a line.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; without it, on new axes of pyplot. Colours and type are those of the current style.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.
        """
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots()[1]
        k1, alpha, low, high = self.profile
        (line,) = ax.plot(k1, alpha, "o-", label="by block length")
        colour = line.get_color()
        ax.fill_between(k1, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.axhline(self.alpha, color=colour, linestyle="--", label=rf"$\hat\alpha$ = {self.alpha:.2f}")
        ax.axhline(GAUSSIAN, color="grey", linestyle=":")
        ax.set(xscale="log", xlabel="block length $K_1$", ylabel=r"tail index $\hat\alpha$")
        ax.set_xticks(k1, [f"{length}" for length in k1])
        ax.set_xticks([], minor=True)
        ax.legend()
        return ax


def estimate(
    weights: "ArrayLike | Tensor",
    *,
    head: bool = False,
    centring: str = "median",
    orders: int = 5,
    seed: int = 0,
) -> TailEstimate:
    """Estimate the tail index of a layer's weights, or of a sample of numbers.

    The array is cut into observations as the paper does, which are centred, put into random order with random signs,
    and added up in blocks of K1: the tail index tells how the sums grow with K1 [1]_, [2]_.

    Parameters
    ----------
    weights : array_like or torch.Tensor
        ``(out, in)`` of a linear layer: each row is an observation. ``(out, in, *kernel)`` of a convolution: each
        kernel is one. ``(N,)``: a sample of numbers; give ``weights.ravel()`` for the single entries of a layer. Any
        real type, on any device; the work is done on the CPU in single precision. It is not changed.
    head : bool
        Whether the layer is the network's last linear one, whose columns are the observations.
    centring : {"median", "mean", "none"}
        What is subtracted from the observations: the median of each of their values, the mean, or nothing.
    orders : int
        Number of random orders, positive. The time is proportional to it.
    seed : int
        Seed of the orders, not negative. The same seed gives the same result.

    Returns
    -------
    TailEstimate
        ``alpha`` with the interval ``low``, ``high``; the value as published, the profile and the tail class.

    Raises
    ------
    InputError
        If the array is empty or not of real numbers, has no tail index (values that are all equal or not all finite) or
        no block lengths (fewer than four observations, or a prime number of them), or if an argument is out of range. It
        is a ``ValueError``.

    References
    ----------
    .. [1] Mohammadi, Mohammadpour, Ogata. On estimating the tail index and the spectral measure of multivariate
       alpha-stable distributions. Metrika 78, 2015.
    .. [2] Barsbey, Sefidgaran, Erdogdu, Richard, Şimşekli. Heavy Tails in SGD and Compressibility of Overparametrized
       Neural Networks. NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> import sgdtails
    >>> weights = np.random.default_rng(0).standard_cauchy((200, 50))
    >>> found = sgdtails.tail_index.estimate(weights)
    >>> round(found.alpha, 2), round(found.low, 2), round(found.high, 2), found.label
    (1.07, 0.84, 1.26, 'stable-like')
    """
    array = as_array(weights)
    sample = array.ndim == 1
    if centring not in layers.CENTRINGS:
        raise unknown("centring", centring, "tail_index.estimate", layers.CENTRINGS)
    if orders < 1 or seed < 0:
        raise InputError(f"orders = {orders} must be 1 or more, and seed = {seed} not negative.")
    settings = Settings(centring=centring, permutations=orders, orders=orders, robustness=False)
    # The entries of a layer of one row are the sample itself.
    layer = array.reshape(1, -1) if sample else array
    *single, whole = _rows(layer, "mmo_univariate" if sample else "mmo_multivariate", head, settings, seed)
    if whole["alpha"] is None:
        raise InputError(f"the weights of shape {array.shape} have no tail index: {whole['reason']}.")
    return TailEstimate(
        alpha=whole["alpha"],
        low=whole["alpha_low"],
        high=whole["alpha_high"],
        published=whole["alpha_published"],
        label=None if sample else _label(array, head, centring, seed),
        observations=whole["observations"],
        dimension=whole["dimension"],
        interval_holds=whole["interval_holds"],
        profile=Profile(
            *(np.array([row[key] for row in single]) for key in ("k1", "alpha", "alpha_low", "alpha_high"))
        ),
    )


def as_array(weights: Any) -> NDArray[np.float32]:
    """Weights of numpy, torch or Python as an array in single precision: where possible the same memory.

    InputError for anything but real numbers in one or more dimensions.
    """
    if is_torch_array(weights):
        real = weights.detach() if weights.is_complex() else weights.detach().float()  # numpy has no bfloat16
        weights = real.cpu().numpy()
    array = np.asarray(weights)
    if array.dtype.kind not in "fiu" or not array.ndim or not array.size:
        raise InputError(
            f"a tail index is of real numbers in one or more dimensions, not of {array.dtype} of shape {array.shape}; "
            "give a layer's weights or a sample."
        )
    return array.astype(np.float32, copy=False)


def _rows(
    layer: NDArray[np.float32], estimator: str, head: bool, settings: Settings, seed: int
) -> list[dict[str, Any]]:
    """Rows of one estimator as in table ``tails``, the aggregate last. It comes before its rivals, which are not asked."""
    found: list[dict[str, Any]] = []
    for row in layer_tails.of_layer(layer, seed=[seed], head=head, settings=settings):
        if row["estimator"] == estimator:
            found.append(row)
        elif found:
            break
    return found


def _label(array: NDArray[np.float32], head: bool, centring: str, seed: int) -> str:
    # Unlike classify.centred_samples this takes entries row by row in a head too, as audits do, so that both draw alike.
    rows = np.ascontiguousarray(layers.observations(array, "multivariate", head=head))
    rows, entries = (layers.centre(sample, np.float32, centring) for sample in (rows, rows.reshape(-1)))
    found: str = label.majority(label.votes(rows, entries, [seed]))["reading"]
    return found
