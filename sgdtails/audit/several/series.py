"""A series of checkpoints of one training: tail indices of every layer against the step."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sgdtails.audit.layer import estimates
from sgdtails.audit.page.blocks import Cell, Name, Page, Section, Table, number
from sgdtails.audit.weights.matrices import matrices

_KEPT = ("alpha", "alpha_low", "alpha_high", "entries_alpha", "entries_alpha_low", "entries_alpha_high", "zero_share", "dead")  # fmt: skip

# The words that training scripts write before a number, the finest first, and any whole number.
_STEPS = tuple(
    re.compile(rf"{word}(\d+)", re.IGNORECASE)
    for word in (r"steps?[=_-]?", r"iter(?:ation)?s?[=_-]?", r"epochs?[=_-]?", "")
)
_FRACTION = re.compile(r"(?<!\d)\d+\.\d+")  # a loss, or an accuracy


def steps(sources: Sequence[str]) -> list[tuple[int, str]]:
    """Put the checkpoints of a series in the order of their steps.

    The step is the number after the word step, iter or epoch in a file's name, else the last whole number there; or in the name of its
    folder, where the files of all have one name. Where some have none, or two have the same, checkpoints are numbered from 0 as people
    sort their names.

    Parameters
    ----------
    sources : sequence of str
        Files.

    Returns
    -------
    list of tuple of int and str
        Step and file, ascending.

    Examples
    --------
    >>> steps(["run/step_1000.pt", "run/step_90.pt"])
    [(90, 'run/step_90.pt'), (1000, 'run/step_1000.pt')]
    >>> steps(["checkpoint-500/model.pt", "checkpoint-50/model.pt"])
    [(50, 'checkpoint-50/model.pt'), (500, 'checkpoint-500/model.pt')]
    >>> steps(["epoch=1-val_loss=0.90.ckpt", "epoch=0-val_loss=0.95.ckpt"])
    [(0, 'epoch=0-val_loss=0.95.ckpt'), (1, 'epoch=1-val_loss=0.90.ckpt')]
    """
    stems = {source: Path(source).stem for source in sources}
    if len(set(stems.values())) < len(stems):
        stems = {source: Path(source).parent.name for source in sources}
    plain = {source: _FRACTION.sub("", stem) for source, stem in stems.items()}
    looks = [*((pattern, plain) for pattern in _STEPS), (_STEPS[-1], stems)]  # resnet50.100 has no other number
    for pattern, texts in looks:
        numbers = {source: pattern.findall(text) for source, text in texts.items()}
        found = {source: int(digits[-1]) for source, digits in numbers.items() if digits}
        if len(set(found.values())) == len(sources):
            return sorted((step, source) for source, step in found.items())
    return list(enumerate(sorted(sources, key=_natural)))


def _natural(text: str) -> list[tuple[bool, int, str]]:
    pieces = (piece for piece in re.split(r"(\d+)", text) if piece)
    return [(piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces]


def rows(state: Mapping[str, Any], *, seed: int, entries: int, exclude: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield tail indices of the layers of one checkpoint of a series.

    Parameters
    ----------
    state : mapping of str to numpy.ndarray or torch.Tensor
        Its arrays by name.
    seed : int
        Seed of orders and signs, the same for all checkpoints.
    entries : int
        Most weights of a layer that estimates are made from.
    exclude : sequence of str
        Patterns of names of arrays that are no layers.

    Yields
    ------
    dict
        Rows of table ``audit_series``, less step and checkpoint.

    Examples
    --------
    >>> state = {"a.weight": np.random.default_rng(0).standard_normal((100, 20))}
    >>> [(row["layer_name"], round(row["alpha"], 1)) for row in rows(state, seed=0, entries=2**20)]
    [('a', 2.0)]
    """
    for layer, matrix in enumerate(matrices(state, exclude)[0]):
        columns = {"reason": matrix.reason or estimates.NOT_FINITE}
        if matrix.reason is None:
            found = estimates.of_tensor(matrix.tensor, [seed, layer], entries, labelled=False)
            columns = found.columns if found else columns
        common = {"layer": layer, "layer_name": matrix.name, "reason": columns.get("reason")}
        yield common | {name: columns.get(name) for name in _KEPT}


def page(name: str, found: Sequence[Mapping[str, Any]]) -> Page:
    """Put together the page of a series: the first and the last index of each layer, and the lowest.

    Parameters
    ----------
    name : str
        What the series is called.
    found : sequence of dict
        Rows of table ``audit_series``.

    Returns
    -------
    Page
        For ``markdown.write`` and ``html.write``.

    Examples
    --------
    >>> common = {"layer": 0, "layer_name": "a", "alpha_low": 1.9, "alpha_high": 2.1}
    >>> found = [common | {"step": 0, "alpha": 2.0}, common | {"step": 9, "alpha": 1.5}]
    >>> "".join(page("run", found).answer[0])
    'run: 2 checkpoints from step 0 to 9; in 1 of 1 layers the tail index falls from the first to the last by more than its interval is wide.'
    """
    layers = list(dict.fromkeys(row["layer_name"] for row in found))
    counts = sorted({row["step"] for row in found})
    lines, fallen = [], 0
    for layer in layers:
        known = sorted(
            (row for row in found if row["layer_name"] == layer and row["alpha"] is not None),
            key=lambda row: row["step"],
        )
        if not known:
            continue
        first, last, lowest = known[0], known[-1], min(known, key=lambda row: row["alpha"])
        fallen += first["alpha"] - last["alpha"] > last["alpha_high"] - last["alpha_low"]
        alphas = [row["alpha"] for row in known]
        lines.append(
            [
                Cell([str(first["layer"])], first["layer"]),
                Cell([Name(layer)]),
                *(Cell([number(row["alpha"])], row["alpha"]) for row in (first, last, lowest)),
                Cell([f"{lowest['step']:,}"], lowest["step"]),
                Cell([number(float(np.ptp(alphas)))], float(np.ptp(alphas))),
            ]
        )
    said = (
        f": {len(counts)} checkpoints from step {counts[0]:,} to {counts[-1]:,}; in {fallen} of {len(layers)} layers the tail "
        "index falls from the first to the last by more than its interval is wide."
    )
    columns = (
        *(("layer", True), ("name", False), ("α̂ at the first", True), ("at the last", True), ("lowest", True)),
        *(("at step", True), ("range", True)),
    )
    table = Table("layers", "Tail index of rows of each layer", columns, lines)
    return Page(["Series ", Name(name)], [[Name(name), said]], [Section("Layers", table=table)])
