"""A study's results, for use from Python: its tables as pandas frames, and its figures."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from sgdtails import labels
from sgdtails.errors import InputError, unknown
from sgdtails.io import parquet
from sgdtails.labels import Labels

if TYPE_CHECKING:
    from typing import Unpack

    import pandas as pd
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcStyleType
    from numpy.typing import NDArray

    from sgdtails.figures.plot import Plot, Where
    from sgdtails.figures.registry import Settings

PAPER = "paper"  # the style of the figures that the workflow makes


class Study:
    """Tables and figures of one study; ``load`` makes it.

    Each table is an attribute, a ``pandas.DataFrame`` that is read when it is first asked for: ``study.runs``,
    ``study.tails``. Change a copy, since the study keeps the frame.

    Attributes
    ----------
    path : pathlib.Path
        The study's folder.
    tables : tuple of str
        Names of the tables that are there.
    figures : tuple of str
        Names of the figures that can be drawn from these tables.
    """

    def __init__(self, path: Path, files: dict[str, Path]) -> None:
        self.path, self._files = path, files
        self._frames: dict[str, pd.DataFrame] = {}

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that are there."""
        return tuple(sorted(self._files))

    @cached_property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that can be drawn from these tables."""
        from sgdtails.figures import registry

        return tuple(name for name in registry.FIGURES if set(registry.tables_of(name)) <= set(self._files))

    def __getattr__(self, name: str) -> "pd.DataFrame":
        files = self.__dict__.get("_files", {})  # a copy that is being made has none yet
        if name not in files:
            there = ", ".join(sorted(files)) or "none"
            raise AttributeError(f"{self.__dict__.get('path')} has no table {name!r}; its tables are: {there}.")
        if name not in self._frames:
            self._frames[name] = self.arrow(name).to_pandas()
        return self._frames[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._files})

    def __repr__(self) -> str:
        return f"<Study {self.path}: tables {', '.join(self.tables)}>"

    def arrow(self, name: str) -> "pa.Table":
        """Read a table as it is in its file.

        Parameters
        ----------
        name : str
            One of ``tables``.

        Returns
        -------
        pyarrow.Table
            With each column's unit and meaning in the metadata of its field, and how it was made in that of the schema.

        Raises
        ------
        InputError
            If there is no such table, or its file is damaged.
        """
        if name not in self._files:
            raise unknown("table", name, str(self.path), self._files)
        return parquet.read(self._files[name])

    def columns(self, name: str) -> "pd.DataFrame":
        """Describe a table's columns.

        Parameters
        ----------
        name : str
            One of ``tables``.

        Returns
        -------
        pandas.DataFrame
            A row per column of the table, indexed by its name: ``type``, ``unit`` (empty: none, 1: a ratio), ``meaning``.

        Raises
        ------
        InputError
            As ``arrow`` does.
        """
        import pandas as pd

        fields = list(self.arrow(name).schema)
        rows = [{"type": str(field.type)} | _described(field) for field in fields]
        return pd.DataFrame(rows, index=pd.Index([field.name for field in fields], name="column"))

    def figure(self, name: str, *, style: "RcStyleType | None" = None, **settings: "Unpack[Settings]") -> "Figure":
        r"""Draw a whole figure from the study's tables.

        Parameters
        ----------
        name : str
            One of ``figures``, such as ``fig01``.
        style : str, dict or list, optional
            What ``matplotlib.style.use`` takes, or ``"paper"`` for the look of the workflow's own figures. Without it, the
            style that is set when this is called; the figure is as much larger than the paper's as its titles and labels are.
        **settings
            In place of the study's own: ``index`` (a ``network_index.Index``), ``weights`` (whose accuracy figure 7 shows),
            ``scheme`` (``ratio`` or ``error``, of pruning) or ``labels`` (``sgdtails.labels.Labels``: what models and datasets are
            called; labels in a config are in no table, so without this the names have their defaults), where the figure has it.

        Returns
        -------
        matplotlib.figure.Figure
            A figure of its own, which a notebook shows; ``savefig`` writes it, ``axes`` are its panels.

        Raises
        ------
        InputError
            For a name that is not in ``figures``, an unknown style or setting, or a damaged table.

        Examples
        --------
        >>> import sgdtails
        >>> figure = sgdtails.load("studies/mnist-narrow").figure("fig01", style="paper")
        >>> [axes.get_title() for axes in figure.axes]
        ['FCN4, width 256, MNIST\n$n$ = 58; 2 diverged']
        """
        with _styled(style):
            return self._plot(name, settings).figure()

    def panels(self, name: str, **settings: "Unpack[Settings]") -> tuple[str, ...]:
        """List the panels of a figure, which ``draw`` can draw one by one.

        Parameters
        ----------
        name : str
            One of ``figures``.
        **settings
            As for ``figure``.

        Returns
        -------
        tuple of str
            Names of panels, in reading order.

        Raises
        ------
        InputError
            As ``figure`` does.

        Examples
        --------
        >>> import sgdtails
        >>> sgdtails.load("studies/mnist-narrow").panels("fig08")
        ('independent', 'columns', 'layer')
        """
        return tuple(self._plot(name, settings).panels)

    @overload
    def draw(
        self,
        name: str,
        ax: "Axes | None" = None,
        *,
        panel: str | None = None,
        legend: bool = True,
        **settings: "Unpack[Settings]",
    ) -> "Axes": ...

    @overload
    def draw(
        self,
        name: str,
        ax: "Sequence[Axes] | NDArray[Any] | Mapping[str, Axes]",
        *,
        panel: None = None,
        legend: bool = True,
        **settings: "Unpack[Settings]",
    ) -> "dict[str, Axes]": ...

    def draw(
        self,
        name: str,
        ax: "Where | None" = None,
        *,
        panel: str | None = None,
        legend: bool = True,
        **settings: "Unpack[Settings]",
    ) -> "Axes | dict[str, Axes]":
        r"""Draw a figure's panels on your own axes, in the style that is set.

        Parameters
        ----------
        name : str
            One of ``figures``.
        ax : matplotlib.axes.Axes, or a sequence, array or mapping of them, optional
            One axes: for one panel. Several: one for each of ``panels(name)``, in order. A mapping, as
            ``pyplot.subplot_mosaic`` returns: for the panels that it names. Without it, one panel on new axes of pyplot.
        panel : str, optional
            The panel to draw on one axes; needed if the figure has several.
        legend : bool
            Whether to draw a legend in the axes, and beside them a colour bar, where the figure needs one.
        **settings
            As for ``figure``.

        Returns
        -------
        matplotlib.axes.Axes or dict
            The axes drawn on; for several, a dict of them by panel.

        Raises
        ------
        InputError
            As ``figure`` does; and for an unknown panel, or more or fewer axes than panels.

        Examples
        --------
        >>> import sgdtails
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> drawn = sgdtails.load("studies/mnist-narrow").draw("fig08", axes, panel="columns")
        >>> drawn is axes, drawn.get_ylabel()
        (True, 'tail index $\\alpha$')
        """
        from matplotlib.axes import Axes

        plot = self._plot(name, settings)
        if ax is None:
            plot.check(panel)  # before pyplot opens a window
            from matplotlib import pyplot

            ax = pyplot.subplots()[1]
        drawn = plot.draw(ax, panel, legend=legend)
        return ax if isinstance(ax, Axes) else drawn

    def _plot(self, name: str, settings: "Settings") -> "Plot":
        from sgdtails.figures import registry

        if name not in self.figures:
            raise unknown("figure", name, f"{self.path}, as far as it has tables", self.figures)
        known = registry.settings_of(name)
        for key in settings:
            if key not in known:
                raise unknown("setting", key, f"figure {name}", known)
        tables = {table: self.arrow(table) for table in registry.tables_of(name)}
        return registry.FIGURES[name](**tables, **self._settings(known) | settings)

    def _settings(self, wanted: Iterable[str]) -> "Settings":
        """Find out from the tables what the study's config was, as far as a figure needs it."""
        from sgdtails.tail_index.network_index import Index

        found: Settings = {}
        if "index" in wanted:
            made_by = parquet.record(self.arrow("runs").schema).get("settings") or {}
            if "index" in made_by:
                found["index"] = Index(**made_by["index"])
        if "weights" in wanted and "pruning" in self._files:
            pruned = set(self.arrow("pruning")["weights"].to_pylist()) - {"initial"}
            if len(pruned) == 1:
                found["weights"] = pruned.pop()
        if "labels" in wanted and "runs" in self._files:
            found["labels"] = Labels(_with_widths(self.arrow("runs")))
        return found


