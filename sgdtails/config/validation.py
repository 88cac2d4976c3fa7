"""What comes from outside, before anything else looks at it: files that are files, settings that are plain data."""

import math
import os
import re
import resource
import stat
from pathlib import Path
from typing import Any

from sgdtails.errors import InputError

MOST_VALUES = 1_000_000  # in a config; YAML's aliases multiply a few lines to more than any memory holds
DEEPEST = 40
LARGEST_TEXT_FILE = 2**26  # bytes
_INTEGERS = 2**63  # beyond them torch and Parquet have no room
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def regular(path: str | Path, where: str, *, largest: int | None = None) -> Path:
    """The path of a regular file of at most ``largest`` bytes; InputError for a device, a pipe, a folder, or nothing.

    Reading a device or a pipe may never end.
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
    """A path with the home folder in place of a ~ at its beginning, as a shell has it; InputError where none is known."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InputError(f"{where}: no home folder is known for {str(path)!r}; write it out.") from error


def memory() -> int:
    """Bytes of this machine's memory, or of what this process may have of it: what holds more cannot be read."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return whole if limit == resource.RLIM_INFINITY else min(whole, limit)


def reason(error: BaseException) -> str:
    """What an exception says, on one line of at most 200 characters, without a full stop; its kind if it says nothing."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split())[:200].rstrip(". ") or type(error).__name__


def read_yaml(path: str | Path, where: str) -> Any:
    """The content of a YAML file as plain data. InputError if there is none."""
    import yaml

    text = regular(path, where, largest=LARGEST_TEXT_FILE).read_bytes()
    try:
        content = yaml.safe_load(text)
    except Exception as error:  # of dates and numbers that are none, and of depth, PyYAML raises whatever it meets
        raise InputError(f"{where}: {str(path)!r} is not YAML ({reason(error)}); correct it there.") from error
    plain(content, f"{where}: {str(path)!r}")
    return content


def plain(value: Any, where: str) -> None:
    """InputError unless a value is mappings with text as keys, lists, text, finite numbers, booleans and None; of bounded size."""
    waiting: list[tuple[Any, tuple[object, ...]]] = [(value, ())]
    for _ in range(MOST_VALUES):
        if not waiting:
            return
        part, keys = waiting.pop()
        if len(keys) > DEEPEST:
            raise InputError(f"{where} is nested deeper than {DEEPEST} levels; write it flatter, without YAML aliases.")
        if isinstance(part, dict):
            for key, inner in part.items():
                if not isinstance(key, str):
                    raise InputError(f"{_at(where, keys)}: the key {key!r:.50} is not text; put it in quotes.")
                _text(key, f"{_at(where, keys)}: the key")
                waiting.append((inner, (*keys, key)))
        elif isinstance(part, list):
            waiting.extend((inner, (*keys, number)) for number, inner in enumerate(part))
        else:
            _scalar(part, where, keys)
    raise InputError(
        f"{where} holds more than {MOST_VALUES:,} values; make it smaller (YAML aliases count as often as they are used)."
    )


def _scalar(value: object, where: str, keys: tuple[object, ...]) -> None:
    if isinstance(value, str):
        _text(value, _at(where, keys))
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{_at(where, keys)} is {value}; it must be a finite number.")
    elif isinstance(value, int) and not -_INTEGERS <= value < _INTEGERS:
        raise InputError(f"{_at(where, keys)} is a whole number beyond 64 bits; give a smaller one.")
    elif value is not None and not isinstance(value, int | float):
        raise InputError(f"{_at(where, keys)} is a {type(value).__name__}; put it in quotes if it is meant as text.")


def _text(value: str, where: str) -> None:
    if found := _UNPRINTABLE.search(value):
        raise InputError(f"{where} {value[:50]!r} holds the control character {found[0]!r}; leave it out.")


def _at(where: str, keys: tuple[object, ...]) -> str:
    return f"{where}, key {'.'.join(map(str, keys))}" if keys else where
