"""The answer in a few sentences, from the rows of an audit."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sgdtails.audit.layer.compressibility import LEVELS, MAGNITUDES
from sgdtails.audit.layers import Rows
from sgdtails.audit.page.blocks import Name, Text, count_of, number, percent
from sgdtails.audit.page.verdict import GAUSSIAN_SHARES, verdict
from sgdtails.tail_index import classify

_SHOWN = 0.1  # relative error of the share in the verdict
Row = Mapping[str, Any]


def sentences(rows: Rows, *, arrays: int) -> list[Text]:
    """Answer what an audit asks: is it heavy-tailed; how many layers, which have a low index and by how much, what can go, what is dead.

    Parameters
    ----------
    rows : dict
        Rows of the tables of an audit.
    arrays : int
        How many arrays the checkpoint has, vectors included.

    Returns
    -------
    list of sequence of str
        Sentences, as pieces of text and names; the verdict first.

    Examples
    --------
    >>> row = {"layer": 0, "layer_name": "a", "reading": "undecided", "parameters": 4, "alpha": None, "below_gaussian": None, "below_shuffled": None,
    ...        "block_lengths": None, "driven_by": None, "zero_share": 1.0, "dead": 2, "observations": 0, "observations_left_out": 0, "law": None}
    >>> ["".join(each) for each in sentences({"audit": [row], "audit_compression": [], "audit_profiles": []}, arrays=3)][:2]
    ['No layer has a tail index, so nothing can be said of heavy tails: the table says why.', '1 layer with 4 weights, of 3 arrays: 1 undecided.']
    """
    layers = rows["audit"]
    labels = Counter(row["reading"] for row in layers)
    counted = ", ".join(f"{labels[word]} {word}" for word in classify.LABELS if labels[word])
    weights = sum(row["parameters"] for row in layers)
    shares = {level: _share(rows, level) for level in LEVELS}
    about = f"{count_of(len(layers), 'layer')} with {weights:,} weights, of {count_of(arrays, 'array')}: {counted}."
    return [
        verdict(layers, shares[_SHOWN]),
        [about, *laws(layers)],
        _heavier(layers, _gaussian(rows["audit_profiles"])),
        [_removable(shares), *_dead(layers)],
    ]


def laws(layers: Sequence[Row]) -> Text:
    """Say which laws describe the layers best; nothing if none was fitted.

    >>> laws([{"law": "laplace"}, {"law": "undecided"}, {"law": None}])
    [' The likeliest law of the weights is laplace in 1 layer; two laws are too close to call in 1.']
    """
    found = Counter(row["law"] for row in layers if row["law"])
    close = found.pop("undecided", 0)
    said = [
        f"{law} in {count_of(count, 'layer') if not n else count}" for n, (law, count) in enumerate(found.most_common())
    ]
    parts = [f"the likeliest law of the weights is {', '.join(said)}"] if said else []
    parts += [f"two laws are too close to call in {close if said else count_of(close, 'layer')}"] if close else []
    sentence = "; ".join(parts)
    return [f" {sentence[0].upper()}{sentence[1:]}."] if sentence else []


def heavier(row: Row, null: str) -> bool:
    """Say whether a profile lies below the band of a null at most of its block lengths.

    >>> heavier({"block_lengths": 6, "below_gaussian": 4}, "gaussian")
    True
    """
    below, lengths = row[f"below_{null}"], row["block_lengths"]
    return below is not None and lengths is not None and 2 * below > lengths


def _gaussian(profiles: Sequence[Row]) -> dict[int, float]:
    """Give the tail index of Gaussian layers of each layer's shape: the median over block lengths."""
    found = defaultdict(list)
    for row in profiles:
        if (row["estimator"], row["series"]) == ("mmo_multivariate", "gaussian"):
            found[row["layer"]].append(row["alpha"])
    return {layer: float(np.median(values)) for layer, values in found.items()}


def _heavier(layers: Sequence[Row], gaussian: Mapping[int, float]) -> Text:
    found = sorted(
        (row for row in layers if heavier(row, "gaussian")), key=lambda row: row["alpha"] - gaussian[row["layer"]]
    )
    compared = sum(row["below_gaussian"] is not None for row in layers)
    if not compared:
        return ["No layer can be compared with Gaussian ones."]
    if not found:
        return [
            f"Compared with Gaussian layers of the same shape, no layer of {compared} has rows of a lower tail index."
        ]
    names: list[str] = []
    for row in found[:3]:
        small = ", since some of its rows are small" if row["driven_by"] == "small norms" else ""
        below = f" ({number(row['alpha'])} where Gaussian layers have {number(gaussian[row['layer']])}{small})"
        names += [", " if names else "", Name(row["layer_name"]), below]
    if len(found) > 3:
        names.append(f" and {len(found) - 3} more")
    return [
        f"Compared with Gaussian layers of the same shape, {len(found)} of {count_of(compared, 'layer')} "
        f"{'has' if len(found) == 1 else 'have'} rows of a lower tail index: ",
        *names,
        f".{_order(sum(heavier(row, 'shuffled') for row in found), len(found))}",
    ]


def _order(count: int, of: int) -> str:
    """Say in how many of the layers that have a low index it comes from the arrangement of weights in rows."""
    if not count:
        return ""
    which = "there" if of == 1 else "in all of these" if count == of else f"in {count} of these"
    return f" With a layer's own entries in random order the index is higher {which}: it matters which weights share a row."


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


def _share(rows: Rows, level: float) -> float | None:
    """Give the share of all entries that can go at a relative error; None where no layer has one."""
    sizes, shares = {row["layer"]: row["parameters"] for row in rows["audit"]}, removable(rows, level)
    if not shares:
        return None
    gone = sum(sizes[layer] * part for layer, part in shares.items())
    return float(gone / sum(sizes[layer] for layer in shares))


def _removable(shares: Mapping[float, float | None]) -> str:
    known = {level: share for level, share in shares.items() if share is not None}
    if not known:
        return "Nothing can be said of what can be removed."
    first, *others = (f"{percent(share)}{{}} at a relative error of {100 * level:g}%" for level, share in known.items())
    said = " and ".join([first.format(" of all entries can go"), *(each.format("") for each in others)])
    gaussian = " and ".join(percent(GAUSSIAN_SHARES[level]) for level in known)
    return f"With the smallest entries of each layer set to zero, {said}; of Gaussian ones {gaussian}."


def _dead(layers: Sequence[Row]) -> Text:
    known = [row for row in layers if row["zero_share"] is not None or not row["parameters"]]
    if not known:  # of weights that are not finite nothing is counted
        return []
    zeros = sum(round((row["zero_share"] or 0) * row["parameters"]) for row in known)
    counted = " No weight is zero"
    if len(known) < len(layers):
        counted = f" Of the {count_of(len(known), 'layer')} that can be counted, no weight is zero"
    if zeros:
        share = zeros / sum(row["parameters"] for row in known)
        counted = f" {count_of(zeros, 'weight')} {'is' if zeros == 1 else 'are'} zero ({percent(share)})"
    dead = [row for row in layers if row["dead"]]
    if not dead:
        return [f"{counted}, and no row is dead."]
    named: list[str] = []
    for row in dead[:3]:
        named += [", " if named else "", f"{row['dead']:,} rows or kernels of ", Name(row["layer_name"])]
    more = f" and of {len(dead) - 3} more layers" if len(dead) > 3 else ""
    return [f"{counted}, and dead are ", *named, f"{more}."]
