"""How figures look: the workflow's own style, and sizes and colours that follow whatever style is set."""

import textwrap
from typing import Any

from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.rcsetup import cycler

COLUMN, PAGE = 3.35, 7.0  # inches: one column and both of a two-column page
ORANGE, BLUE, GREEN, GREY = "#E69F00", "#0072B2", "#009E73", "#555555"  # Okabe and Ito's colour-blind-safe set
_CYCLE = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00")
_SHAPES = "o^sDvP"
GAUSSIAN, UNIFORM = 0.2653, 0.2154  # pruning ratios of such samples at a relative l2 error of 0.1
KEPT, REMOVED = r"share kept $\kappa$", r"share removed $1-\kappa$"
RATIO = r"step size / batch size $\eta/b$"
STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "figure.labelsize": 8, "figure.titlesize": 8, "legend.fontsize": 7, "legend.title_fontsize": 7,
    "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.linewidth": 0.3, "grid.color": "#dddddd",
    "axes.prop_cycle": cycler(color=_CYCLE), "lines.linewidth": 1.0, "lines.markersize": 3.5,
    "pdf.fonttype": 42, "savefig.dpi": 300,
}  # fmt: skip
_DARK = 0.8  # share of viridis that can be seen on white: beyond it come pale greens and yellow


def font(points: float) -> float:
    """Convert a font size of the workflow's style to the style that is set.

    Parameters
    ----------
    points : float
        Size in points where ``font.size`` is 8.

    Returns
    -------
    float
        The size in points that has the same ratio to the ``font.size`` that is set.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context({"font.size": 16}):
    ...     font(7)
    14.0
    """
    return float(points * (rcParams["font.size"] / STYLE["font.size"]))


def line(points: float) -> float:
    """Convert a line width of the workflow's style to the style that is set.

    Parameters
    ----------
    points : float
        Width in points where ``lines.linewidth`` is 1.

    Returns
    -------
    float
        The width in points that has the same ratio to the ``lines.linewidth`` that is set.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context({"lines.linewidth": 3}):
    ...     line(0.5)
    1.5
    """
    return float(points * (rcParams["lines.linewidth"] / STYLE["lines.linewidth"]))


def marker(points: float) -> float:
    """Convert a marker size of the workflow's style to the style that is set.

    Parameters
    ----------
    points : float
        Size in points where ``lines.markersize`` is 3.5.

    Returns
    -------
    float
        The size in points that has the same ratio to the ``lines.markersize`` that is set.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context({"lines.markersize": 7}):
    ...     marker(2.5)
    5.0
    """
    return float(points * (rcParams["lines.markersize"] / STYLE["lines.markersize"]))


def scale() -> float:
    """Compare the type of the style that is set with the workflow's.

    Returns
    -------
    float
        The largest ratio of a size in points: of titles of panels, of labels of axes and of labels of figures.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context(STYLE | {"axes.titlesize": 12}):
    ...     scale()
    1.5
    """
    sizes = {
        "axes.titlesize": rcParams["axes.titlesize"],
        "axes.labelsize": rcParams["axes.labelsize"],
        "figure.labelsize": rcParams["figure.labelsize"],
    }
    return max(float(FontProperties(size=size).get_size_in_points() / STYLE[key]) for key, size in sizes.items())


def palette(count: int) -> list[str]:
    """Choose colours that differ.

    Parameters
    ----------
    count : int
        Number of colours.

    Returns
    -------
    list of str
        The first colours of the property cycle that is set; of ``colour_map`` if the cycle has fewer.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context(STYLE):
    ...     palette(2)
    ['#0072b2', '#e69f00']
    """
    cycle = list(dict.fromkeys(to_hex(entry["color"]) for entry in rcParams["axes.prop_cycle"] if "color" in entry))
    if count <= len(cycle):
        return cycle[:count]
    return [to_hex(colour_map()(number / max(1, count - 1))) for number in range(count)]


