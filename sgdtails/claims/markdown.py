"""The tables of claims and of comparisons as Markdown that a person can read."""

import math
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
        cells = (row["panel"], effect(row), interval(row), number(row["p_holm"], 2), f"{row['n']:,}", row["seeds"])
        lines.append("| " + " | ".join(map(str, (*cells, excluded, row["verdict"], row["reason"]))) + " |")
    return [*lines, ""]


def _supports(text: str) -> str:
    rule, _, margin = text.partition(" ")
    return {"within": f"within +-{margin}"}.get(rule, text)


def effect(row: Mapping[str, Any]) -> str:
    """Return a claim's effect, with its name; nothing where there is none."""
    return "" if row["effect"] is None else f"{row['effect_name'].replace('_', ' ')} {number(row['effect'])}"


def interval(row: Mapping[str, Any]) -> str:
    """Return a claim's interval; nothing where there is none."""
    if row["effect_low"] is None:
        return ""
    return f"[{number(row['effect_low'])}, {number(row['effect_high'])}]"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number to its first digits, without those of rounding errors; nothing where there is none.

    Examples
    --------
    >>> number(0.1 + 0.2), number(None)
    ('0.3', '')
    """
    return "" if value is None else f"{round(value, 9):.{digits}g}"


def text_of_comparisons(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows of table ``comparisons`` as a page: a section per comparison, with a sentence per row."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["comparison"], []).append(row)
    lines = [
        "# Comparisons",
        "",
        "Mean differences between paired runs, with 95% intervals; p is two-sided, from changes of sign.",
        "No difference seen: the interval holds 0. A difference within the interval may still be there.",
        "Intervals and p are not adjusted for their number.",
        "",
    ]
    for found in groups.values():
        x, colour = (_plain(found[0][f"{part}_name"] or "runs") for part in ("x", "colour"))
        lines += [f"## {found[0]['y_name']}, by {x}", "", f"| {colour} | difference |", "|---|---|"]
        lines += [f"| {'all' if row['colour'] is None else row['colour']} | {sentence(row)} |" for row in found]
        lines.append("")
    return "\n".join(lines)


def sentence(row: Mapping[str, Any]) -> str:
    """Say what a row of table ``comparisons`` has found; the word follows from the interval.

    Examples
    --------
    >>> row = {"x_name": "momentum", "x_from": "0", "x_to": "0.9", "pairs": 8, "missing": "1 run diverged"}
    >>> sentence(row | {"difference": -0.021, "low": -0.038, "high": -0.004, "p": 0.0123})
    'momentum 0.9 against 0: lower by 0.021 (0.004 to 0.038, 8 pairs, p = 0.012); 1 run diverged'
    """
    missing = row.get("missing")  # tables of earlier versions do not say why
    if not row["pairs"]:
        said = f"no pairs: {missing}" if missing else "no pairs"
        return said if row["x_to"] is None else f"{_against(row)}: {said}"
    rest = f"; {missing}" if missing else ""
    middle, low, high = row["difference"], row["low"], row["high"]
    if low is None:
        return f"{_against(row)}: undecided, a single pair has no interval ({_signed(middle, abs(middle))}){rest}"
    size = (high - low) / 2
    if low <= 0 <= high:
        word, ends = f"no difference seen ({_signed(middle, size)}, ", (low, high)
    elif low > 0:
        word, ends = f"higher by {_signed(middle, size)} (", (low, high)
    else:
        word, ends = f"lower by {_signed(-middle, size)} (", (-high, -low)
    between = " to ".join(_signed(end, size) for end in ends)
    return f"{_against(row)}: {word}{between}, {row['pairs']:,} pairs, p = {number(row['p'], 2)}){rest}"


def _against(row: Mapping[str, Any]) -> str:
    return f"{_plain(row['x_name'])} {row['x_to'] or 'none'} against {row['x_from'] or 'none'}"


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _signed(value: float, size: float) -> str:
    """Write a number to two digits of ``size``, with a true minus."""
    decimals = max(0, 1 - math.floor(math.log10(size))) if size else 3
    return f"{round(value, decimals) + 0.0:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")
