"""An audited checkpoint in words: a Markdown page with a line per layer."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sgdtails.audit.layer_audit import Rows
from sgdtails.tail_index import classify

_COLUMNS = (
    "layer",
    "name",
    "kind",
    "shape",
    "observation",
    "alpha of rows",
    "alpha of entries",
    "reading",
    "below nulls",
)


def markdown(name: str, source: str, rows: Rows, *, arrays: int, epsilon: Sequence[float], read_as: str = "") -> str:
    """The page for rows of the ``audit`` tables; ``arrays``: how many the checkpoint has; ``read_as``: what it was read as."""
    layers = rows["audit"]
    words = Counter(row["reading"] for row in layers)
    said = ", ".join(f"{words[word]} {word}" for word in classify.LABELS if words[word])
    removed = [f"entries removed at {level:g}" for level in epsilon]
    head = [*_COLUMNS, *removed, "rank for 90%", "effective rank", "note"]
    kappas = {
        (row["layer"], row["epsilon"]): row["kappa"]
        for row in rows["audit_compression"]
        if row["structure"] == "entries"
    }
    lines = [
        f"# Audit of {_cell(name)}",
        "",
        f"`{source}`: {len(layers)} layers with {sum(row['parameters'] for row in layers):,} weights, of {arrays} arrays. **{said}.**",
        *_left_out(rows.get("audit_skipped", []), read_as),
        "",
        "alpha: tail index, the mean over five random orders with random signs, with the 95% interval of that mean; 2 is a light tail,",
        "lower is heavier. Below nulls: block lengths at which the profile of rows lies",
        "below Gaussian layers / below its own entries shuffled, of how many. Entries removed: the share of entries that can go at",
        "that relative l2 error (0.265 of a Gaussian layer at 0.1). Ranks: shares of all singular values. docs/audit.md says how each",
        "is computed, and what it does not say; the figure is audit.pdf.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for row in layers:
        lines.append("| " + " | ".join(map(_cell, _cells(row, kappas, epsilon))) + " |")
    if rows.get("audit_accuracy"):
        lines += _accuracy(rows["audit_accuracy"])
    return "\n".join(lines) + "\n"


def _left_out(skipped: Sequence[Mapping[str, Any]], read_as: str) -> list[str]:
    """What the file was read as, and counts of what was left out by reason."""
    counts = Counter(row["reason"] for row in skipped)
    reasons = ", ".join(f"{number} as {reason}" for reason, number in counts.most_common())
    sentences = [f"Read as {_cell(read_as)}." if read_as else "", f"Left out: {_cell(reasons)}." if reasons else ""]
    return [" ".join(filter(None, sentences))] if any(sentences) else []


def _count(below: int | None) -> str:
    return "no band" if below is None else str(below)


def _cells(row: Mapping[str, Any], kappas: Mapping[tuple[int, float], float], epsilon: Sequence[float]) -> list[str]:
    left_out = f"{row['observations_left_out']:,} observations left out" if row["observations_left_out"] else ""
    below = (
        ""
        if not row["block_lengths"]
        else f"{_count(row['below_gaussian'])} / {_count(row['below_shuffled'])} of {row['block_lengths']}"
    )
    return [
        str(row["layer"]),
        row["layer_name"],
        row["kind"],
        row["shape"],
        row["orientation"],
        _interval(row, ""),
        _interval(row, "entries_"),
        row["reading"],
        below,
        *(_number(_removed(kappas.get((row["layer"], level)))) for level in epsilon),
        _number(row["rank_90_share"]),
        _number(row["effective_rank_share"]),
        "; ".join(filter(None, (row["reason"], left_out))),
    ]


def _removed(kappa: float | None) -> float | None:
    return None if kappa is None else 1 - kappa


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(row["measure"] for row in rows))
    values = {(row["ratio"], row["measure"]): row["value"] for row in rows}
    return [
        "",
        "## Pruned by magnitude, layer by layer",
        "",
        "| ratio | " + " | ".join(map(_cell, names)) + " |",
        "|---" * (len(names) + 1) + "|",
        *(
            f"| {ratio:g} | " + " | ".join(f"{values[ratio, name]:.4g}" for name in names) + " |"
            for ratio in dict.fromkeys(row["ratio"] for row in rows)
        ),
    ]


def _interval(row: Mapping[str, Any], prefix: str) -> str:
    if row[f"{prefix}alpha"] is None:
        return ""
    low, high = (_number(row[f"{prefix}alpha_{end}"]) for end in ("low", "high"))
    return f"{_number(row[f'{prefix}alpha'])} [{low}, {high}]"


def _number(value: float | None) -> str:
    return "" if value is None else "∞" if math.isinf(value) else f"{value:.3f}"


def _cell(text: str) -> str:
    """Text that ends no cell and starts no markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[").replace("\n", " ")