def colour_map() -> LinearSegmentedColormap:
    """Return the colours for numbers: viridis without its pale end, which is hard to see on white.

    Returns
    -------
    matplotlib.colors.LinearSegmentedColormap
        From dark violet for small numbers to green for large ones.

    Examples
    --------
    >>> to_hex(colour_map()(1.0))
    '#7ad151'
    """
    shades = [colormaps["viridis"](_DARK * step / 255) for step in range(256)]
    return LinearSegmentedColormap.from_list("viridis, dark", shades)


def markers() -> list[tuple[str, str]]:
    """Pair six marker shapes with six colours, so that all pairs differ.

    Returns
    -------
    list of (str, str)
        36 pairs of a marker and a colour; the first six differ in both.

    Examples
    --------
    >>> len(set(markers()))
    36
    """
    colours = palette(6)
    return [(shape, colours[(n + turn) % 6]) for turn in range(6) for n, shape in enumerate(_SHAPES)]


def grey() -> str:
    """Mix the colour of reference lines: two parts of the text's colour, one of the background's.

    Returns
    -------
    str
        The colour as a hexadecimal string.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context(STYLE):
    ...     grey() == GREY
    True
    """
    text, ground = to_rgb(rcParams["text.color"]), to_rgb(rcParams["axes.facecolor"])
    red, green, blue = ((2 * a + b) / 3 for a, b in zip(text, ground, strict=True))
    return to_hex((red, green, blue))


def foreground() -> str:
    """Return the colour of text, which differs from every colour of the palette.

    Returns
    -------
    str
        ``text.color`` as a hexadecimal string.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context({"text.color": "white"}):
    ...     foreground()
    '#ffffff'
    """
    return to_hex(rcParams["text.color"])


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that is as much larger than the workflow's as its titles and labels are.

    Parameters
    ----------
    width, height : float
        Inches in the workflow's style.

    Returns
    -------
    matplotlib.figure.Figure
        An empty figure with constrained layout, unknown to pyplot.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context(STYLE | {"axes.titlesize": 16}):
    ...     new_figure(3, 2).get_size_inches().tolist()
    [6.0, 4.0]
    """
    return Figure(figsize=(scale() * width, scale() * height), layout="constrained")


def escape_mathtext(text: str) -> str:
    r"""Escape dollar signs, between which matplotlib would read a formula.

    Parameters
    ----------
    text : str
        A name that a user chose.

    Returns
    -------
    str
        What matplotlib writes out as that name.

    Examples
    --------
    >>> print(escape_mathtext("w$1$"))
    w\$1\$
    """
    return text.replace("$", r"\$")


def shorten_left(name: str, longest: int) -> str:
    """Shorten a long name to its end, in which names of layers differ, and escape it.

    Parameters
    ----------
    name : str
        The name.
    longest : int
        Number of characters that it may have.

    Returns
    -------
    str
        The name, or an ellipsis and its last characters, as matplotlib writes it out.

    Examples
    --------
    >>> shorten_left("encoder.layers.0.out_proj", 12)
    '….0.out_proj'
    """
    return escape_mathtext(name if len(name) <= longest else "…" + name[1 - longest :])


def wrap(title: str, inches: float) -> str:
    r"""Break a panel's title into lines that fit its width.

    Parameters
    ----------
    title : str
        The title.
    inches : float
        Width of the panel in the workflow's style.

    Returns
    -------
    str
        The title with line breaks.

    Examples
    --------
    >>> wrap("FCN4, MNIST, m0.9", 1)
    'FCN4, MNIST,\nm0.9'
    """
    return "\n".join(textwrap.wrap(title, letters(inches)))


def letters(inches: float) -> int:
    """Estimate how many letters of a title fit a width.

    Parameters
    ----------
    inches : float
        Width in the workflow's style.

    Returns
    -------
    int
        The number of letters, at least 10.

    Examples
    --------
    >>> letters(2)
    26
    """
    return max(10, int(13 * inches))


def annotate_empty(axes: Axes, reason: str, **style: Any) -> None:
    """Write in the middle of a panel why it is empty.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        The panel.
    reason : str
        What to write.
    **style
        Properties of ``matplotlib.text.Text``.

    Examples
    --------
    >>> axes = Figure().subplots()
    >>> annotate_empty(axes, "no run converged")
    >>> axes.texts[0].get_text()
    'no run converged'
    """
    axes.text(0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes, **style)
