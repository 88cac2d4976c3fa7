"""Digests of the files that a dataset is made from. The same files have the same digest in any place and with any times.

Files are read only if their names, sizes or times have changed since the last time, which a small file beside the prepared
dataset remembers. While they are away, the prepared dataset says what it was made from.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sgdtails.config import validation
from sgdtails.data.source import Source
from sgdtails.errors import InputError
from sgdtails.io import folders

KINDS = ("folder", "npz")  # datasets with a path
_MANY = 2**30  # bytes: reading more takes so long that a sentence says why

Say = Callable[[str], None]


class Contents(NamedTuple):
    """The digest of a dataset's files.

    Parameters
    ----------
    digest : str
        Empty if the dataset has no path, or nothing is known of its files.
    away : str
        Why its files cannot be read; empty if they can.
    """

    digest: str
    away: str = ""


def current(
    name: str, entry: Mapping[str, Any], *, root: str, prepared: Path, code: str, keep: bool = False, say: Say = print
) -> Contents:
    """Return the digest of the files that a dataset is made from.

    Parameters
    ----------
    name : str
        Name of the dataset.
    entry : mapping
        Its entry in ``datasets.sources``.
    root : str
        Config key ``datasets.root``.
    prepared : Path
        The prepared dataset, which need not exist.
    code : str
        Digest of the code that would prepare it now.
    keep : bool
        Whether to remember the digest in a file beside the prepared dataset.
    say : callable
        Called with sentences for the user.

    Returns
    -------
    Contents
        The digest; that of the prepared dataset while the files are away.

    Raises
    ------
    InputError
        If no dataset can be made from the files, or they are away and the prepared dataset does not fit settings and code.
    """
    source = Source.from_config(name, entry)
    if source.kind not in KINDS or source.path is None:
        return Contents("")
    path = source.place(root)
    note = prepared.with_name(f".{prepared.stem}.source.json")
    try:
        return Contents(_read(source, path, note, keep, say))
    except OSError as error:
        away = f"{path} cannot be read ({validation.reason(error)})"
    known = _recorded(source, entry, prepared, code, away)
    if known is None:
        return Contents(str(_noted(note).get("contents", "")), away)
    say(f"{source.where}: {away}; {prepared}, made from it, is used.")
    return Contents(known, away)


def _read(source: Source, path: Path, note: Path, keep: bool, say: Say) -> str:
    files = _files(source, path)
    listing = _digest(f"{file} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for file, s in files.items())
    noted = _noted(note)
    if noted.get("listing") == listing and (contents := noted.get("contents")):
        _expect(source, path, contents)
        return str(contents)
    size = sum(status.st_size for status in files.values())
    if size > _MANY:
        say(f"{source.where}: reading {size / 2**30:.1f} GiB of {path}, to see whether they have changed.")
    parts = (f"{file} {file_digest(path / file)}" for file in files)
    contents = _digest(parts) if path.is_dir() else file_digest(path)
    _expect(source, path, contents)
    if keep:
        with suppress(OSError):  # it only saves time
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps({"listing": listing, "contents": contents}), encoding="utf-8")
    return contents


def _files(source: Source, path: Path) -> dict[str, os.stat_result]:
    """Return the status of the files that a dataset is made from, by their paths below ``path``."""
    if not path.is_dir():
        path.stat()  # OSError if it is not there
        return {"": validation.regular(path, source.where).stat()}
    if source.kind != "folder" or source.sha256:
        check_folder(source, path)
    found = dict(folders.walk(path))
    if not any(folders.is_image(PurePosixPath(file)) for file in found):
        raise FileNotFoundError(f"no images below {path}")  # as where a disk is not mounted
    images = folders.arrange(f"{source.where}: {path}", found).images
    return {image.path: status for image in images if (status := found[image.path])}


def check_folder(source: Source, path: Path) -> None:
    """Refuse a folder where the entry needs a file.

    Parameters
    ----------
    source : Source
        The dataset's entry in the config.
    path : Path
        A folder.

    Raises
    ------
    InputError
        If the kind of dataset is not ``folder``, or the entry has a SHA-256.
    """
    if source.kind != "folder":
        raise InputError(
            f"{source.where}: {path} is a folder; give the path of an .npz file, or set {source.key}.kind: folder."
        )
    if source.sha256:
        raise InputError(
            f"config key {source.key}.sha256 is for files, and {path} is a folder; leave it out, or give the path of a tar of it."
        )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expect(source: Source, path: Path, found: str) -> None:
    if source.sha256 not in (None, found):
        raise InputError(
            f"{source.where}: the SHA-256 of {path} is {found}, not {source.sha256} as config key {source.key}.sha256 says; fetch it again, or correct the key."
        )


def check_file(source: Source, path: Path) -> None:
    """Refuse what is not a regular file, and a file with another SHA-256 than the entry's.

    Parameters
    ----------
    source : Source
        The dataset's entry in the config.
    path : Path
        Not a folder.

    Raises
    ------
    InputError
        If it is not that file.
    """
    validation.regular(path, source.where)
    if source.sha256:
        _expect(source, path, file_digest(path))


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def _noted(note: Path) -> dict[str, Any]:
    try:
        found = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def needed(name: str, away: str, prepared: Path, why: str = "") -> InputError:
    """Return the error for a prepared dataset that would be made again while its files are away.

    Parameters
    ----------
    name : str
        Name of the dataset.
    away : str
        Why its files cannot be read.
    prepared : Path
        The prepared dataset.
    why : str
        Why it would be made again, after a comma.

    Returns
    -------
    InputError
        The error to raise or to print.

    Examples
    --------
    >>> str(needed("cells", "/disk cannot be read (no such file)", Path("cells.safetensors")))
    "dataset 'cells' would be made again, but /disk cannot be read (no such file); bring that back. cells.safetensors stays as it is."
    """
    return InputError(
        f"dataset {name!r} would be made again{why}, but {away}; bring that back. {prepared} stays as it is."
    )


def _recorded(source: Source, entry: Mapping[str, Any], prepared: Path, code: str, away: str) -> str | None:
    """Return what the prepared dataset was made from; None if there is none. InputError if it must be made again."""
    from sgdtails.io import storage  # imports numpy, and is rarely needed

    try:
        record = storage.made_by(prepared)
    except (InputError, OSError):
        return None
    made = record.get("settings", {})
    if (record.get("code"), made.get("name"), made.get("source")) != (code, source.name, dict(entry)):
        raise needed(source.name, away, prepared, ", since its settings or the code have changed")
    return str(made["contents"])
