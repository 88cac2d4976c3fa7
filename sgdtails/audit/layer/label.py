"""The label of a layer by majority of five readings, why it has it, and what would decide where it is undecided."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.tail_index import classify, mmo

VOTES = 5  # readings of a layer: one alone depends on its permutation
_WORDS = {"stable": "below 2", "finite": "at 2", "undecided": "open"}
Reading = Mapping[str, Any]


def votes(
    rows: NDArray[np.float32], entries: NDArray[np.float32], seed: Sequence[int], count: int = VOTES
) -> list[dict[str, Any]]:
    """Read a layer several times, with other random orders and signs each time.

    Parameters
    ----------
    rows, entries : numpy.ndarray
        Centred observations (N, d) and entries (n,).
    seed : sequence of int
        Seed of the orders.
    count : int
        How many readings.

    Returns
    -------
    list of dict
        What ``classify.classify_samples`` has.

    Raises
    ------
    ValueError
        For a layer without a tail index.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((256, 128)).astype(np.float32)
    >>> [found["reading"] for found in votes(rows, rows.ravel(), [0], 2)]
    ['finite-variance-like', 'finite-variance-like']
    """
    return [classify.classify_samples(rows, entries, rng=np.random.default_rng([*seed, n])) for n in range(count)]


def majority(found: Sequence[Reading]) -> dict[str, Any]:
    """Give the label that more than half of the readings have, and why.

    Parameters
    ----------
    found : sequence of mapping
        Readings.

    Returns
    -------
    dict
        ``reading`` (undecided without a majority), ``votes`` (0 then), ``why``, ``decides`` (what would decide; None for a label
        that is decided), ``log_norm_dispersion`` and ``reason``.

    Examples
    --------
    >>> rows = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    >>> found = majority(votes(rows, rows.ravel(), [0]))
    >>> found["reading"], found["why"]
    ('undecided', '6 rows and 12 entries are too few for long blocks')
    """
    label, count = Counter(reading["reading"] for reading in found).most_common(1)[0]
    decided = 2 * count > len(found)
    if not decided:
        label, count = "undecided", 0
    why, decides = _explanation(label, found) if decided else _split(found)
    kept = {key: found[0].get(key) for key in ("log_norm_dispersion", "reason")}
    return {"reading": label, "votes": count, "why": why, "decides": decides} | kept


def nothing(reason: str) -> dict[str, Any]:
    """Give the label of a layer that cannot be read, for a reason.

    >>> nothing("every weight is zero")["decides"]
    'nothing: it has no tail index'
    """
    return {"reading": "undecided", "why": reason, "decides": "nothing: it has no tail index"}


def _split(found: Sequence[Reading]) -> tuple[str, str]:
    counts = Counter(reading["reading"] for reading in found).most_common()
    shown = ", ".join(f"{count} {word}" for word, count in counts)
    return f"{len(found)} readings in random order disagree: {shown}", "more rows, or the same layer of more networks"


def _explanation(label: str, found: Sequence[Reading]) -> tuple[str, str | None]:
    reading = next(each for each in found if each["reading"] == label)
    known = {name: slopes for name in ("rows", "entries") if (slopes := _slopes(reading, name))}
    words = {name: slopes.label for name, slopes in known.items()}
    if label == "stable-like":
        which = " and ".join(name for name, word in words.items() if word == "stable")
        return f"the index of {which} is below 2 and the same over short and long blocks", None
    if label == "finite-variance-like":
        which = " and ".join(name for name, word in words.items() if word == "finite")
        return f"over long blocks the index of {which} is 2", None
    if label == "scale-mixture-like":
        return "rows differ in size more than by chance, and over long blocks their index rises to 2", None
    few = (reading.get("reason") or "").removeprefix("no two block lengths for ")
    if not known:
        return f"{few} are too few for long blocks", "more rows only"
    why, decides = _open(reading, known, words)
    return f"{few} are too few for long blocks; {why}" if few else why, decides


def _open(reading: Reading, known: Mapping[str, classify.Slopes], words: Mapping[str, str]) -> tuple[str, str]:
    """Why a reading with slopes is undecided."""
    if {"stable", "finite"} <= set(words.values()):
        shown = ", ".join(f"of {name} {_WORDS[word]}" for name, word in words.items())
        return f"rows and entries contradict each other: index {shown}", "a look at the profile in the figure"
    if reading.get("dispersed"):
        why = "rows differ in size more than by chance, but their index does not clearly rise to 2 over long blocks"
        return why, _more(known.get("rows"))
    drifting = [name for name, slopes in known.items() if slopes.drift[1] > 0 and slopes.far[1] > 1 / mmo.CLIP]
    if drifting:
        why = f"the index of {' and '.join(drifting)} rises with block length, but is not at 2 over the longest blocks"
        return why, "longer blocks, so more rows"
    name, slopes = min(known.items(), key=lambda item: item[1].far[2] - item[1].far[1])
    low, high = mmo.alpha_of(np.array([slopes.far[2], slopes.far[1]]))
    span = f"anything from {low:.2f} to {high:.2f}" if high < 10 else f"anything from {low:.2f} upwards"
    return f"over long blocks the index of {name} may be {span}", _more(slopes)


def _more(slopes: classify.Slopes | None) -> str:
    """About how many times as many rows: intervals shrink with the root of their number."""
    if slopes is None:
        return "more rows"
    wanted = 1 / classify.LIGHT - 1 / mmo.CLIP
    times = ((slopes.far[2] - slopes.far[1]) / wanted) ** 2
    return f"about {math.ceil(times)} times as many rows" if 1 < times < 1000 else "more rows"


def _slopes(reading: Reading, name: str) -> classify.Slopes | None:
    if reading.get(f"{name}_far") is None:
        return None
    near, far = (tuple(reading[f"{name}_{slope}{end}"] for end in ("", "_low", "_high")) for slope in ("near", "far"))
    drift = (near[0] - far[0], reading[f"{name}_drift_low"], reading[f"{name}_drift_high"])
    return classify.Slopes(near, far, drift, (reading[f"{name}_a"], reading[f"{name}_b"]))
