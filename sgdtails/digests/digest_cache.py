"""Digests that are kept from process to process, in ``.snakemake`` of the repository.

To compute those of all rules takes seconds. Kept ones hold while the bytes of all code of the repository stay as they are. What cannot be read or written is computed again.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_FOLDERS = ("sgdtails", "workflow")  # that have the code of rules
_STATES = 8  # how many keep their digests: branches and edits
_SEEN: dict[Path, tuple[str, list[object]]] = {}  # by repository: its state, with the files that it is of


def state(root: Path) -> str:
    """Digest the bytes of all code that a kept digest may be of. Names of modules beside it count too: an import could find them.

    A process reads the files again when one of them has another time, size or inode than before.

    Parameters
    ----------
    root
        The repository's folder.
    """
    beside = sorted(_importable(root))
    files = sorted(file for folder in _FOLDERS for file in _code(root / folder))
    seen = [beside, files]
    if _SEEN.get(root, ("", []))[1] != seen:
        found = hashlib.sha256(f"{sys.version} {beside}".encode())
        for path, *_ in files:
            content = Path(path).read_bytes()
            found.update(f"{os.path.relpath(path, root)} {len(content)}\n".encode() + content)
        _SEEN[root] = found.hexdigest(), seen
    return _SEEN[root][0]


def _importable(root: Path) -> Iterator[str]:
    """List modules and folders of modules in a folder."""
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.endswith(".py") or (
                entry.name.isidentifier() and entry.is_dir() and any(Path(entry).glob("*.py"))
            ):
                yield entry.name


def _code(folder: str | Path) -> Iterator[tuple[str, int, int, int]]:
    """List the files of code below a folder, each with its time, size and inode."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                about = entry.stat()
                yield entry.path, about.st_mtime_ns, about.st_size, about.st_ino
            elif entry.is_dir():
                yield from _code(entry.path)


def covers(files: Iterable[Path], root: Path) -> bool:
    """Return whether all these files count in the state of the code."""
    return all(file.is_relative_to(root) and file.relative_to(root).parts[0] in _FOLDERS for file in files)


def find(root: Path, now: str) -> dict[str, str]:
    """Return the kept digests, by the names of what they are of; none if they are of other code.

    Parameters
    ----------
    root
        The repository's folder.
    now
        The code's state.
    """
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads(_file(root, now).read_bytes()))
    return {}


def keep(root: Path, before: str, name: str, digest: str) -> None:
    """Keep a digest, unless the code has changed since it was begun.

    Parameters
    ----------
    root
        The repository's folder.
    before
        The code's state before the digest was computed.
    name, digest
        What it is of, and itself.
    """
    with suppress(OSError):
        if state(root) != before:
            return
        file = _file(root, before)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(find(root, before) | {name: digest}))
        part.replace(file)
        for old in sorted(file.parent.glob("digests-*.json"), key=lambda each: -each.stat().st_mtime)[_STATES:]:
            old.unlink()


def _file(root: Path, now: str) -> Path:
    return root / f".snakemake/sgdtails/digests-{now[:16]}.json"
