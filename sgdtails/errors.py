"""The one exception that stands for bad input."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave is wrong; the message is one sentence: what, where, what to do."""


def unknown(kind: str, name: object, where: str, valid: Iterable[str]) -> InputError:
    """The error for a name that is not in ``valid``, with the nearest valid one."""
    names = sorted(valid)
    close = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(names)}."
    return InputError(f"unknown {kind} {str(name)!r} in {where}: {hint}")


class Interrupted(Exception):
    """A signal has asked the process to end; what was done is saved."""
