"""The page of an audit: the answer, a narrow table of layers, zeros and dead rows, accuracy, and how to read it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sgdtails.audit.layers import Rows
from sgdtails.audit.page import answer
from sgdtails.audit.page.blocks import Cell, Interval, Name, Page, Section, Table, Text, number, percent

SHOWN = 0.1  # relative error of the share in the table
_NUMBERS = 8  # of dead rows that are named
_REASONS = 8  # for which arrays are left out
LEGEND = (
    ("rows", "What a layer is a sample of: one output's incoming weights, of a convolution one kernel, of a layer with few outputs one input's outgoing weights."),
    ("tail index α̂", "How fast sums of rows grow with their number. 2 is a light tail, such as a Gaussian one; less is heavier. In brackets: its 95% interval."),
    ("stable-like", "The index is the same over short and long blocks, and below 2: a heavy tail of the weights themselves."),
    ("finite-variance-like", "Over long blocks the index is 2: a light tail, or one that ends."),
    ("scale-mixture-like", "Rows of different size, each with a light tail: heavy as a layer, not as single weights."),
    ("undecided", "The data allow more than one of these. The row says why, and what would decide."),
    ("best law", "Of eleven laws of single weights and of rows, the likeliest. In brackets: its tail index, where that is finite. Two laws where they are too close to call. The label goes by sums of rows, the law by every weight."),
    ("removable", "Share of the smallest weights that can be set to zero at that relative ℓ2 error of the layer. An error of weights is not one of outputs: measure accuracy."),
    ("dead", "Rows or kernels that are zero, or lie below a gap of a factor of ten and more in the sorted norms. They are left out of α̂."),
    ("driven by small norms", "α̂ is low since some rows are unusually small, not since some are large: no heavy tail."),
)  # fmt: skip
FILES = (
    ("plan.json", "The file beside this page with the removable shares of each layer, for torch.nn.utils.prune."),
    ("audit.png", "The figure. Top: α̂, removable shares and ranks of each layer. Middle: α̂ at each block length, of the layers of lowest, middle and highest α̂, over the range of two kinds of layers without heavy tails. Bottom: the error as entries or singular values are removed."),
)  # fmt: skip
SPECTRA = ("effective rank", "How many directions a layer uses: exp of the entropy of its squared singular values' shares, over the full rank; 1 if all are used alike. The figure's last panel has it against α̂: do layers of lower α̂ have a lower rank?")  # fmt: skip
NOTE = "* The interval may be too short: rows of 100 numbers and more, with an index near 2."


def page(
    name: str,
    source: str,
    rows: Rows,
    *,
    arrays: int,
    read_as: str = "",
    figure: str | None = None,
    with_files: bool = False,
) -> Page:
    """Put together the page of an audit.

    Parameters
    ----------
    name, source : str
        What the audit is called, and the file or model.
    rows : dict
        Rows of its tables; ``audit_skipped`` (name, shape, dtype, reason) and ``audit_accuracy`` may be missing.
    arrays : int
        How many arrays the checkpoint has.
    read_as : str
        What the file was read as.
    figure : str, optional
        Name of the figure's file beside the page.
    with_files : bool
        True if tables and plan are written beside the page, which then names them.

    Returns
    -------
    Page
        For ``markdown.write`` and ``html.write``.

    Examples
    --------
    >>> import numpy as np
    >>> from sgdtails.audit import layers
    >>> from sgdtails.audit.page import markdown
    >>> state = {"a.weight": np.random.default_rng(0).standard_normal((64, 32), np.float32)}
    >>> nulls = {"replicates": 2, "entries": 2**10}
    >>> rows = layers.audit(state, where="mine", seed=0, entries=2**20, nulls=nulls, epsilon=[0.1])
    >>> print(markdown.write(page("mine", "mine.pt", rows, arrays=1)).splitlines()[4])
    `mine.pt`: 1 layer with 2,048 weights, of 1 array: 1 undecided. The likeliest law of the weights is gaussian in 1 layer.
    """
    first, about, *others = answer.sentences(rows, arrays=arrays)
    sentences = [first, [Name(source), f", read as {Name(read_as).printable}: " if read_as else ": ", *about], *others]
    if rows.get("audit_skipped"):
        sentences.append(_skipped(rows["audit_skipped"], with_files=with_files))
    short = any(row["interval_holds"] is False for row in rows["audit"])
    table = _layers(rows, with_files=with_files)
    sections = [Section("Layers", table, NOTE if short else ""), _zeros(rows["audit"])]
    if rows.get("audit_accuracy"):
        sections.append(Section("Pruned by magnitude, layer by layer", table=_accuracy(rows["audit_accuracy"])))
    terms = [*LEGEND, *(FILES if with_files else ())]
    if with_files and not rows.get("audit_accuracy"):
        terms.append(SPECTRA)
    sections.append(Section("How to read this page", terms=terms))
    return Page(["Audit of ", Name(name)], sentences, [each for each in sections if each], figure)


def _skipped(rows: Sequence[Mapping[str, Any]], *, with_files: bool) -> Text:
    reasons = Counter(row["reason"] for row in rows).most_common()
    shown = [f"{count} as {Name(reason).printable}" for reason, count in reasons[:_REASONS]]
    more = f" and {sum(count for _, count in reasons[_REASONS:])} more" if len(reasons) > _REASONS else ""
    named = "; table skipped names them" if with_files else ""
    return [f"Left out: {', '.join(shown)}{more}{named}."]


def _layers(rows: Rows, *, with_files: bool) -> Table:
    shares = answer.removable(rows, SHOWN)
    columns = (
        *(("layer", True), ("name", False), ("shape", False), ("tail index α̂ of rows", True)),
        *(("label, and why", False), ("best law", False), (f"removable at {percent(SHOWN)}", True)),
    )
    lines, intervals = [], []
    for row in rows["audit"]:
        share = shares.get(row["layer"])
        lines.append(
            [
                Cell([str(row["layer"])], row["layer"]),
                Cell([Name(row["layer_name"])]),
                Cell([row["shape"].replace(" x ", " × ")], row["parameters"]),
                Cell([interval(row) + ("*" if row["interval_holds"] is False else "")], row["alpha"]),
                Cell([row["reading"], *_why(row)], mark=row["reading"].removesuffix("-like")),
                Cell([law(row)]),
                Cell([percent(share)], share),
            ]
        )
        known = row["alpha"] is not None
        intervals.append(Interval(row["alpha_low"], row["alpha"], row["alpha_high"]) if known else None)
    caption = "One line per layer; audit.parquet has the rest" if with_files else "One line per layer"
    return Table("layers", caption, columns, lines, intervals)


def law(row: Mapping[str, Any]) -> str:
    """Write the best law with its tail index, or the two that are too close; nothing where there are no laws.

    >>> law({"law": "student-t", "law_tail_index": 3.931})
    'student-t (3.93)'
    """
    if row["law"] is None:
        return ""
    if row["law"] == "undecided":
        return f"{row['law_best']} or {row['law_rival']}"
    index = row["law_tail_index"]
    return f"{row['law']} ({number(index)})" if math.isfinite(index) else f"{row['law']}"


def interval(row: Mapping[str, Any], prefix: str = "") -> str:
    """Write an index with its interval; nothing where there is none.

    >>> interval({"alpha": 1.5, "alpha_low": 1.4, "alpha_high": 1.6})
    '1.50 [1.40, 1.60]'
    """
    value, low, high = (row[f"{prefix}alpha{end}"] for end in ("", "_low", "_high"))
    return "" if value is None else f"{number(value)} [{number(low)}, {number(high)}]"


def _why(row: Mapping[str, Any]) -> list[str]:
    said = f": {row['why']}" if row["why"] else ""
    if row["decides"]:
        said += f"; would be decided by {row['decides']}"
    flags = []
    if row["driven_by"] == "small norms":
        flags.append("driven by small norms")
    if row["reason"] and row["reason"] != row["why"] and "no two block lengths" not in row["reason"]:
        flags.append(row["reason"])
    if row["observations_left_out"]:
        flags.append(f"{row['observations_left_out']:,} rows or kernels left out at random")
    return [said, *(f" ({flag})" for flag in flags)]


def _zeros(layers: Sequence[Mapping[str, Any]]) -> Section | None:
    """Layers with dead rows or zeros; None if there are none."""
    lines = []
    for row in layers:
        if not row["dead"] and not row["zero_share"]:
            continue
        numbers = row["dead_rows"] or []
        which = ", ".join(map(str, numbers[:_NUMBERS])) + (", …" if len(numbers) > _NUMBERS else "")
        lines.append(
            [
                Cell([str(row["layer"])], row["layer"]),
                Cell([Name(row["layer_name"])]),
                Cell([percent(row["zero_share"])], row["zero_share"]),
                Cell([f"{row['dead']:,} of {row['dead'] + row['observations'] + row['observations_left_out']:,}" if row["dead"] else ""], row["dead"]),
                Cell([which]),
                *(Cell([number(row[key])], row[key]) for key in ("alpha", "alpha_with_dead", "entries_alpha", "entries_alpha_with_zeros")),
            ]
        )  # fmt: skip
    if not lines:
        return None
    columns = (
        *(("layer", True), ("name", False), ("zeros", True), ("dead rows or kernels", True), ("whole rows or filters", False)),
        *(("α̂ of rows", True), ("with dead", True), ("α̂ of entries", True), ("with zeros", True)),
    )  # fmt: skip
    return Section("Zeros and dead rows", table=Table("zeros", "What is left out, and α̂ with it", columns, lines))


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(row["measure"] for row in rows))
    values = {(row["ratio"], row["measure"]): row["value"] for row in rows}
    columns = [("ratio", True), *((name, True) for name in names)]
    lines = [
        [Cell([f"{ratio:g}"], ratio), *(Cell([f"{values[ratio, name]:.4g}"], values[ratio, name]) for name in names)]
        for ratio in dict.fromkeys(row["ratio"] for row in rows)
    ]
    return Table("accuracy", "What the evaluation function says at each pruning ratio", columns, lines)
