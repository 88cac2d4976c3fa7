"""Ticks of logarithmic axes."""

import math

import matplotlib.ticker
from matplotlib.axis import Axis, XAxis

_LETTER = 0.037  # width of a letter of a tick's label, as a share of a narrow panel's
_LOG_STEPS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))  # ticks of a decade: the first that give three


def label_log(axis: Axis) -> None:
    """Put at least three ticks on a logarithmic axis, even on one without a power of ten.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        An axis whose data are drawn already.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> _ = axes.set(xscale="log", xlim=(0.0047, 0.021))
    >>> label_log(axes.xaxis)
    >>> axes.xaxis.get_ticklocs().tolist()
    [0.005, 0.01, 0.02]
    """
    low, high = axis.get_view_interval()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates = [[step * 10.0**decade for decade in decades for step in steps] for steps in _LOG_STEPS]
    candidates.append(list(matplotlib.ticker.MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high)))
    inside = [[tick for tick in ticks if low <= tick <= high] for ticks in candidates]
    if isinstance(axis, XAxis):  # labels lie beside each other
        inside = [_apart(ticks, low, high) for ticks in inside]
    axis.set_major_locator(
        matplotlib.ticker.FixedLocator(next((t for t in inside if len(t) >= 3), max(inside, key=len)))
    )
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _apart(ticks: list[float], low: float, high: float) -> list[float]:
    """Leave out ticks whose labels would touch that of the next one."""
    kept: list[float] = []
    for tick in reversed(ticks):
        room = _LETTER * (len(f"{tick:g}") + len(f"{kept[0]:g}")) / 2 if kept else 0.0
        if not kept or math.log(kept[0] / tick) >= room * math.log(high / low):
            kept.insert(0, tick)
    return kept
