"""Whether a network is heavy-tailed, in a few plain words. The labels and laws of its layers decide, and what can go."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sgdtails.audit.page.blocks import Name, Text, count_of, percent

GAUSSIAN_SHARES = {0.01: 0.0576, 0.1: 0.2653}  # of a Gaussian layer that can go at these relative errors
_EASIER = 0.02  # how much more than Gaussian weights allow is no chance in small layers
_CHANCE = 20  # layers, of which one may look heavy-tailed by chance
_INFINITE = 2.0  # laws with a smaller tail index have infinite variance
_NAMED = 3
Row = Mapping[str, Any]
_WORDS = {"scale-mixture-like": ("has rows of unequal size", "have rows of unequal size"),
          "finite-variance-like": ("has a light tail", "have light tails"),
          "small": ("has a low index only since some of its rows are small", "have a low index only since some of their rows are small"),
          "undecided": ("is undecided", "are undecided"), "none": ("has no tail index", "have no tail index")}  # fmt: skip


def verdict(layers: Sequence[Row], share: float | None) -> Text:
    """Answer first: do layers look heavy-tailed, how sure is that, and is pruning easier.

    Parameters
    ----------
    layers : sequence of mapping
        Rows of table ``audit``.
    share : float or None
        Of the network's entries that can go at a relative error of 10%; None if it is not known.

    Returns
    -------
    sequence of str
        Sentences, as pieces of text and names.

    Examples
    --------
    >>> row = {"layer_name": "a", "alpha": 1.9, "reading": "scale-mixture-like", "driven_by": None, "law": "laplace", "law_tail_index": float("inf")}
    >>> print("".join(verdict([row, row | {"reading": "undecided"}], 0.23)))
    No layer looks like a heavy-tailed law: 1 has rows of unequal size, 1 is undecided. How sure: the likeliest laws say so, too, \
but the undecided layer may still be heavy-tailed. Pruning is no easier than for Gaussian weights: 23% can go at a relative error \
of 10%, 27% of Gaussian ones.
    """
    kinds = [_kind(row) for row in layers]
    return [*_tails(layers, kinds), *_sure(layers, kinds), *_pruning(share)]


def _kind(row: Row) -> str:
    if row["alpha"] is None:
        return "none"
    if row["reading"] != "stable-like":
        return str(row["reading"])
    return "small" if row["driven_by"] == "small norms" else "heavy"


def _tails(layers: Sequence[Row], kinds: Sequence[str]) -> Text:
    count, found = len(layers), set(kinds)
    if found == {"none"}:
        return ["No layer has a tail index, so nothing can be said of heavy tails: the table says why."]
    if found <= {"undecided", "none"}:
        which = "the layer" if count == 1 else f"any of the {count} layers"
        none = f"; {_counted('none', kinds.count('none'))}" if "none" in found else ""
        return [f"It is undecided whether {which} looks like a heavy-tailed law{none}."]
    others = ", ".join(_counted(word, kinds.count(word)) for word in _WORDS if word in found)
    heavy = [row for row, kind in zip(layers, kinds, strict=True) if kind == "heavy"]
    if heavy and count == 1:
        return ["The layer looks like a heavy-tailed law."]
    if heavy:
        verb = "looks" if len(heavy) == 1 else "look"
        rest = f"; the other {others.removeprefix('1 ')}" if count - len(heavy) == 1 else f"; of the others {others}"
        return [f"{len(heavy)} of {count_of(count, 'layer')} {verb} like a heavy-tailed law: ", *_names(heavy), f"{rest if others else ''}."]  # fmt: skip
    if count == 1:
        return [f"The layer does not look like a heavy-tailed law: it {others.removeprefix('1 ')}."]
    return [f"No layer looks like a heavy-tailed law: {others}."]


def _names(layers: Sequence[Row]) -> Text:
    named: list[str] = []
    for row in layers[:_NAMED]:
        named += [", " if named else "", Name(row["layer_name"])]
    return [*named, f" and {len(layers) - _NAMED} more" if len(layers) > _NAMED else ""]


def _counted(word: str, count: int) -> str:
    return f"{count} {_WORDS[word][count > 1]}"


def _pruning(share: float | None) -> Iterable[str]:
    if share is None:
        return []
    gaussian = GAUSSIAN_SHARES[0.1]
    word = "easier" if share > gaussian + _EASIER else "no easier"
    return [
        f" Pruning is {word} than for Gaussian weights: {percent(share)} can go at a relative error of 10%, {percent(gaussian)} of Gaussian ones."
    ]


def _sure(layers: Sequence[Row], kinds: Sequence[str]) -> Iterable[str]:
    """Say whether the laws, which are found in another way, agree with the labels, and what is open."""
    looked = [row for row, kind in zip(layers, kinds, strict=True) if kind == "heavy"]
    known = [row for row in looked or layers if row["law"] and row["alpha"] is not None]
    infinite = sum(row["law_tail_index"] < _INFINITE for row in known)
    if not known:
        return []
    if looked:
        finite = len(known) - infinite
        law = (
            f"not very, since the likeliest law of {finite} of these has finite variance"
            if finite
            else "the likeliest laws say so, too"
        )
        few = "; so few of so many may be chance" if _CHANCE * len(looked) <= len(layers) else ""
        return [f" How sure: {law}{few}."]
    if set(kinds) <= {"undecided", "none"}:
        which = (
            f"for it in {count_of(infinite, 'layer')}: infinite variance"
            if infinite
            else "against it: none has infinite variance"
        )
        return [f" The likeliest laws speak {which}."]
    law = (
        f"not very, since the likeliest law of {count_of(infinite, 'layer')} has infinite variance"
        if infinite
        else "the likeliest laws say so, too"
    )
    still = kinds.count("undecided")
    which = "the undecided layer" if still == 1 else f"the {still} undecided layers"
    return [f" How sure: {law}{f', but {which} may still be heavy-tailed' if still and not infinite else ''}."]
