"""Does y rise with x up to a turning point and fall beyond it? The two-lines test (Simonsohn 2018).

A quadratic fit calls relations that only flatten out a peak. Here a line is fitted on either side of a turning point, and both
slopes must have their sign. The turning point is Simonsohn's: among the points where a smooth fit is flat, where the less certain of
the two lines gets more of them (his "Robin Hood"). The smooth fit is a cubic.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
SHAPES = {"peak": (1.0, -1.0), "valley": (-1.0, 1.0)}  # signs of the slopes before and beyond the turning point
_TINY = 1e-9


@dataclass(frozen=True)
class Line:
    """Hold a line's slope, its standard error and the degrees of freedom of Student's t."""

    slope: float
    error: float
    degrees: int

    @property
    def p(self) -> float:
        """The two-sided p-value of no slope."""
        from scipy.special import stdtr

        if not self.error:
            return float(self.slope == 0)
        return float(2 * stdtr(self.degrees, -abs(self.slope) / self.error))

    def end(self, level: float) -> float:
        """Return the upper end of the slope's two-sided interval at a level."""
        from scipy.special import stdtrit

        return self.slope + float(stdtrit(self.degrees, (1 + level) / 2)) * self.error


@dataclass(frozen=True)
class TwoLines:
    """Hold the lines before and beyond a turning point, turned so that both slopes are above 0 if the shape is the claimed one."""

    before: Line
    beyond: Line
    turn: float

    @property
    def effect(self) -> float:
        """The smaller of the two slopes: above 0 if both have the claimed sign."""
        return min(self.before.slope, self.beyond.slope)

    @property
    def p(self) -> float:
        """A two-sided p-value: the larger one for the claimed shape, else twice the smallest of a slope that is against it."""
        lines = (self.before, self.beyond)
        if self.effect > 0:
            return max(line.p for line in lines)
        return min(1.0, 2 * min(line.p for line in lines if line.slope <= 0))

    def interval(self, level: float) -> tuple[float, float]:
        """Return an interval for the smaller slope.

        It misses below only if the smaller slope's own lower end does, and above only if one of two upper ends does; so each upper
        end is at half of the error.
        """
        lines = (self.before, self.beyond)
        low = min(2 * line.slope - line.end(level) for line in lines)
        return low, min(line.end((1 + level) / 2) for line in lines)


def fit(x: Reals, y: Reals, *, shape: str, fewest: int) -> TwoLines | None:
    """Fit a line on either side of a turning point.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Points.
    shape : {"peak", "valley"}
        Whether y is claimed to rise and then to fall, or the reverse.
    fewest : int
        The fewest points on either side, at least 3.

    Returns
    -------
    TwoLines or None
        None if no turning point leaves as many points, of two values of x, on either side.

    Raises
    ------
    KeyError
        For another shape.

    Examples
    --------
    >>> found = fit(np.arange(12.0), -np.abs(np.arange(12.0) - 6), shape="peak", fewest=5)
    >>> round(found.before.slope, 9), round(found.beyond.slope, 9), found.turn
    (1.0, 1.0, 6.0)
    """
    first, second = SHAPES[shape]
    order = np.argsort(x, kind="stable")
    x, y = x[order], first * y[order]
    cuts = _cuts(x, fewest)
    if not len(cuts):
        return None
    flat = _flat(x, y, int(cuts[0]), int(cuts[-1]))
    middle = _cut(x, cuts, float(np.median(flat)))
    certain = [
        abs(line.slope) / max(line.error, _TINY)
        for line in (_line(x[:middle], y[:middle]), _line(x[middle:], y[middle:]))
    ]
    share = certain[1] / sum(certain) if sum(certain) else 0.5
    turn = float(np.quantile(flat, share))
    cut = _cut(x, cuts, turn)
    beyond = _line(x[cut:], y[cut:])
    turned = Line(first * second * beyond.slope, beyond.error, beyond.degrees)
    return TwoLines(_line(x[:cut], y[:cut]), turned, float(np.clip(turn, x[cut - 1], x[cut])))


def _cuts(x: Reals, fewest: int) -> NDArray[np.intp]:
    """Return the numbers of points before a turning point that can be, of ascending x."""
    places = np.arange(fewest, len(x) - fewest + 1)
    last, next_one = x[places - 1], x[places]
    found: NDArray[np.intp] = places[(x[0] < last) & (last < next_one) & (next_one < x[-1])]
    return found


def _flat(x: Reals, y: Reals, first: int, last: int) -> Reals:
    """Return the x, from the first to the last possible turning point, where a cubic is within its standard error of its maximum there."""
    scaled = (x - x.mean()) / np.ptp(x)
    basis, _ = np.linalg.qr(np.vander(scaled, min(4, len(np.unique(x)))))
    fitted = basis @ (basis.T @ y)
    degrees = max(len(x) - basis.shape[1], 1)
    error = np.sqrt((basis**2).sum(axis=1) * ((y - fitted) ** 2).sum() / degrees)
    inside = slice(first - 1, last + 1)
    near = fitted[inside] + error[inside] >= fitted[inside].max()
    found: Reals = x[inside][near]
    return found


def _cut(x: Reals, cuts: NDArray[np.intp], turn: float) -> int:
    """Return the possible number of points up to a turning point that is nearest to those up to ``turn``."""
    return int(cuts[np.argmin(np.abs(cuts - np.searchsorted(x, turn, side="right")))])


def _line(x: Reals, y: Reals) -> Line:
    """Fit by least squares. The error is the larger of the usual one and HC3, which allows for unequal variances."""
    n, centred = len(x), x - x.mean()
    square = float(centred @ centred)
    slope = float(centred @ y) / square
    rest = y - y.mean() - slope * centred
    usual = float(rest @ rest) / max(n - 2, 1) / square
    left = 1 - 1 / n - centred**2 / square  # 1 - leverage
    single = np.divide(rest, left, out=np.zeros_like(rest), where=left > _TINY)
    robust = float(((centred * single) ** 2).sum()) / square**2
    return Line(slope, math.sqrt(max(usual, robust)), max(n - 2, 1))
