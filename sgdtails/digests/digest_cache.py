"""Digests that are kept from process to process, in ``.snakemake`` of the repository.

To compute those of all rules takes seconds. Kept ones hold while the bytes of all code of the repository stay as they are. What cannot be read or written is computed again.
"""

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sgdtails.digests import source_trees

_FOLDERS = ("sgdtails", "workflow")  # that have the code of rules
_DIGEST = re.compile("[0-9a-f]{16}")
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
    root = root.resolve()
    beside = sorted(_importable(root))
    files = sorted(file for folder in _FOLDERS for file in _code(root / folder))
    seen = [beside, files]
    if _SEEN.get(root, ("", []))[1] != seen:
        found = hashlib.sha256(f"{sys.version} {beside}".encode())
        for path, *_ in files:
            name, content = os.fsencode(os.path.relpath(path, root)), _content(path)
            found.update(b"%s %d\n" % (name, -1 if content is None else len(content)) + (content or b""))
        _SEEN[root] = found.hexdigest(), seen
        source_trees.read.cache_clear()  # an import may lead into another file now
    return _SEEN[root][0]


def _content(path: str) -> bytes | None:
    """Read a file; None if that cannot be. It matters only if the file is imported, which says so."""
    with suppress(OSError):
        return Path(path).read_bytes()
    return None


def _importable(root: Path) -> Iterator[str]:
    """List modules and folders in a folder: any folder with a name of Python's may be a package."""
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name.endswith(".py") or (entry.name.isidentifier() and Path(entry).is_dir()):
                yield entry.name


def _code(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[tuple[str, int, int, int, int]]:
    """List the files of code below a folder, each with its times, size and inode.

    A link that leads nowhere hides no other file: Emacs makes one beside each file that is being edited. Links may form a circle.
    """
    try:
        entries = list(os.scandir(folder))
        here = folder.stat()
    except OSError:
        return
    above = (*above, (here.st_dev, here.st_ino))
    for entry in entries:
        with suppress(OSError):
            about = entry.stat()
            if stat.S_ISDIR(about.st_mode) and (about.st_dev, about.st_ino) not in above:
                yield from _code(Path(entry), above)
            elif stat.S_ISREG(about.st_mode) and entry.name.endswith(".py"):
                yield entry.path, about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino


def covers(files: Iterable[Path], imported: Iterable[str], root: Path) -> bool:
    """Return whether all these files count in the state of the code, and a file that is added could be no module of these names."""
    inside = all(file.is_relative_to(root) and file.relative_to(root).parts[0] in _FOLDERS for file in files)
    return inside and not any((root / name).is_dir() for name in {*imported} - {*_FOLDERS})


def find(root: Path, now: str) -> dict[str, str]:
    """Return the kept digests, by the names of what they are of; none if they are of other code.

    Parameters
    ----------
    root
        The repository's folder.
    now
        The code's state.
    """
    with suppress(OSError, ValueError, TypeError, RecursionError):
        found = dict(json.loads(_file(root, now).read_bytes()))
        return {name: digest for name, digest in found.items() if isinstance(digest, str) and _DIGEST.fullmatch(digest)}
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
    root = root.resolve()
    with suppress(OSError):
        seen = _SEEN.get(root)
        if state(root) != before or _SEEN[root] is not seen:  # the same again may have been other code in between
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
