"""A figure as panels: each can be drawn on any axes, and all of them together as one figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sgdtails.errors import InputError
from sgdtails.figures import theme
from sgdtails.figures.elements import ticks

_WITHIN = 6  # entries of a legend that axes have room for
Where = Axes | Sequence[Axes] | NDArray[Any] | Mapping[str, Axes]


@dataclass(frozen=True)
class Panel:
    """One panel of a figure.

    Attributes
    ----------
    draw : callable
        Draws marks, scales and ticks on the axes that it is given.
    title : str
        First part of the title, broken into lines where the panel is narrow.
    note : str
        Second part of the title, broken after a semicolon where the panel is narrow.
    xlabel, ylabel : str
        Labels of its axes; empty if they are those of the whole figure.
    scale : ColourScale or None
        What colours mean, if that needs a colour bar of its own.
    """

    draw: Callable[[Axes], None]
    title: str = ""
    note: str = ""
    xlabel: str = ""
    ylabel: str = ""
    scale: "ColourScale | None" = None

    def heading(self, inches: float) -> str:
        r"""Write the title for a panel of this width.

        Parameters
        ----------
        inches : float
            Width of the panel in the workflow's style.

        Returns
        -------
        str
            The title and the note, with line breaks.

        Examples
        --------
        >>> Panel(print, "FCN4, MNIST", "$n$ = 3").heading(2.0)
        'FCN4, MNIST\n$n$ = 3'
        """
        title = self.title if "$" in self.title else theme.wrap(self.title, inches)
        long = len(self.note.replace("$", "")) > theme.letters(inches)
        return "\n".join(filter(None, (title, self.note.replace("; ", ";\n") if long else self.note)))


@dataclass(frozen=True)
class ColourScale:
    """What colours mean in all panels of a figure.

    Attributes
    ----------
    mappable : matplotlib.cm.ScalarMappable
        Numbers as colours.
    label : str
        The quantity.
    logarithmic : bool
        Whether the scale is logarithmic.
    extend : {"neither", "min", "max", "both"}
        The ends beyond which there are numbers, drawn in the colour of that end.
    ticks : sequence of float or None
        Ticks of the bar; None for the usual ones.
    """

    mappable: ScalarMappable
    label: str
    logarithmic: bool = False
    extend: str = "neither"
    ticks: Sequence[float] | None = None

    def add_bar(self, figure: Any, axes: Sequence[Axes], **style: Any) -> None:
        """Put a colour bar beside axes.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or matplotlib.figure.SubFigure
            The figure that the axes are in.
        axes : sequence of matplotlib.axes.Axes
            The panels that make room for the bar.
        **style
            Keywords of ``Figure.colorbar``.

        Examples
        --------
        >>> figure = Figure()
        >>> axes = figure.subplots()
        >>> ColourScale(ScalarMappable(), "layer").add_bar(figure, [axes])
        >>> figure.axes[1].get_ylabel()
        'layer'
        """
        more: dict[str, Any] = {} if self.ticks is None else {"ticks": list(self.ticks)}
        if self.extend != "neither":
            more["extend"] = self.extend
        bar = figure.colorbar(self.mappable, ax=list(axes), label=self.label, **more, **style)
        bar.ax.grid(False)
        bar.minorticks_off()
        if self.logarithmic:
            ticks.label_log(bar.ax.yaxis)


@dataclass(frozen=True)
class Plot:
    """A figure that is not drawn yet.

    Attributes
    ----------
    panels : dict
        ``Panel`` by name, in reading order.
    arrange : callable
        Draws this plot as a figure of its own.
    xlabel, ylabel : str
        Labels of the axes of all panels that have none of their own.
    scale : ColourScale or None
        What colours mean, if that needs a colour bar.
    """

    panels: dict[str, Panel]
    arrange: Callable[["Plot"], Figure]
    xlabel: str = ""
    ylabel: str = ""
    scale: ColourScale | None = None

    def figure(self) -> Figure:
        """Draw all panels as a figure, in the style that is set.

        Returns
        -------
        matplotlib.figure.Figure
            A new figure, unknown to pyplot.

        Examples
        --------
        >>> from sgdtails.figures.elements.arrange import grid
        >>> plot = Plot({"a": Panel(lambda axes: None, "A")}, grid)
        >>> [axes.get_title() for axes in plot.figure().axes]
        ['A']
        """
        return self.arrange(self)

    def draw(self, axes: Where, panel: str | None = None, *, legend: bool = True) -> dict[str, Axes]:
        """Draw panels on axes, in the style that is set.

        Parameters
        ----------
        axes : matplotlib.axes.Axes, or a sequence, array or mapping of them
            One: for ``panel``. Several: one for each panel, in order. A mapping: for the panels that it names.
        panel : str, optional
            Name of the panel to draw; needed for one axes of a plot with several panels.
        legend : bool
            Whether to draw a legend in the axes, and beside them a colour bar, where the plot needs one.

        Returns
        -------
        dict
            The axes by panel.

        Raises
        ------
        InputError
            If there is no such panel, or there are more or fewer axes than panels.

        Examples
        --------
        >>> from sgdtails.figures.elements.arrange import grid
        >>> plot = Plot({"a": Panel(lambda axes: axes.set_xlim(0, 2), "A")}, grid, xlabel="x")
        >>> axes = Figure().subplots()
        >>> _ = plot.draw(axes)
        >>> axes.get_title(), axes.get_xlabel(), axes.get_xlim()
        ('A', 'x', (np.float64(0.0), np.float64(2.0)))
        """
        chosen = self._on(axes, panel)
        of_figure: dict[Any, list[Axes]] = {}
        for name, ax in chosen.items():
            part = self.panels[name]
            part.draw(ax)
            inches = ax.get_window_extent().width / ax.figure.dpi / theme.scale()
            ax.set(title=part.heading(inches), xlabel=part.xlabel or self.xlabel, ylabel=part.ylabel or self.ylabel)
            if legend:
                _add_legend(ax)
            if legend and part.scale:
                part.scale.add_bar(ax.figure, [ax])
            of_figure.setdefault(ax.figure, []).append(ax)
        if legend and self.scale:
            for figure, together in of_figure.items():
                self.scale.add_bar(figure, together)
        return chosen

    def check(self, panel: str | None) -> str:
        """Find the panel that is drawn on one axes.

        Parameters
        ----------
        panel : str or None
            Name of the panel; None if the plot has only one.

        Returns
        -------
        str
            Its name.

        Raises
        ------
        InputError
            If there is no such panel, or there are several to choose from.

        Examples
        --------
        >>> from sgdtails.figures.elements.arrange import grid
        >>> Plot({"a": Panel(lambda axes: None)}, grid).check(None)
        'a'
        """
        if panel is not None and panel not in self.panels:
            raise InputError(f"this figure has no panel {panel!r}; its panels are: {self._names}.")
        if panel is None and len(self.panels) != 1:
            raise InputError(
                f"this figure has {len(self.panels)} panels: {self._names}; name one as panel, or give axes for each."
            )
        return panel or next(iter(self.panels))

    @property
    def _names(self) -> str:
        return ", ".join(map(repr, self.panels)) or "none"

    def _on(self, axes: Where, panel: str | None) -> dict[str, Axes]:
        if isinstance(axes, Axes):
            return {self.check(panel): axes}
        if panel is not None:
            raise InputError(f"panel {panel!r} is drawn on one axes; give it alone, or leave panel out.")
        if isinstance(axes, Mapping):
            return {self.check(name): ax for name, ax in axes.items()}
        several = list(np.ravel(np.asarray(axes, dtype=object)))
        if len(several) != len(self.panels):
            raise InputError(f"{len(several)} axes for {len(self.panels)} panels: {self._names}; give one for each.")
        return dict(zip(self.panels, several, strict=True))


def _add_legend(axes: Axes) -> None:
    """Add a legend within the axes; one that would cover them, beside them."""
    entries = len(axes.get_legend_handles_labels()[1])
    if entries > _WITHIN:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    elif entries:
        axes.legend()
