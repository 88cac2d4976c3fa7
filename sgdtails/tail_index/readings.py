"""What a layer's K1 profile looks like, in one word.

Stable data has one tail index at every block length; finite-variance data drifts to 2. Two slopes of mean log||Y||
against log K1 tell them apart: the near one, from single observations to blocks of length a, and the far one, from
there to blocks of length b, whose distance from 1/2 no spread of the observations' norms explains. They are taken of
the layer's rows and of its single entries, in random order with random signs (``uncertainty``).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sgdtails import layers
from sgdtails.arrays import array_namespace
from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index import uncertainty
from sgdtails.tail_index.permutations import permuted

WORDS = ("stable-like", "finite-variance-like", "scale-mixture-like", "undecided")
FEWEST_BLOCKS = 32  # of length b: fewer don't know their own spread
LIGHT = 1.9  # a far slope is called light if its interval contains 2 and excludes tail indices up to this one
DISPERSED = 3.0  # standard errors between the spread of log row norms and that of shuffled entries
_COLUMNS = ("near", "near_low", "near_high", "far", "far_low", "far_high", "drift_low", "drift_high", "a", "b")
NOTHING: dict[str, Any] = {
    "reading": "undecided",
    **dict.fromkeys(("log_norm_dispersion", "shuffled_dispersion", "dispersed", "reason")),
    **dict.fromkeys(f"{sample}_{column}" for sample in ("rows", "entries") for column in _COLUMNS),
}


@dataclass(frozen=True)
class Slopes:
    """Near and far slopes as 1/alpha, each with the ends of a 95% interval, and of their difference."""

    near: tuple[float, float, float]
    far: tuple[float, float, float]
    drift: tuple[float, float, float]  # near - far
    lengths: tuple[int, int]  # a, b

    @property
    def word(self) -> str:
        """stable: far slope above 1/2 and no drift; finite: far slope at 1/2; else undecided."""
        _, low, high = self.far
        flat = self.drift[1] <= 0 <= self.drift[2]
        if low > 1 / tail_index.CLIP and flat:
            return "stable"
        if low <= 1 / tail_index.CLIP and high < 1 / LIGHT:
            return "finite"
        return "undecided"


def lengths(n: int) -> tuple[int, int] | None:
    """Block lengths a and b for n observations: b is the longest that leaves sqrt(n) blocks, 32 at least; a is near its root.

    Fewer blocks would decide little, more would stop short of the limit of finite variance. None if no b > a > 1 divides n.
    """
    blocks = max(FEWEST_BLOCKS, math.isqrt(n))
    for far in reversed([k for k in tail_index.divisors(n) if n // k >= blocks]):
        near = [k for k in tail_index.divisors(far) if 1 < k < far]
        if near:
            return min(near, key=lambda k: abs(math.log(k * k / far))), far
    return None


def slopes(sample: Any, *, rng: np.random.Generator) -> Slopes | None:
    """Slopes of a centred sample (N, d) or (N,), of numpy or torch; None if it is too small, or a prime number of observations."""
    chosen = lengths(len(sample))
    if chosen is None:
        return None
    a, b = chosen
    near, whole = tail_index.block_contrasts(uncertainty.signed_permutation(sample, rng=rng), [a, b])
    (near,) = tail_index.block_sums(near, [b // a])
    near /= b // a
    far = (whole * math.log(b) - near * math.log(a)) / math.log(b / a)
    of_near, of_far, drift = (uncertainty.mean_interval(each) for each in (near, far, near - far))
    return Slopes(of_near, of_far, drift, (a, b))


def dispersion(sample: Any) -> tuple[float, float]:
    """Standard deviation of the log norms of (N, d) and its standard error."""
    logs = tail_index.log_norms(sample)
    xp = array_namespace(logs)
    logs = xp.astype(logs, xp.float64)
    deviations = (logs - logs.mean()) ** 2
    spread = math.sqrt(float(deviations.mean()))
    return spread, float(xp.std(deviations)) / (2 * spread * math.sqrt(len(logs))) if spread > 0 else 0.0


def word(rows: Slopes | None, entries: Slopes | None, *, dispersed: bool) -> str:
    """The reading of a layer from the slopes of its rows and of its entries; ``dispersed``: see ``of_layer``.

    Rows of equal size: stable-like if one of the slopes is stable and none finite; finite-variance-like if one is finite
    and none stable. Dispersed rows are a heavy tail of the rows, not of the weights, unless the entries are stable too;
    they are scale-mixture-like if they drift, or are finite, while the entries are not stable.
    """
    of_rows, of_entries = (slope.word if slope else "undecided" for slope in (rows, entries))
    if dispersed:
        if of_entries == "stable" and of_rows != "finite":
            return "stable-like"
        drifts = of_rows == "finite" or (rows is not None and rows.drift[1] > 0)
        return "scale-mixture-like" if drifts and of_entries != "stable" else "undecided"
    words = {of_rows, of_entries}
    if "stable" in words and "finite" not in words:
        return "stable-like"
    return "finite-variance-like" if "finite" in words and "stable" not in words else "undecided"


def samples(weight: Any, *, head: bool, centring: str = "median") -> tuple[Any, Any]:
    """The centred rows and entries of a layer that a reading is made from."""
    return (
        layers.centre(layers.observations(weight, "multivariate", head=head), np.float32, centring),
        layers.centre(layers.observations(weight, "univariate"), np.float32, centring),
    )


def of_layer(weight: Any, *, head: bool, rng: np.random.Generator, centring: str = "median") -> dict[str, Any]:
    """``of_samples`` of a weight array of a layer, of numpy or torch."""
    return of_samples(*samples(weight, head=head, centring=centring), rng=rng)


def of_samples(rows_sample: Any, entries_sample: Any, *, rng: np.random.Generator) -> dict[str, Any]:
    """The columns of table ``readings`` less run, weights and layer, from a layer's centred rows and entries.

    Its rows count as dispersed if their log norms spread by more than three standard errors beyond those of its shuffled
    entries. ValueError for a layer without a tail index: all equal, or not finite.
    """
    rows, entries = slopes(rows_sample, rng=rng), slopes(entries_sample, rng=rng)
    spread, error = dispersion(rows_sample)
    shuffled, shuffled_error = dispersion(permuted(rows_sample.reshape(-1), rng).reshape(rows_sample.shape))
    dispersed = spread - shuffled > DISPERSED * math.hypot(error, shuffled_error)
    result: dict[str, Any] = {
        "reading": word(rows, entries, dispersed=dispersed),
        "log_norm_dispersion": spread,
        "shuffled_dispersion": shuffled,
        "dispersed": dispersed,
    }
    for name, found in (("rows", rows), ("entries", entries)):
        if found:
            values = (*found.near, *found.far, *found.drift[1:], *found.lengths)
            result |= dict(zip((f"{name}_{column}" for column in _COLUMNS), values, strict=True))
    short = [f"{len(rows_sample)} rows"] * (rows is None) + [f"{len(entries_sample)} entries"] * (entries is None)
    if short:
        result["reason"] = f"no two block lengths for {' and '.join(short)}"
    return NOTHING | result
