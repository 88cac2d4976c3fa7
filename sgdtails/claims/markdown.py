"""The table of claims, and that of the rule's errors, as Markdown that a person can read."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sgdtails.claims.verdicts import VERDICTS


def text_of(rows: Iterable[Mapping[str, Any]], *, level: float) -> str:
    """Write rows of table ``claims`` as a page: a section per claim, with the statement, what supports it, and a line per panel."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["claim"], []).append(row)
    lines = [
        "# Claims",
        "",
        "Intervals are 95% bootstrap intervals; p is two-sided, from permutations, and adjusted over panels (Holm).",
        "Those of two lines (smaller slope) are Student's.",
        "Verdicts by a margin are by intervals that hold for all panels of a claim together (Bonferroni).",
        f"Undecided: p is not below {level:g}, or the interval does not settle it. docs/claims.md gives the rule.",
        "",
    ]
    for name, panels in groups.items():
        lines += _section(name, panels)
    return "\n".join(lines)


def _section(name: str, panels: Sequence[Mapping[str, Any]]) -> list[str]:
    first = panels[0]
    said = Counter(row["verdict"] for row in panels)
    summary = ", ".join(f"{said[verdict]} {verdict}" for verdict in VERDICTS if said[verdict])
    lines = [
        f"## {first['statement']}",
        "",
        f"`{name}`; {first['source']}. Of {first['quantities']}. Supported by an effect that is {_supports(first['supports'])}. **{summary}**",
        "",
        "| panel | effect | interval | p (Holm) | n | seeds | excluded | verdict | why |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in panels:
        excluded = row["excluded_why"] or "0"
        cells = (row["panel"], effect(row), interval(row), _number(row["p_holm"], 2), f"{row['n']:,}", row["seeds"])
        lines.append("| " + " | ".join(map(str, (*cells, excluded, row["verdict"], row["reason"]))) + " |")
    return [*lines, ""]


def _supports(text: str) -> str:
    rule, _, margin = text.partition(" ")
    return {"within": f"within +-{margin}"}.get(rule, text)


def effect(row: Mapping[str, Any]) -> str:
    """Return a claim's effect, with its name; nothing where there is none."""
    return "" if row["effect"] is None else f"{row['effect_name'].replace('_', ' ')} {_number(row['effect'])}"


def interval(row: Mapping[str, Any]) -> str:
    """Return a claim's interval; nothing where there is none."""
    if row["effect_low"] is None:
        return ""
    return f"[{_number(row['effect_low'])}, {_number(row['effect_high'])}]"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{round(value, 9):.{digits}g}"
