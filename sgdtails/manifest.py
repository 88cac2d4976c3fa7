"""The list of files that a study, or an audit, has: written when a start ends well, read by ``make verify``."""

import os
from collections.abc import Iterable
from pathlib import Path

from sgdtails import storage
from sgdtails.errors import InputError

NAME = ".manifest"
AUDITS = "audit"  # the name of the folder beside studies' that holds a folder per checkpoint
# What a study's folder holds for good: checkpoints are checked by who reads them, logs by nobody.
FOLDERS = ("data", "runs", "calibration", "tables", "figures")
REPORT = "report.html"
_HEADING = "# files of this study, as the last start that ended well left them; read by make verify"


def read(study: Path) -> set[str] | None:
    """Names of a study's files, None if it has no list. InputError if it is damaged, or somebody else's file."""
    path = study / NAME
    if not path.exists():
        return None
    heading, *names = storage.read(path).decode(errors="replace").splitlines() or [""]
    if heading != _HEADING:
        raise InputError(f"{path} is not the list of a study's files; move it away and run again.")
    return set(names)


def write(study: Path, made: Iterable[str], known: Iterable[str]) -> str:
    """List the files that a start has made or found there, and those listed before, by their names within the study.

    What is no longer there stays listed while it is one of the ``known`` files of the study's config. A file of somebody
    else's in the list's place is left there; a sentence then, else none. OSError if it cannot be written.
    """
    known = set(known)
    try:
        before = read(study)
    except InputError as error:
        if storage.read_seal(study / NAME) is None:
            return f"{error} Until then make verify does not know what is missing."
        before = None  # damaged: this start knows it anew
    kept = {name for name in before or () if name in known or (study / name).exists()}
    names = kept | {name for name in made if _lasts(name)}
    if names != before:
        with storage.atomic(study / NAME) as temporary:
            temporary.write_text("\n".join([_HEADING, *sorted(names), ""]), encoding="utf-8")
    return ""


def _lasts(name: str) -> bool:
    """Whether a name within a study, or an audit, is that of a result, not of a fleet's mark."""
    return "/" not in name or name.partition("/")[0] in FOLDERS


def wanted(study: Path) -> tuple[set[Path], list[str]]:
    """The files that a study should have, and a sentence if that is not known."""
    try:
        names = read(study)
    except InputError as error:
        return set(), [f"{error}"]
    except OSError as error:
        return set(), [unseen(study / NAME, error)]
    if names is None:
        return set(), [
            f"{study} is not finished, or was by an earlier version: it has no list of its files. Start it again; until "
            "then only what is there can be checked."
        ]
    return {study / name for name in names}, []


def studies(results: Path) -> list[Path]:
    """Folders of studies and of audits below ``results``; of somebody else's folders none. OSError if that cannot be read."""
    folders = [Path(entry.path) for entry in os.scandir(results) if entry.is_dir()]
    audits = results / AUDITS
    if audits in folders:
        folders.remove(audits)
        folders += [Path(entry.path) for entry in os.scandir(audits) if entry.is_dir()]
    return sorted(folder for folder in folders if _is_study(folder))


def _is_study(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return bool({NAME, REPORT, *FOLDERS} & names) or folder.parent.name == AUDITS


def walk(study: Path) -> tuple[set[Path], list[str]]:
    """The files of a study's lasting folders, through links too, and a sentence for each place that cannot be looked at."""
    found: set[Path] = set()
    problems: list[str] = []
    visited: set[str] = set()

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            problems.append(unseen(error.filename, error))

    audit = study.parent.name == AUDITS
    found.update(path for path in [study / REPORT] if path.is_file())
    for top in [study] if audit else [study / name for name in FOLDERS]:
        for folder, folders, names in os.walk(top, followlinks=True, onerror=failed):
            folders[:] = [name for name in folders if name != "logs" and not name.startswith(".")]
            if (place := os.path.realpath(folder)) in visited:  # a link to a folder above
                folders.clear()
                continue
            visited.add(place)
            for path in (Path(folder, name) for name in names if not name.startswith(".")):
                try:
                    if path.is_file():
                        found.add(path)
                    elif path.is_symlink():
                        problems.append(f"{path} is a link to what is not there; bring that back, or remove the link.")
                except OSError as error:
                    problems.append(unseen(path, error))
    return found, problems


def unseen(path: str | Path, error: OSError) -> str:
    """The sentence on a place that cannot be looked at."""
    return f"{path} cannot be looked at ({error.strerror or error}); grant access, or see to its disk."
