"""Panels side by side as one figure, with common labels, colour bars and legends."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from sgdtails.figures import theme
from sgdtails.figures.plot import Plot


def grid(
    plot: Plot,
    *,
    height: float = 2.1,
    nothing: str = "no network has such a layer",
    legend: bool | Sequence[str] = False,
    sharex: bool = False,
    sharey: bool = False,
) -> Figure:
    """Arrange panels three to a line, with common labels, colour bar and legend.

    Parameters
    ----------
    plot : Plot
        The panels.
    height : float
        Height of a panel in inches, in the workflow's style.
    nothing : str
        What an empty panel says if the plot has none.
    legend : bool or sequence of str
        Whether there is a legend, or the entries that come first in it.
    sharex, sharey : bool
        Whether all panels have the same limits.

    Returns
    -------
    matplotlib.figure.Figure
        The figure.

    Examples
    --------
    >>> grid(Plot({}, grid), nothing="no run").axes[0].texts[0].get_text()
    'no run'
    """
    count = max(1, len(plot.panels))
    most = 2 if any(panel.scale for panel in plot.panels.values()) else 3  # a colour bar takes a third of a panel
    columns = min(most, count)
    lines = -(-count // columns)
    width = max(theme.COLUMN, theme.PAGE * columns / most)
    figure = theme.new_figure(width, height * lines + 0.5)
    places = figure.subplots(lines, columns, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for unused in places[count:]:
        unused.remove()
    if not plot.panels:
        theme.annotate_empty(places[0], nothing)
    for axes, panel in zip(places, plot.panels.values(), strict=False):
        panel.draw(axes)
        axes.set_title(panel.heading(width / columns))
        axes.tick_params(labelbottom=True, labelleft=True)  # shared axes leave them out, and places below may be empty
        if panel.scale:
            panel.scale.add_bar(figure, [axes], pad=0.02, aspect=30)
    if plot.scale:
        plot.scale.add_bar(figure, figure.axes, pad=0.02, aspect=30)
    figure.supxlabel(plot.xlabel)
    figure.supylabel(plot.ylabel)
    return figure if legend is False else with_legend(figure, () if legend is True else legend)


def with_legend(figure: Figure, first: Sequence[str] = ()) -> Figure:
    """Put one legend for all panels above them, in as few lines as the figure's width allows.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        A figure whose panels have labelled marks.
    first : sequence of str
        Entries that come before the others, in this order; not all panels need to have them.

    Returns
    -------
    matplotlib.figure.Figure
        The same figure.

    Examples
    --------
    >>> figure = Figure(layout="constrained")
    >>> _ = figure.subplots().plot([0, 1], label="line")
    >>> [text.get_text() for text in with_legend(figure).legends[0].get_texts()]
    ['line']
    """
    entries = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    order = [label for label in first if label in entries]
    entries = {label: entries[label] for label in dict.fromkeys([*order, *entries])}
    for columns in range(len(entries), 0, -1):
        legend = figure.legend(list(entries.values()), list(entries), loc="outside upper right", ncols=columns)
        if columns == 1 or legend.get_window_extent().x0 >= 0:
            break
        legend.remove()
    return figure
