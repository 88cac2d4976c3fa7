"""The tables of a study's page: columns and cells that a page can sort and filter."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from sgdtails.claims import markdown
from sgdtails.io.tables import panels
from sgdtails.labels import Labels
from sgdtails.report.page_words import Row, effect

PAPER = {"runs": 215, "gpu_hours": 460}  # what the paper says its study took
NAMES = Labels()


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text : str
        What is shown.
    value : float or None
        The number that it is sorted by; None: the text itself.
    mark : str
        A word that has a colour of its own on the page; empty for none.
    """

    text: str
    value: float | None = None
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes
    ----------
    name : str
        Its anchor.
    caption : str
        What it shows.
    columns : sequence of (str, bool)
        Headings, and whether a column holds numbers.
    rows : sequence of sequence of Cell
        The cells.
    choose : sequence of int
        The columns by whose values rows can be chosen.
    total : sequence of Cell or None
        A row that stays last.
    """

    name: str
    caption: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[Cell]]
    choose: Sequence[int] = ()
    total: Sequence[Cell] | None = None

    def choices(self, column: int) -> list[str]:
        """List the values of a column, in order of first appearance.

        Parameters
        ----------
        column : int
            Its number.

        Returns
        -------
        list of str
            Texts of its cells.

        Examples
        --------
        >>> Table("a", "", [("Panel", False)], [[Cell("x")], [Cell("y")], [Cell("x")]]).choices(0)
        ['x', 'y']
        """
        return list(dict.fromkeys(row[column].text for row in self.rows))


def claims(rows: Iterable[Row], titles: Mapping[str, str] = MappingProxyType({})) -> Table:
    """List the claims and their verdicts.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of table ``claims``.
    titles : mapping of str to str
        What panels are called, by their names in that table.

    Returns
    -------
    Table
        One row per claim and panel, the verdict first.

    Examples
    --------
    >>> claims([]).columns[:2]
    (('Verdict', False), ('Claim', False))
    """
    columns = _columns(
        ("Verdict", "Claim", "Panel", "Effect", "95% interval", "p (Holm)", "n", "Seeds", "Left out", "Why"),
        texts=("Verdict", "Claim", "Panel", "Why"),
    )
    cells = [
        (
            Cell(row["verdict"], mark=row["verdict"]),
            Cell(f"{row['statement']} ({row['source']})"),
            Cell(titles.get(row["panel"], row["panel"])),
            Cell(effect(row), row["effect"]),
            Cell(markdown.interval(row), row["effect_low"]),
            _number(row["p_holm"], ".2g"),
            _number(row["n"], ",d"),
            _number(row["seeds"], ",d"),
            Cell(row["excluded_why"] or "0", row["excluded"]),
            Cell(row["reason"]),
        )
        for row in rows
    ]
    return Table("claims", "Claims, one row per claim and panel", columns, cells, choose=(0, 2))


_RUNS = {  # columns of table runs and their formats, by heading
    "η": ("step_size", "g"),
    "b": ("batch_size", ",d"),
    "η/b": ("eta_over_b", ".4g"),
    "Seed": ("seed", "d"),
    "Iterations": ("iterations", ",d"),
    "Train NLL": ("train_nll", ".3g"),
    "Train acc.": ("train_accuracy", ".2%"),
    "Test acc.": ("test_accuracy", ".2%"),
    "Test acc., last": ("last_test_accuracy", ".2%"),
    "Test acc., average": ("average_test_accuracy", ".2%"),
    "Seconds": ("seconds", ",.1f"),
}


def runs(rows: Iterable[Row], names: Labels = NAMES) -> Table:
    """List the training runs.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of table ``runs``.
    names : Labels
        What models and datasets are called.

    Returns
    -------
    Table
        One row per run.

    Examples
    --------
    >>> [heading for heading, number in runs([]).columns if not number]
    ['Run', 'Status', 'Panel']
    """
    texts = ("Run", "Status", "Panel")
    cells = [
        (
            Cell(row["run"]),
            Cell(row["status"], mark=row["status"]),
            Cell(names.title(row)),
            *(_number(row[key], form) for key, form in _RUNS.values()),
        )
        for row in rows
    ]
    return Table("runs", "Training runs", _columns((*texts, *_RUNS), texts), cells, choose=(1, 2))


def cost(training: Iterable[Row], averaging: Iterable[Row], names: Labels = NAMES) -> Table:
    """Add up the wall time of training and averaging.

    Parameters
    ----------
    training, averaging : iterable of mapping
        Rows of the tables of these names.
    names : Labels
        What models and datasets are called.

    Returns
    -------
    Table
        Hours per panel, and their total.

    Examples
    --------
    >>> cost([], []).total[0].text
    'All'
    """
    trained, seconds = list(training), {row["run"]: row["seconds"] for row in averaging}  # of runs that are averaged
    hours = ("Training (h)", "Averaging (h)", "Both (h)", "Per run (h)")
    columns = _columns(("Panel", "Runs", "Iterations", *hours, "Device"), texts=("Panel", "Device"))

    def line(title: str, rows: Sequence[Row]) -> tuple[Cell, ...]:
        train, average = (
            sum(row["seconds"] for row in rows) / 3600,
            sum(seconds.get(row["run"], 0.0) for row in rows) / 3600,
        )
        hours = (train, average, train + average, (train + average) / max(1, len(rows)))
        devices = ", ".join(sorted({f"{row['device']}, {row['precision']}" for row in rows}))
        counts = (_number(len(rows), ",d"), _number(sum(row["iterations"] for row in rows), ",d"))
        return (Cell(title), *counts, *(_number(value, ".3g") for value in hours), Cell(devices))

    lines = [line(names.title(rows[0]), rows) for rows in panels(dict(row) for row in trained).values()]
    return Table("cost", "Wall time per panel", columns, lines, total=line("All", trained))


def provenance(tables: Mapping[str, pa.Table]) -> Table:
    """List the code and the libraries that made the tables.

    Parameters
    ----------
    tables : mapping
        Tables by name, with the metadata of their files.

    Returns
    -------
    Table
        One row per table.

    Examples
    --------
    >>> [cell.text for cell in provenance({"runs": pa.table({"run": ["a"]})}).rows[0]]
    ['runs', '1', 'not recorded', '', 'none']
    """
    columns = _columns(
        ("Table", "Rows", "Code digest", "Libraries", "Image"), texts=("Table", "Code digest", "Libraries", "Image")
    )
    lines = []
    for name, table in tables.items():
        record = json.loads((table.schema.metadata or {}).get(b"sgdtails", b"{}"))
        libraries = ", ".join(f"{library} {version}" for library, version in record.get("libraries", {}).items())
        code, image = record.get("code", "not recorded"), record.get("image") or "none"
        lines.append((Cell(name), _number(table.num_rows, ",d"), Cell(str(code)), Cell(libraries), Cell(image)))
    return Table("provenance", "What made the tables that this page was drawn from", columns, lines)


def _columns(headings: Iterable[str], texts: Iterable[str]) -> tuple[tuple[str, bool], ...]:
    """Headings, and whether a column holds numbers: those that are not in ``texts``."""
    return tuple((heading, heading not in texts) for heading in headings)


def _number(value: float | None, form: str) -> Cell:
    """Format a number; a missing one gives an empty cell."""
    return Cell("") if value is None else Cell(format(value, form), value)
