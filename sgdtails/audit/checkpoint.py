"""What a checkpoint gives: its arrays by name, and what was left out of them."""

import itertools
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Skipped:
    """An array, or a file beside the checkpoint, that no layer is made from.

    Parameters
    ----------
    name : str
        Of the array, or of the file.
    shape : tuple of int
        Of the array; empty for a file.
    dtype : str
        Of its numbers; empty for a file.
    reason : str
        Why it was left out.

    Examples
    --------
    >>> Skipped("attn_mask", (64, 64), "float32", "a mask").reason
    'a mask'
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    reason: str

    def row(self) -> dict[str, Any]:
        """Give the row of table ``audit_skipped``, less the checkpoint."""
        shape = " x ".join(map(str, self.shape)) or None
        return {"name": self.name, "shape": shape, "dtype": self.dtype or None, "reason": self.reason}


@dataclass(frozen=True)
class Deferred:
    """An array that is computed when it is asked for, such as one that is stored in blocks of 4-bit numbers."""

    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Any]
    reason: str | None = None  # why it cannot be


class Checkpoint(dict[str, Any]):
    """The arrays of a checkpoint by name, in the order of its layers.

    Parameters
    ----------
    arrays : mapping of str to array
        Tensors of torch, arrays of numpy, or ``Deferred`` ones.
    skipped : iterable of Skipped, optional
        What the reader left out.
    read_as : str, optional
        What the file was read as.

    Examples
    --------
    >>> Checkpoint({"a": 1}, read_as="a safetensors file").read_as
    'a safetensors file'
    """

    def __init__(self, arrays: Mapping[str, Any], skipped: Iterable[Skipped] = (), read_as: str = "") -> None:
        super().__init__(arrays)
        self.skipped = tuple(skipped)
        self.read_as = read_as


def name_of(key: object) -> str:
    r"""Give a key as text, with question marks for what is no character and no file could hold.

    >>> name_of(1), name_of("a\ud800")
    ('1', 'a?')
    """
    return str(key).encode("utf-8", "replace").decode("utf-8")


def free(name: str, taken: Container[str]) -> str:
    """Give a name, or where that is taken the name with a number.

    >>> free("a", {}), free("a", {"a", "a (2)"})
    ('a', 'a (3)')
    """
    return next(each for n in itertools.count(1) if (each := name if n == 1 else f"{name} ({n})") not in taken)


def left_out(name: str, array: Any, reason: str) -> Skipped:
    """Give the entry of an array that is left out."""
    return Skipped(name, tuple(array.shape), dtype_of(array), reason)


def dtype_of(array: Any) -> str:
    """Give the name of the type of an array's numbers, the same for torch and numpy."""
    return str(array.dtype).removeprefix("torch.")
