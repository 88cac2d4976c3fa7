"""Functions of the user's own, named in the config by their dotted paths. Their exceptions become one sentence."""

import importlib
import inspect
import os
import sysconfig
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sgdtails.errors import InputError, UserCodeError, out_of_memory, unrepeatable

_ROOT = Path(__file__).resolve().parents[2]
_FOREIGN = tuple(
    f"{folder}{os.sep}"
    for folder in (
        *(_ROOT / part for part in ("sgdtails", "workflow", ".snakemake")),
        sysconfig.get_path("stdlib"),
    )
)


class Guard:
    """A block that runs the user's code: what it raises becomes a UserCodeError with config key, file and line.

    Parameters
    ----------
    where
        The config key.
    path
        What the sentence calls the code, such as its dotted path.
    function
        The function that is called, if it is one.
    passing
        Exceptions that mean something to the caller. Those of memory, and of operations that a GPU cannot repeat, pass too:
        ``jobs.run`` explains them.
    """

    def __init__(
        self, where: str, path: str, function: object = None, passing: tuple[type[BaseException], ...] = ()
    ) -> None:
        self._where, self._path, self._function, self._passing = where, path, function, passing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception | SystemExit) or isinstance(error, (UserCodeError, *self._passing)):
            return
        if out_of_memory(error) or unrepeatable(error):
            return
        raise UserCodeError(
            f"{self._where}: {self._path} raised {_words(error)}{_place(error, self._function)}; correct it there."
        ) from error


def load(path: str, where: str, passing: tuple[type[BaseException], ...] = ()) -> Callable[..., Any]:
    """Import a function of the user's own.

    Parameters
    ----------
    path
        Its dotted path.
    where
        The config key that names it, for errors.
    passing
        Exceptions of the function that mean something to the caller.

    Returns
    -------
    callable
        The function, guarded as by ``Guard``.

    Raises
    ------
    InputError
        There is no such function.

    Examples
    --------
    >>> load("math.hypot", "config key tails.own.mine")(3, 4)
    5.0
    """
    module, _, attribute = path.rpartition(".")
    try:
        with Guard(where, f"importing {module}", passing=(ImportError, ValueError)):
            loaded = importlib.import_module(module)
        found = getattr(loaded, attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{where}: cannot import {path!r} ({error}); give package.module.function, importable from the folder of the config file or of the Snakefile."
        ) from error
    if not callable(found):
        raise InputError(f"{where}: {path!r} is {type(found).__name__}; it must be a function.")
    guard = Guard(where, path, found, passing)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        with guard:
            return found(*args, **kwargs)

    guarded.__wrapped__ = found  # type: ignore[attr-defined]  # where inspect looks for it
    return guarded


def load_all(
    paths: Mapping[str, str], where: str, taken: Collection[str], passing: tuple[type[BaseException], ...] = ()
) -> dict[str, Callable[..., Any]]:
    """Import functions of the user's own.

    Parameters
    ----------
    paths
        Dotted paths by the names that the config gives them.
    where
        The config key, for errors.
    taken
        Names that they may not have.
    passing
        As in ``load``.

    Raises
    ------
    InputError
        There is no such function, or its name is taken.
    """
    for name in paths:
        if name in taken:
            raise InputError(f"{where}: there is a {name} already; give yours another name.")
    return {name: load(path, f"{where}.{name}", passing) for name, path in paths.items()}


def _words(error: BaseException) -> str:
    """Give the kind of an exception and what it says, on one line."""
    try:
        text = " ".join(str(error).split())[:200].rstrip(". ")
    except Exception:  # whatever else a user's class does
        text = ""
    return type(error).__name__ + (f": {text}" if text else "")


def _place(error: BaseException, function: object) -> str:
    """Say where the user's innermost line is; where the function begins if wrong arguments have kept it from starting."""
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(file, line) for file, line in lines if not file.startswith(("<", *_FOREIGN)) and "-packages/" not in file]
    if own:
        file, line = own[-1]
    elif code := _code(function):
        file, line = code.co_filename, code.co_firstlineno
    else:
        return ""
    inside = Path(file).is_relative_to(Path.cwd())
    return f" ({os.path.relpath(file) if inside else file}:{line})"


def _code(function: object) -> Any:
    inner = inspect.unwrap(function) if callable(function) else None
    return getattr(vars(inner).get("__init__") if isinstance(inner, type) else inner, "__code__", None)
