"""The first screen of a study's page: claims against panels, with one sentence per claim."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sgdtails.claims import markdown
from sgdtails.claims.verdicts import VERDICTS
from sgdtails.report.page_words import Row, effect

NOTES = {  # by the names of claims in config/claims.yaml: what a verdict on them does not say
    "stable_sample": "The test compares where most weights lie. It does not tell whether their law is stable: "
    "the few largest weights hardly count, and another law may fit better."
}


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
    note : str
        What the verdict does not say, where it could be misread.
    groups : sequence of (str, str)
        Title and verdict of everything that it was tested on, if that is not panels only but larger groups of runs.
    """

    statement: str
    sentence: str
    source: str
    verdicts: Sequence[str]
    note: str = ""
    groups: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Matrix:
    """Claims against panels.

    Attributes
    ----------
    panels : sequence of str
        The columns.
    lines : sequence of Line
        The claims.
    """

    panels: Sequence[str]
    lines: Sequence[Line]


def matrices(
    rows: Iterable[Row], titles: Mapping[str, str] = MappingProxyType({}), groups: Collection[str] = ()
) -> tuple[Matrix, Matrix]:
    """Put the rows of table ``claims`` in order. Tested claims on the paper's figures come first, then the others.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of table ``claims``.
    titles : mapping
        What people call a panel, by its name in the table.
    groups : collection of str
        Names there that are no panels but larger groups of runs. They get no column.

    Returns
    -------
    tuple of Matrix
        One line per claim, one column per panel that has a verdict there. A claim about no panel, for want of data, has no verdicts.

    Examples
    --------
    >>> shown, more = matrices([])
    >>> shown.panels, more.lines
    ([], [])
    """
    claims: dict[str, dict[str, Row]] = {}
    for row in rows:
        claims.setdefault(row["claim"], {})[row["panel"]] = row
    shown = {name: of for name, of in claims.items() if set(of) != {"all"} and "figure" in _any(of)["source"]}
    more = {name: of for name, of in claims.items() if name not in shown}
    return _matrix(shown, titles, groups), _matrix(more, titles, groups)


def _matrix(claims: Mapping[str, Mapping[str, Row]], titles: Mapping[str, str], groups: Collection[str]) -> Matrix:
    by_panel = [of for of in claims.values() if not set(of) & (set(groups) - {"all"})]
    panels = list(dict.fromkeys(panel for of in by_panel for panel in of if panel != "all"))
    lines = []
    for name, of in claims.items():
        said = _any(of)
        line = (said["statement"], sentence(list(of.values())), said["source"])
        verdicts = [of[panel]["verdict"] if panel in of else "" for panel in panels]
        whole = [] if of in by_panel else [(titles.get(panel, panel), row["verdict"]) for panel, row in of.items()]
        lines.append(Line(*line, verdicts, NOTES.get(name, ""), whole))
    return Matrix([titles.get(panel, panel) for panel in panels], lines)


def _any(of: Mapping[str, Row]) -> Row:
    """Return a row of a claim, for what is the same in all of them."""
    return next(iter(of.values()))


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
    "Supported: Spearman's rho is -0.9, interval [-1, -0.5], n = 9."
    """
    if len(rows) == 1 or all(row["effect"] is None for row in rows):
        row = rows[0]
        if row["effect"] is None:
            reason = (row["reason"] or "no data.").rstrip(".")
            return f"{row['verdict'].capitalize()}: {reason[:1].lower()}{reason[1:]}."
        interval = f", interval {markdown.interval(row)}" if row["effect_low"] is not None else ""
        return f"{row['verdict'].capitalize()}: {effect(row, ' is')}{interval}, n = {row['n']:,}."
    count = Counter(row["verdict"] for row in rows)
    first, *others = [verdict for verdict in VERDICTS if count[verdict]]
    where = f"{count[first]:,} of {len(rows):,}" if others else "both" if len(rows) == 2 else f"all {len(rows):,}"
    rest = "".join(f", {verdict} in {count[verdict]:,}" for verdict in others)
    return f"{first.capitalize()} in {where} panels{rest}{_range(rows)}."


def _range(rows: Sequence[Row]) -> str:
    """Return the smallest and the largest effect, where all panels have the same kind of effect."""
    found = sorted((row for row in rows if row["effect"] is not None), key=lambda row: float(row["effect"]))
    if len({row["effect_name"] for row in found}) != 1:
        return ""
    if found[0]["effect"] == found[-1]["effect"]:
        return f"; {effect(found[0], ' is')}"
    return f"; {effect(found[0], ' is between')} and {markdown.number(found[-1]['effect'])}"
