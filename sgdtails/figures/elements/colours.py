"""Colour scales that keep the order of points visible: one for all panels, or one for each."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize

from sgdtails.figures import theme
from sgdtails.figures.plot import ColourScale

_HIDDEN = 0.4  # of a scale: a panel that uses less of it than this has a scale of its own
_FENCE = 3.0  # interquartile ranges from the quartiles: values farther out are drawn in the colour of the scale's end
_FEWEST = 8  # values of which some can be called outliers


def scales(
    values: Mapping[str, Sequence[float]], label: str, *, reverse: bool = False, logarithmic: bool = False
) -> dict[str, ColourScale]:
    """Make the colour scales of panels.

    All panels share one scale, so that they can be compared, unless the order within one of them would be hidden: then
    each has its own. Single values far from the others do not stretch a scale; arrows at its ends stand for them.

    Parameters
    ----------
    values : mapping of str to sequence of float
        The numbers that are shown as colours, by panel.
    label : str
        The quantity.
    reverse : bool
        True for dark colours of large numbers.
    logarithmic : bool
        Whether the scale is logarithmic.

    Returns
    -------
    dict
        ``ColourScale`` by panel: the same object for all, or a different one for each.

    Examples
    --------
    >>> shared = scales({"a": [1.8, 1.9], "b": [1.82, 1.9]}, "alpha")
    >>> shared["a"] is shared["b"]
    True
    >>> own = scales({"a": [1.2, 1.9], "b": [1.89, 1.9]}, "alpha")
    >>> own["b"].mappable.get_clim()
    (1.89, 1.9)
    """
    ends = {panel: _inner(numbers, logarithmic=logarithmic) for panel, numbers in values.items() if len(numbers)}
    if not ends:
        return {}
    low, high = min(end[0] for end in ends.values()), max(end[1] for end in ends.values())
    spans = [_span(*end, logarithmic=logarithmic) for end in ends.values() if end[1] > end[0]]
    if min(spans, default=0.0) >= _HIDDEN * _span(low, high, logarithmic=logarithmic):
        everything = [number for numbers in values.values() for number in numbers]
        return dict.fromkeys(ends, _scale(everything, low, high, label, reverse=reverse, logarithmic=logarithmic))
    return {
        panel: _scale(values[panel], *end, label, reverse=reverse, logarithmic=logarithmic)
        for panel, end in ends.items()
    }


def common(found: Mapping[str, ColourScale]) -> ColourScale | None:
    """Return the scale that all panels share, if they share one.

    Parameters
    ----------
    found : mapping of str to ColourScale
        Scales by panel, from ``scales``.

    Returns
    -------
    ColourScale or None
        That scale; None if panels have scales of their own, or there is none.

    Examples
    --------
    >>> common(scales({"a": [1.8, 1.9]}, "alpha")).label
    'alpha'
    """
    first = next(iter(found.values()), None)
    return first if all(scale is first for scale in found.values()) else None


def _inner(numbers: Sequence[float], *, logarithmic: bool) -> tuple[float, float]:
    """Find the smallest and the largest number that are no outliers (Tukey's far-out fences)."""
    given = np.asarray(numbers, dtype=float)
    placed = np.log(given) if logarithmic else given
    low, high = np.quantile(placed, [0.25, 0.75])
    fence = _FENCE * (high - low)
    inside = given[(placed >= low - fence) & (placed <= high + fence)] if len(given) >= _FEWEST and fence else given
    return float(inside.min()), float(inside.max())


def _span(low: float, high: float, *, logarithmic: bool) -> float:
    return float(np.log(high / low)) if logarithmic else high - low


def _scale(
    numbers: Sequence[float], low: float, high: float, label: str, *, reverse: bool, logarithmic: bool
) -> ColourScale:
    beyond = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
    extend = beyond[min(numbers) < low, max(numbers) > high]
    if low == high:
        low, high = (low / 1.1, high * 1.1) if logarithmic else (low - 0.01, high + 0.01)
    norm = LogNorm(low, high) if logarithmic else Normalize(low, high)
    colours = theme.colour_map()
    return ColourScale(
        ScalarMappable(norm, colours.reversed() if reverse else colours), label, logarithmic=logarithmic, extend=extend
    )
