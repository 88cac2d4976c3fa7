"""The answer in three sentences, from the rows of an audit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sgdtails.audit.layer.compressibility import LEVELS, MAGNITUDES
from sgdtails.audit.layers import Rows
from sgdtails.audit.page.blocks import Name, Text, number, percent
from sgdtails.tail_index import classify

GAUSSIAN_SHARES = {0.01: 0.0576, 0.1: 0.2653}  # of a Gaussian layer that can go at these relative errors
Row = Mapping[str, Any]


def sentences(rows: Rows, *, arrays: int) -> list[Text]:
    """Answer what an audit asks: how many layers, which are heavy-tailed and by how much, what can go, what is dead.

    Parameters
    ----------
    rows : dict
        Rows of the tables of an audit.
    arrays : int
        How many arrays the checkpoint has, vectors included.

    Returns
    -------
    list of sequence of str
        Sentences, as pieces of text and names.

    Examples
    --------
    >>> row = {"layer": 0, "layer_name": "a", "reading": "undecided", "parameters": 4, "below_gaussian": None, "below_shuffled": None,
    ...        "block_lengths": None, "driven_by": None, "zero_share": 1.0, "dead": 2, "observations": 0, "observations_left_out": 0, "law": None}
    >>> ["".join(each) for each in sentences({"audit": [row], "audit_compression": []}, arrays=3)][0]
    '1 layer with 4 weights, of 3 arrays: 1 undecided.'
    """
    layers = rows["audit"]
    labels = Counter(row["reading"] for row in layers)
    counted = ", ".join(f"{labels[word]} {word}" for word in classify.LABELS if labels[word])
    weights = sum(row["parameters"] for row in layers)
    first = f"{_count(len(layers), 'layer')} with {weights:,} weights, of {_count(arrays, 'array')}: {counted}."
    return [[first, *laws(layers)], _heavier(layers), [*_removable(rows), *_dead(layers)]]


def laws(layers: Sequence[Row]) -> Text:
    """Say which laws describe the layers best; nothing if none was fitted.

    >>> laws([{"law": "laplace"}, {"law": "undecided"}, {"law": None}])
    [' The likeliest law of the weights is laplace in 1 layer; two laws are too close to call in 1.']
    """
    found = Counter(row["law"] for row in layers if row["law"])
    close = found.pop("undecided", 0)
    said = [
        f"{law} in {_count(count, 'layer') if not n else count}" for n, (law, count) in enumerate(found.most_common())
    ]
    parts = [f"the likeliest law of the weights is {', '.join(said)}"] if said else []
    parts += [f"two laws are too close to call in {close if said else _count(close, 'layer')}"] if close else []
    sentence = "; ".join(parts)
    return [f" {sentence[0].upper()}{sentence[1:]}."] if sentence else []


def heavier(row: Row, null: str) -> bool:
    """Say whether a profile lies below the band of a null at most of its block lengths.

    >>> heavier({"block_lengths": 6, "below_gaussian": 4}, "gaussian")
    True
    """
    below, lengths = row[f"below_{null}"], row["block_lengths"]
    return below is not None and lengths is not None and 2 * below > lengths


def _heavier(layers: Sequence[Row]) -> Text:
    found = sorted((row for row in layers if heavier(row, "gaussian")), key=lambda row: -row["gap_gaussian"])
    compared = sum(row["below_gaussian"] is not None for row in layers)
    if not compared:
        return ["No layer can be compared with Gaussian ones."]
    if not found:
        return [
            f"Of {_count(compared, 'layer')} compared none has rows heavier than those of Gaussian layers of its shape."
        ]
    gap = float(np.median([row["gap_gaussian"] for row in found]))
    names: list[str] = []
    for row in found[:3]:
        small = ", since some of its rows are small" if row["driven_by"] == "small norms" else ""
        below = f" ({number(row['alpha'])}, lower by {number(row['gap_gaussian'])}{small})"
        names += [", ", Name(row["layer_name"]), below] if names else [Name(row["layer_name"]), below]
    if len(found) > 3:
        names.append(f" and {len(found) - 3} more")
    tied = sum(heavier(row, "shuffled") for row in found)
    return [
        f"The rows of {len(found)} of {_count(compared, 'layer')} are heavier than those of Gaussian layers of the same shape, "
        f"in the median by {number(gap)} of tail index: ",
        *names,
        f"; {tied} of these also than the layer's own entries in random order, so there it matters which weights share a row.",
    ]


def removable(rows: Rows, level: float) -> dict[int, float]:
    """Give the share of each layer's entries that can go at a relative error, by layer.

    >>> row = {"layer": 3, "structure": "magnitudes", "epsilon": 0.1, "kappa": 0.75}
    >>> removable({"audit_compression": [row]}, 0.1)
    {3: 0.25}
    """
    return {
        row["layer"]: 1 - row["kappa"]
        for row in rows["audit_compression"]
        if row["structure"] == MAGNITUDES and row["epsilon"] == level
    }


def _removable(rows: Rows) -> Text:
    sizes = {row["layer"]: row["parameters"] for row in rows["audit"]}
    said = []
    for level in LEVELS:
        shares = removable(rows, level)
        if not shares:
            return ["Nothing can be said of what can be removed"]
        share = sum(sizes[layer] * part for layer, part in shares.items()) / sum(sizes[layer] for layer in shares)
        said.append(
            f"{percent(share)} of the entries at a relative error of {100 * level:g}% ({percent(GAUSSIAN_SHARES[level])} of Gaussian ones)"
        )
    return [f"What can go, smallest first, is {' and '.join(said)}"]


def _dead(layers: Sequence[Row]) -> Text:
    zeros = sum(round((row["zero_share"] or 0) * row["parameters"]) for row in layers)
    counted = "; no weight is zero"
    if zeros:
        share = zeros / sum(row["parameters"] for row in layers)
        counted = f"; {_count(zeros, 'weight')} {'is' if zeros == 1 else 'are'} zero ({percent(share)})"
    dead = [row for row in layers if row["dead"]]
    if not dead:
        return [f"{counted}, no row is dead."]
    named: list[str] = []
    for row in dead[:3]:
        named += [", " if named else "", f"{row['dead']:,} rows or kernels of ", Name(row["layer_name"])]
    more = f" and of {len(dead) - 3} more layers" if len(dead) > 3 else ""
    return [f"{counted}, and dead are ", *named, more, "."]


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")
