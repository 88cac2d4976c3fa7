"""A study's results, for use from Python: its tables as pandas frames, and its figures."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtails.errors import InputError, unknown
from sgdtails.io import parquet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from matplotlib.figure import Figure

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
        return tuple(sorted(self._files))

    @cached_property
    def figures(self) -> tuple[str, ...]:
        from sgdtails.figures.plotting import FIGURES

        return tuple(name for name in FIGURES if set(_arguments(name)) <= set(self._files))

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
        """Say what a table's columns are.

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

    def figure(self, name: str, *, style: Any = None, **settings: Any) -> "Figure":
        """Draw a figure from the study's tables.

        Parameters
        ----------
        name : str
            One of ``figures``, such as ``fig01``.
        style : str, dict or list, optional
            What ``matplotlib.style.use`` takes, or ``"paper"`` for the look of the workflow's own figures. Without it, the
            style that is set when this is called; the figure is as much larger as its type is than the paper's.
        **settings
            In place of the study's own: ``index`` (a ``network_index.Index``), ``weights`` (whose accuracy figure 7 shows)
            or ``scheme`` (``ratio`` or ``error``, of pruning), where the figure has it.

        Returns
        -------
        matplotlib.figure.Figure
            A figure of its own, which a notebook shows; ``savefig`` writes it, ``axes`` are its panels.

        Raises
        ------
        InputError
            For a name that is not in ``figures``, an unknown style, or a damaged table.
        """
        from sgdtails.figures.plotting import FIGURES

        if name not in self.figures:
            raise unknown("figure", name, f"{self.path}, as far as it has tables", self.figures)
        tables = {table: self.arrow(table) for table in _arguments(name)}
        with _styled(style) as scale:
            figure = FIGURES[name](**tables, **self._settings(name) | settings)
            width, height = figure.get_size_inches()
            figure.set_size_inches(scale * width, scale * height)
        return figure

    def _settings(self, name: str) -> dict[str, Any]:
        """What a figure needs besides tables, as far as these say what the study's config was."""
        from sgdtails.figures.plotting import FIGURES
        from sgdtails.tail_index.network_index import Index

        wanted = inspect.signature(FIGURES[name]).parameters
        found: dict[str, Any] = {}
        if "index" in wanted:
            made_by = parquet.record(self.arrow("runs").schema).get("settings") or {}
            found |= {"index": Index(**made_by["index"])} if "index" in made_by else {}
        if "weights" in wanted and "pruning" in self._files:
            pruned = set(self.arrow("pruning")["weights"].to_pylist()) - {"initial"}
            found |= {"weights": pruned.pop()} if len(pruned) == 1 else {}
        return found


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
    (60, 59)
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


def _arguments(figure: str) -> list[str]:
    """The tables that a figure is drawn from: its function's arguments, less settings."""
    from sgdtails.figures.plotting import FIGURES

    parameters = inspect.signature(FIGURES[figure]).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]


def _described(field: "pa.Field") -> dict[str, str]:
    found = field.metadata or {}
    return {key: found.get(key.encode(), b"").decode() for key in ("unit", "meaning")}


@contextmanager
def _styled(style: Any) -> Iterator[float]:
    """Where a figure is drawn in a style, whose type is so many times larger than the paper's; then the style before is back."""
    import matplotlib.style

    from sgdtails.figures.style import STYLE

    with matplotlib.rc_context():
        if style is not None:
            try:
                matplotlib.style.use(STYLE if style == PAPER else style)
            except OSError as error:
                raise InputError(
                    f"style {style!r} is none that matplotlib knows; see matplotlib.style.available."
                ) from error
        yield matplotlib.rcParams["font.size"] / STYLE["font.size"]