def _with_widths(runs: "pa.Table") -> dict[str, str]:
    """Label fully connected models by the width that table ``runs`` has."""
    models = {row["model"]: row for row in runs.to_pylist()}
    return {
        name: labels.with_width(name, row.get("width"))
        for name, row in models.items()
        if row.get("kind") == "fcn"
        or (row.get("kind") is None and name.startswith("fcn"))  # earlier tables have no kind
    }


def load(path: str | Path) -> Study:
    """Open a study's results.

    Parameters
    ----------
    path : str or pathlib.Path
        The study's folder, such as ``results/demo``, or any folder of its Parquet tables.

    Returns
    -------
    Study
        Its tables as attributes, and ``figure`` to draw with. Nothing is read yet.

    Raises
    ------
    InputError
        If there is no such folder, or no table in it. It is a ``ValueError``.

    Examples
    --------
    >>> import sgdtails
    >>> study = sgdtails.load("studies/mnist-narrow")
    >>> len(study.runs), study.runs.status.eq("converged").sum().item()
    (60, 58)
    >>> study.columns("tails").unit["observations"]
    'observations'
    """
    folder = Path(path)
    tables = folder / "tables"
    files = {file.stem: file for file in (tables if tables.is_dir() else folder).glob("[!.]*.parquet")}
    if not files:
        what = "holds no tables" if folder.is_dir() else "is no folder"
        raise InputError(f"{folder} {what}; give the folder of a study that has results, such as results/demo.")
    return Study(folder, files)


def _described(field: "pa.Field") -> dict[str, str]:
    found = field.metadata or {}
    return {key: found.get(key.encode(), b"").decode() for key in ("unit", "meaning")}


@contextmanager
def _styled(style: "RcStyleType | None") -> Iterator[None]:
    """Set a style for a while; then the one before is back."""
    import matplotlib.style

    from sgdtails.figures.theme import STYLE

    with matplotlib.rc_context():
        if style is not None:
            try:
                matplotlib.style.use(STYLE if style == PAPER else style)
            except OSError as error:
                raise InputError(
                    f"style {style!r} is none that matplotlib knows; see matplotlib.style.available."
                ) from error
        yield
