"""The exceptions that end in one sentence."""

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 20  # names in a sentence
_CLOSE = 0.6  # similarity that a guess needs: "wd" has 0.57 with "width", which is no help


class InputError(ValueError):
    """Something the user gave is wrong; the message is one sentence: what, where, what to do."""


class UserCodeError(Exception):
    """Code of the user's own raised an exception, which is the cause; the message is one sentence: which, where, what to do."""


def unknown(
    kind: str, name: object, where: str, valid: Iterable[str], *, listed: Iterable[str] | None = None
) -> InputError:
    """Build the error for a name that is not among the valid ones, with the nearest of these. If none is near, it lists them.

    Parameters
    ----------
    kind : str
        What the name is of.
    name : object
        The name given.
    where : str
        Where it was given.
    valid : iterable of str
        The valid names.
    listed : iterable of str, optional
        Those of them to list, if not all.

    Returns
    -------
    InputError
        The error, to be raised.

    Examples
    --------
    >>> print(unknown("dataset", "mnits", "the run table", ["mnist", "cifar10"]))
    unknown dataset 'mnits' in the run table: did you mean 'mnist'?
    """
    names, given = sorted(valid), str(name)[:100]
    close = get_close_matches(given, names, n=1, cutoff=_CLOSE)
    names = names if listed is None else sorted(listed)
    more = f" … ({len(names):,} in all)" if len(names) > _SHOWN else ""
    hint = f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(names[:_SHOWN])}{more}."
    return InputError(f"unknown {kind} {given!r} in {where}: {hint}")


_NO_MEMORY = (
    *(
        "can't allocate memory",
        "cannot allocate memory",
        "not enough memory",
        "out of memory",
        "alloc_failed",
        "bad_alloc",
    ),
    *(
        "failed to map segment",
        "can't start new thread",
        "thread constructor failed",
    ),  # an address space that is too small
)


def out_of_memory(error: BaseException | None) -> bool:
    """Decide whether an error says that memory or address space has run out, the machine's or a GPU's.

    Torch, and the loader of libraries, often say so in words only; torch is not imported for that.

    Parameters
    ----------
    error : BaseException or None
        The error.

    Returns
    -------
    bool
        True if so.

    Examples
    --------
    >>> out_of_memory(RuntimeError("CUDA error: out of memory")), out_of_memory(ValueError("out of memory"))
    (True, False)
    """
    if error is None:
        return False
    if any(kind.__name__ in ("MemoryError", "OutOfMemoryError") for kind in type(error).__mro__):
        return True
    words = isinstance(error, RuntimeError | ImportError | OSError) and any(
        part in str(error).lower() for part in _NO_MEMORY
    )
    return words or out_of_memory(
        error.__context__
    )  # out of memory during CUDA-graph capture surfaces as a capture error


def unrepeatable(error: BaseException) -> bool:
    """Decide whether an error is torch's refusal of an operation that does not give the same result twice.

    Parameters
    ----------
    error : BaseException
        The error.

    Returns
    -------
    bool
        True if so.

    Examples
    --------
    >>> unrepeatable(RuntimeError("fold does not have a deterministic implementation"))
    True
    """
    return isinstance(error, RuntimeError) and "does not have a deterministic implementation" in f"{error}"


class Interrupted(Exception):
    """A signal has asked the process to end; what was done is saved."""
