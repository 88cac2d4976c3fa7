"""The report's tables: what a person looks up, as columns and cells that a page can sort and filter."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from sgdtails.claims import markdown
from sgdtails.io.tables import panel_title, panels

PAPER = {"runs": 215, "gpu_hours": 460}  # what the paper says its study took
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it is sorted by: a number, or the text itself. ``mark`` is a word that has a colour."""

    text: str
    value: float | None = None
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table under ``name``; ``choose`` is the column whose values can be chosen from; ``total`` a last row that stays last."""

    name: str
    caption: str
    columns: Sequence[tuple[str, bool]]  # heading, and whether it holds numbers
    rows: Sequence[Sequence[Cell]]
    choose: int | None = None
    total: Sequence[Cell] | None = None

    @property
    def choices(self) -> list[str]:
        """The values of the column that can be chosen from, in the order of their first appearance."""
        return [] if self.choose is None else list(dict.fromkeys(row[self.choose].text for row in self.rows))


def claims(rows: Iterable[Row]) -> Table:
    """Rows of table ``claims``, the verdict first."""
    columns = (
        *(("Verdict", False), ("Claim", False), ("Panel", False), ("Effect", True), ("95% interval", True)),
        *(("p (Holm)", True), ("n", True), ("Seeds", True), ("Left out", True), ("Why", False)),
    )
    cells = [
        (
            Cell(row["verdict"], mark=row["verdict"]),
            Cell(f"{row['statement']} ({row['source']})"),
            Cell(row["panel"]),
            Cell(markdown.effect(row), row["effect"]),
            Cell(markdown.interval(row), row["effect_low"]),
            _number(row["p_holm"], ".2g"),
            _number(row["n"], ",d"),
            _number(row["seeds"], ",d"),
            Cell(row["excluded_why"] or "0", row["excluded"]),
            Cell(row["reason"]),
        )
        for row in rows
    ]
    return Table("claims", "Claims, one row per claim and panel", columns, cells, choose=0)


def runs(rows: Iterable[Row]) -> Table:
    """Rows of table ``runs``."""
    columns = (
        *(("Run", False), ("Status", False), ("Panel", False), ("η", True), ("b", True), ("η/b", True), ("Seed", True)),
        *(("Iterations", True), ("Train NLL", True), ("Train acc.", True), ("Test acc.", True)),
        *(("Test acc., last", True), ("Test acc., average", True), ("Seconds", True)),
    )
    cells = [
        (
            Cell(row["run"]),
            Cell(row["status"], mark=row["status"]),
            Cell(panel_title(row)),
            _number(row["step_size"], "g"),
            _number(row["batch_size"], ",d"),
            _number(row["eta_over_b"], ".4g"),
            _number(row["seed"], "d"),
            _number(row["iterations"], ",d"),
            _number(row["train_nll"], ".3g"),
            _number(row["train_accuracy"], ".2%"),
            _number(row["test_accuracy"], ".2%"),
            _number(row["last_test_accuracy"], ".2%"),
            _number(row["average_test_accuracy"], ".2%"),
            _number(row["seconds"], ",.1f"),
        )
        for row in rows
    ]
    return Table("runs", "Training runs", columns, cells, choose=1)


def cost(training: Iterable[Row], averaging: Iterable[Row]) -> Table:
    """Hours of rows of tables ``training`` and ``averaging``, per panel, with their total."""
    trained, seconds = list(training), {row["run"]: row["seconds"] for row in averaging}
    columns = (
        *(("Panel", False), ("Runs", True), ("Iterations", True)),
        *(
            ("Training (h)", True),
            ("Averaging (h)", True),
            ("Both (h)", True),
            ("Per run (h)", True),
            ("Device", False),
        ),
    )

    def line(title: str, rows: Sequence[Row]) -> tuple[Cell, ...]:
        train, average = sum(row["seconds"] for row in rows) / 3600, sum(seconds[row["run"]] for row in rows) / 3600
        hours = (train, average, train + average, (train + average) / max(1, len(rows)))
        devices = ", ".join(sorted({f"{row['device']}, {row['precision']}" for row in rows}))
        counts = (_number(len(rows), ",d"), _number(sum(row["iterations"] for row in rows), ",d"))
        return (Cell(title), *counts, *(_number(value, ".3g") for value in hours), Cell(devices))

    lines = [line(panel_title(rows[0]), rows) for rows in panels(dict(row) for row in trained).values()]
    return Table("cost", "Wall time per panel", columns, lines, total=line("All", trained))


def provenance(tables: Mapping[str, pa.Table]) -> Table:
    """What the metadata of tables, by name, says of the code and the libraries that made them."""
    columns = (("Table", False), ("Rows", True), ("Code digest", False), ("Libraries", False), ("Image", False))
    lines = []
    for name, table in tables.items():
        record = json.loads((table.schema.metadata or {}).get(b"sgdtails", b"{}"))
        libraries = ", ".join(f"{library} {version}" for library, version in record.get("libraries", {}).items())
        code, image = record.get("code", "not recorded"), record.get("image") or "none"
        lines.append((Cell(name), _number(table.num_rows, ",d"), Cell(str(code)), Cell(libraries), Cell(image)))
    return Table("provenance", "What made the tables that this page was drawn from", columns, lines)


def _number(value: float | None, form: str) -> Cell:
    """A number in this form; nothing for one that is missing."""
    return Cell("", None) if value is None else Cell(format(value, form), value)
