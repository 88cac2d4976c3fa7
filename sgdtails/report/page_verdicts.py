"""The first screen of a study's page: claims against panels, with one sentence per claim."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdtails.claims import markdown
from sgdtails.claims.verdicts import VERDICTS

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """A claim.

    Attributes
    ----------
    statement : str
        What it says.
    sentence : str
        What the study says of it.
    source : str
        Where the paper has it.
    verdicts : sequence of str
        The verdict of each panel, in the matrix's order; empty where it was not tested.
    """

    statement: str
    sentence: str
    source: str
    verdicts: Sequence[str]


@dataclass(frozen=True)
class Matrix:
    """Claims against panels.

    Attributes
    ----------
    panels : sequence of str
        The columns.
    shown : sequence of Line
        The claims on the paper's figures that were tested.
    more : sequence of Line
        The other claims.
    """

    panels: Sequence[str]
    shown: Sequence[Line]
    more: Sequence[Line]


def matrix(rows: Iterable[Row], titles: Mapping[str, str] | None = None) -> Matrix:
    """Put the rows of table ``claims`` in order, one line per claim and one column per panel.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of table ``claims``.
    titles : mapping, optional
        What people call a panel, by its name in the table.

    Returns
    -------
    Matrix
        A claim about no panel, for want of data, has no verdicts.

    Examples
    --------
    >>> matrix([]).panels
    []
    """
    claims: dict[str, dict[str, Row]] = {}
    for row in rows:
        claims.setdefault(row["claim"], {})[row["panel"]] = row
    panels = list(dict.fromkeys(panel for of in claims.values() for panel in of if panel != "all"))
    shown: list[Line] = []
    more: list[Line] = []
    for of in claims.values():
        first = next(iter(of.values()))
        verdicts = [of[panel]["verdict"] if panel in of else "" for panel in panels]
        line = Line(first["statement"], sentence(list(of.values())), first["source"], verdicts)
        (shown if "figure" in first["source"] and any(verdicts) else more).append(line)
    return Matrix([(titles or {}).get(panel, panel) for panel in panels], shown, more)


def sentence(rows: Sequence[Row]) -> str:
    """Say in one sentence what the panels of a claim say of it.

    Parameters
    ----------
    rows : sequence of mapping
        The rows of one claim.

    Returns
    -------
    str
        Verdicts, and the effect: of one panel with its interval, of several its range.

    Examples
    --------
    >>> effect = {"effect_name": "spearman_rho", "effect": -0.9, "effect_low": -1.0, "effect_high": -0.5, "n": 9}
    >>> sentence([{"verdict": "supported", "panel": "FCN4, MNIST", "reason": "", **effect}])
    'Supported: spearman rho -0.9, interval [-1, -0.5], n = 9.'
    """
    if len(rows) == 1 or all(row["effect"] is None for row in rows):
        row = rows[0]
        if row["effect"] is None:
            reason = (row["reason"] or "no data.").rstrip(".")
            return f"{row['verdict'].capitalize()}: {reason[:1].lower()}{reason[1:]}."
        interval = f", interval {markdown.interval(row)}" if row["effect_low"] is not None else ""
        return f"{row['verdict'].capitalize()}: {markdown.effect(row)}{interval}, n = {row['n']:,}."
    count = Counter(row["verdict"] for row in rows)
    found = ", ".join(f"{verdict} in {count[verdict]:,}" for verdict in VERDICTS if count[verdict])
    return f"{found[:1].upper()}{found[1:]} of {len(rows):,} panels{_range(rows)}."


def _range(rows: Sequence[Row]) -> str:
    """Return the smallest and the largest effect, where all panels have the same kind of effect."""
    found = sorted((row for row in rows if row["effect"] is not None), key=lambda row: float(row["effect"]))
    if len({row["effect_name"] for row in found}) != 1:
        return ""
    low, high = markdown.effect(found[0]), f"{found[-1]['effect']:.3g}"
    return f"; {low}" if found[0]["effect"] == found[-1]["effect"] else f"; {low} to {high}"
