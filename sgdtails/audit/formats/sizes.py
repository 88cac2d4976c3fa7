"""Files that are larger than memory: known by the sizes that they declare, and never called damaged."""

from sgdtails.config import validation
from sgdtails.errors import InputError

TOO_LARGE = "holds more than fits into this machine's memory; audit it on a larger one."


def refuse_larger(size: int, what: str) -> None:
    """Refuse what would not fit into memory, before it is read.

    Parameters
    ----------
    size : int
        Bytes of all that would be read.
    what : str
        The file, for the sentence.

    Raises
    ------
    InputError
        If the machine has less, or the process may use less.

    Examples
    --------
    >>> refuse_larger(1024, "a.npz")
    """
    if size > validation.memory():
        raise InputError(f"{what} {TOO_LARGE}")


def ran_out(what: str) -> InputError:
    """Give the error for a file whose reading has run out of memory: a damaged one may declare any size.

    >>> print(ran_out("a.h5"))
    a.h5 needs more memory than this process can have, unless it is damaged; audit it on a larger machine.
    """
    return InputError(
        f"{what} needs more memory than this process can have, unless it is damaged; audit it on a larger machine."
    )
