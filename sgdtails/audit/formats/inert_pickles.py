"""Pickles read without running anything of theirs: known names build tensors, all others become inert stand-ins."""

import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import IO, Any

import numpy as np


class StandIn:
    """An object of a class that is never looked up: it keeps what the pickle gives it, and does nothing.

    Examples
    --------
    >>> StandIn("rm -rf").given
    ('rm -rf',)
    """

    __slots__ = ("elements", "entries", "given", "state")
    given: tuple[Any, ...]  # to its class, or to the function that it is the result of
    state: Any  # that the pickle sets: attributes by name, or whatever else
    entries: list[tuple[Any, Any]]
    elements: list[Any]
    origin = ""  # module and name of the class, as the pickle has them

    def __new__(cls, *given: Any, **named: Any) -> "StandIn":
        """Keep the arguments, whatever they are."""
        self = object.__new__(cls)
        self.given, self.state, self.entries, self.elements = given, named or None, [], []
        return self

    def __init__(self, *given: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Keep the state that the pickle gives: attributes of the object, with those of slots."""
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep an entry of what the pickle takes for a mapping."""
        self.entries.append((key, value))

    def append(self, value: Any) -> None:
        """Keep an element of what the pickle takes for a list or a set."""
        self.elements.append(value)

    add = append

    def extend(self, values: Iterable[Any]) -> None:
        """Keep elements of what the pickle takes for a list."""
        self.elements.extend(values)

    def __call__(self, *given: Any, **named: Any) -> "StandIn":
        """Give another stand-in, for a pickle that calls what a function has returned."""
        return StandIn(*given)


class Builder:
    """A function of ours that a pickle may call; a pickle cannot change its attributes."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *given: Any) -> Any:
        """Call the function."""
        return self._function(*given)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse."""
        raise pickle.UnpicklingError("the pickle tries to change a function")

    def __setstate__(self, state: Any) -> None:
        """Refuse."""
        raise pickle.UnpicklingError("the pickle tries to change a function")


class Unpickler(pickle.Unpickler):
    """An unpickler that imports nothing.

    Parameters
    ----------
    file : binary file
        Where the pickle is read from.
    known : dict of str to object
        What may be called or used, by module and name with a dot between; all other names give a ``StandIn``.
    persistent : callable, optional
        What a persistent id stands for, such as the storage of a tensor.
    """

    def __init__(
        self, file: IO[bytes], known: dict[str, Any], persistent: Callable[[Any], Any] = lambda found: None
    ) -> None:
        super().__init__(file, encoding="latin1")  # of texts of Python 2, which may be bytes
        self._known, self._persistent = known, persistent
        self._classes: dict[str, type[StandIn]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Give what is known by this name, or a class of stand-ins."""
        origin = f"{module}.{name}"
        if origin in self._known:
            return self._known[origin]
        if origin not in self._classes:
            self._classes[origin] = type("StandIn", (StandIn,), {"__slots__": (), "origin": origin})
        return self._classes[origin]

    def persistent_load(self, found: Any) -> Any:
        """Give what a persistent id stands for."""
        return self._persistent(found)


class _Array(StandIn):
    """A numpy array in a pickle: its numbers are taken from its state."""

    __slots__ = ()

    def array(self) -> np.ndarray | None:
        """Give the array; None for one of objects, or where numbers and shape do not fit."""
        try:
            _, shape, dtype, fortran, data = self.state
            kind = np.dtype(str(dtype.given[0]))
            if isinstance(dtype.state, tuple) and dtype.state[1] == ">":
                kind = kind.newbyteorder(">")
            data = data.encode("latin1") if isinstance(data, str) else data
            if not isinstance(data, bytes | bytearray):  # a number would make as many zeros
                return None
            flat = np.frombuffer(bytearray(data), kind)
            return None if kind.hasobject else flat.reshape(shape, order="F" if fortran else "C")
        except (TypeError, ValueError, AttributeError, IndexError):
            return None


def plain() -> dict[str, Any]:
    """Give the names that need no torch: ordered mappings, bytes of old protocols, arrays of numpy."""
    known: dict[str, Any] = {"collections.OrderedDict": OrderedDict, "_codecs.encode": Builder(_encoded)}
    for package in ("numpy.core", "numpy._core"):
        known[f"{package}.multiarray._reconstruct"] = _Array
        known[f"{package}.numeric._frombuffer"] = Builder(_from_buffer)
    return known


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"unknown encoding {encoding!r:.20}")
    return text.encode("latin1")


def _from_buffer(data: Any, dtype: Any, shape: tuple[int, ...], order: str) -> _Array:
    if not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("an array whose numbers are no bytes")
    array = _Array()
    array.state = (1, shape, dtype, order == "F", bytes(data))
    return array


def array_of(value: Any) -> Any:
    """Give the array of numpy that a stand-in holds, if it is one of those; else the value itself."""
    return value.array() if isinstance(value, _Array) else value
