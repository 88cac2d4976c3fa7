"""What a dataset with a path is made from, as a digest of its contents: the same files elsewhere, or with other times, have the same.

Files are read only when their names, sizes or times are not those of the last time, which a small file beside the prepared
dataset keeps. While they are not there, the prepared dataset says what it was made from.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sgdtails.config import validation
from sgdtails.errors import InputError
from sgdtails.io import folders

KINDS = ("folder", "npz")  # datasets with a path
_MANY = 2**30  # bytes whose reading takes long enough to say so

Say = Callable[[str], None]


class Contents(NamedTuple):
    """A digest, empty where a dataset's kind says what it is made from, or nothing is known; and why its files cannot be read."""

    digest: str
    away: str = ""


def place(source: Mapping[str, Any], root: str) -> Path:
    """Where an entry of ``datasets.sources`` has its files: ``path`` below ``datasets.root``; ~ is the home folder."""
    return validation.expanded(root, "config key datasets.root") / validation.expanded(
        source["path"], "a dataset's path"
    )


def current(
    name: str, source: Mapping[str, Any], *, root: str, prepared: Path, code: str, keep: bool = False, say: Say = print
) -> Contents:
    """What the entry ``source`` of dataset ``name`` is made from.

    ``prepared`` is the dataset's file, and ``code`` the digest of the code that it would be made by. ``keep`` notes what was
    read. InputError for files that no dataset can be made from, and where files that are not there would be needed.
    """
    if source["kind"] not in KINDS or "path" not in source:
        return Contents("")
    path = place(source, root)
    note = prepared.with_name(f".{prepared.stem}.source.json")
    try:
        return Contents(_read(name, source, path, note, keep, say))
    except OSError as error:
        away = f"{path} cannot be read ({validation.reason(error)})"
    known = _recorded(name, source, prepared, code, away)
    if known is None:
        return Contents(str(_noted(note).get("contents", "")), away)
    say(f"dataset {name!r}: {away}; {prepared}, made from it, is used.")
    return Contents(known, away)


def _read(name: str, source: Mapping[str, Any], path: Path, note: Path, keep: bool, say: Say) -> str:
    files = _files(name, source, path)
    listing = _digest(f"{file} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for file, s in files.items())
    noted = _noted(note)
    if noted.get("listing") == listing and (contents := noted.get("contents")):
        _expect(name, path, source, contents)
        return str(contents)
    size = sum(status.st_size for status in files.values())
    if size > _MANY:
        say(f"dataset {name!r}: reading {size / 2**30:.1f} GiB of {path}, to see whether they have changed.")
    parts = (f"{file} {file_digest(path / file)}" for file in files)
    contents = _digest(parts) if path.is_dir() else file_digest(path)
    _expect(name, path, source, contents)
    if keep:
        with suppress(OSError):  # it only saves time
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps({"listing": listing, "contents": contents}), encoding="utf-8")
    return contents


def _files(name: str, source: Mapping[str, Any], path: Path) -> dict[str, os.stat_result]:
    """The files that count, by their paths below ``path``, with their status."""
    if not path.is_dir():
        path.stat()  # OSError if it is not there
        return {"": validation.regular(path, f"dataset {name!r}").stat()}
    if source["kind"] != "folder" or "sha256" in source:
        check_folder(name, source, path)
    found = dict(folders.walk(path))
    if not any(folders.is_image(PurePosixPath(file)) for file in found):
        raise FileNotFoundError(f"no images below {path}")  # as in the mount point of a disk that is not there
    images = folders.arrange(f"dataset {name!r}: {path}", found).images
    return {image.path: status for image in images if (status := found[image.path])}


def check_folder(name: str, source: Mapping[str, Any], path: Path) -> None:
    """InputError for a folder where a file is needed."""
    if source["kind"] != "folder":
        raise InputError(
            f"dataset {name!r}: {path} is a folder; give the path of an .npz file, or set datasets.sources.{name}.kind: folder."
        )
    if "sha256" in source:
        raise InputError(
            f"config key datasets.sources.{name}.sha256 is for files, and {path} is a folder; leave it out, or give the path of a tar of it."
        )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _expect(name: str, path: Path, source: Mapping[str, Any], found: str) -> None:
    if source.get("sha256", found) != found:
        raise InputError(
            f"dataset {name!r}: the SHA-256 of {path} is {found}, not {source['sha256']} as config key datasets.sources.{name}.sha256 says; fetch it again, or correct the key."
        )


def check_file(name: str, path: Path, source: Mapping[str, Any]) -> None:
    """InputError unless a path is that of a regular file, and of the one whose SHA-256 the entry has, if it has one."""
    validation.regular(path, f"dataset {name!r}")
    if "sha256" in source:
        _expect(name, path, source, file_digest(path))


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
    """The error for a prepared dataset that would be made again while its files are ``away``."""
    return InputError(
        f"dataset {name!r} would be made again{why}, but {away}; bring that back. {prepared} stays as it is."
    )


def _recorded(name: str, source: Mapping[str, Any], prepared: Path, code: str, away: str) -> str | None:
    """What the prepared dataset was made from, None if there is none; InputError if it would have to be made again."""
    from sgdtails.io import storage  # imports numpy, and is seldom needed

    try:
        record = storage.made_by(prepared)
    except (InputError, OSError):
        return None
    made = record.get("settings", {})
    if (record.get("code"), made.get("name"), made.get("source")) != (code, name, dict(source)):
        raise needed(name, away, prepared, ", since its settings or the code have changed")
    return str(made["contents"])
