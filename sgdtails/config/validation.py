"""Files from outside that are files, and settings that are plain data. Imports nothing heavy."""

import math
import os
import re
import resource
import stat
from pathlib import Path
from typing import Any

from sgdtails.errors import InputError

_INTEGERS = 2**63  # beyond them torch and Parquet have no room
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def regular(path: str | Path, where: str, *, largest: int | None = None) -> Path:
    """Check that a path is that of a file, not of a folder, a device or a pipe, whose reading may never end.

    Parameters
    ----------
    path
        As given by the user.
    where
        The config key, or what else names the path, for the error.
    largest
        The most bytes that the file may have.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputError
        There is no such file, or it is too large.

    Examples
    --------
    >>> regular(__file__, "config key runs").name
    'validation.py'
    """
    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot read {str(path)!r} ({reason(error)}); give the path of a file.") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{where}: {str(path)!r} is not a regular file; give the path of one.")
    if largest is not None and status.st_size > largest:
        raise InputError(
            f"{where}: {str(path)!r} has {status.st_size:,} bytes, more than {largest:,}; give a smaller file."
        )
    return path


def expanded(path: str | Path, where: str) -> Path:
    """Put the home folder in place of a ~ at the beginning of a path, as a shell does.

    Parameters
    ----------
    path
        As given by the user.
    where
        The config key, or what else names the path, for the error.

    Raises
    ------
    InputError
        No home folder is known.

    Examples
    --------
    >>> expanded("images", "config key datasets.root").as_posix()
    'images'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{where}: no home folder is known for {str(path)!r}; write it out.") from error


def memory() -> int:
    """Return how many bytes this process may have of the machine's memory.

    Examples
    --------
    >>> memory() > 2**20
    True
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return whole if limit == resource.RLIM_INFINITY else min(whole, limit)


def reason(error: BaseException) -> str:
    """Put what an exception says on one line of at most 200 characters; its kind if it says nothing.

    Examples
    --------
    >>> reason(ValueError("two\\nlines."))
    'two lines'
    """
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())[:200].rstrip(". ") or type(error).__name__


def read_yaml(path: str | Path, where: str) -> Any:
    """Read a YAML file as plain data.

    Parameters
    ----------
    path
        The file.
    where
        The config key, or what else names the file, for the error.

    Returns
    -------
    object
        Mappings, lists, text, numbers, booleans and None.

    Raises
    ------
    InputError
        There is no such file, or it is not YAML, or holds something else.
    """
    import yaml

    text = regular(path, where).read_bytes()
    try:
        content = yaml.safe_load(text)
    except Exception as error:  # of dates and numbers that are none, and of depth, PyYAML raises whatever it meets
        raise InputError(f"{where}: {str(path)!r} is not YAML ({reason(error)}); correct it there.") from error
    plain(content, f"{where}: {str(path)!r}")
    return content


def plain(value: Any, where: str, keys: tuple[str, ...] = ()) -> None:
    """Check that a value is what JSON can hold, and what its schema cannot tell: text as keys, finite numbers.

    Parameters
    ----------
    value
        As YAML gives it.
    where
        What the whole is called in an error.
    keys
        The keys that lead from the whole to the value.

    Raises
    ------
    InputError
        A key is not text, a number is not finite or beyond 64 bits, a text has a line break or another control
        character, or there is a date, a set or another kind of object.

    Examples
    --------
    >>> plain({"stop": {"budget": [1, 2.5, None, "x"]}}, "the config")
    """
    place = f"{where}, key {'.'.join(keys)}" if keys else where
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InputError(f"{place}: the key {key!r:.50} is not text; put it in quotes.")
            plain(key, f"{place}: the key")
            plain(inner, where, (*keys, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            plain(inner, where, (*keys, str(number)))
    elif isinstance(value, str):
        if found := _UNPRINTABLE.search(value):
            raise InputError(f"{place} {value[:50]!r} holds the control character {found[0]!r}; leave it out.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{place} is {value}; it must be a finite number.")
    elif isinstance(value, int) and not -_INTEGERS <= value < _INTEGERS:
        raise InputError(f"{place} is a whole number beyond 64 bits; give a smaller one.")
    elif value is not None and not isinstance(value, int | float):
        raise InputError(f"{place} is a {type(value).__name__}; put it in quotes if it is meant as text.")
