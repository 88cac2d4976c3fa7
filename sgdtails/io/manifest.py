"""The list of files that a study, or an audit, has: written when a start ends well, read by ``make verify``."""

import os
import shutil
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path

from sgdtails.errors import InputError
from sgdtails.io import storage

NAME = ".manifest"
ASIDE = ".damaged"  # the folder of a study that damaged files are moved to
AUDITS = "audit"  # the name of the folder beside studies' that holds a folder per checkpoint
# The folders of lasting results. Jobs check the checkpoints that they read; logs are not checked.
FOLDERS = ("data", "initial", "runs", "calibration", "tables", "figures")
REPORT = "report.html"
_HEADING = "# files of this study, as the last start that ended well left them; read by make verify"


def read(study: Path) -> set[str] | None:
    """Read the names of a study's files.

    Returns
    -------
    set or None
        None if the study has no list.

    Raises
    ------
    InputError
        The list is damaged, or somebody else's file.
    """
    path = study / NAME
    if not path.exists():
        return None
    heading, *names = storage.read(path).decode(errors="replace").splitlines() or [""]
    if heading != _HEADING:
        raise InputError(f"{path} is not the list of a study's files; move it away and run again.")
    return set(names)


def write(study: Path, made: Iterable[str], known: Iterable[str], passing: Iterable[str] = ()) -> str:
    """List the files that a start has made or found, and those that were listed before.

    Parameters
    ----------
    study
        The folder of the study, or of the audit.
    made
        Names within it.
    known
        Names that the config's rules make: they stay listed when the files are gone.
    passing
        Names that Snakemake removes when nothing needs them any more: they are not listed.

    Returns
    -------
    str
        A sentence if a list that was damaged, or somebody else's file, was moved aside; else empty.

    Raises
    ------
    OSError
        The list cannot be written.
    """
    known, said = set(known), ""
    try:
        before = read(study)
    except InputError:
        before = None
        said = f"{study / NAME} is not a list of this study's files; it is moved to {set_aside(study / NAME, study)}."
    kept = {name for name in before or () if name in known or (study / name).exists()}
    names = (kept | {name for name in made if _lasts(name)}).difference(passing)
    if names != before:
        _replace(study, names)
    return said


def forget(study: Path, passing: Iterable[str]) -> None:
    """Take files off a study's list before a start removes them: if it is killed, they would count as missing.

    A list that is damaged is left to ``write``.

    Parameters
    ----------
    study
        The study's folder.
    passing
        Names within it.

    Raises
    ------
    OSError
        The list cannot be written.
    """
    try:
        before = read(study)
    except InputError:
        return
    if before and (names := before.difference(passing)) != before:
        _replace(study, names)


def _replace(study: Path, names: set[str]) -> None:
    with storage.atomic(study / NAME) as temporary:
        temporary.write_text("\n".join([_HEADING, *sorted(names), ""]), encoding="utf-8")


def set_aside(path: Path, study: Path) -> Path:
    """Move a file of a study to the folder of damaged ones, under a name that is free there.

    Returns
    -------
    Path
        Where it is now.
    """
    place = study / ASIDE / path.relative_to(study)
    place.parent.mkdir(parents=True, exist_ok=True)
    numbered = (place.with_name(f"{place.name}.{number}") for number in count(1))
    free = next(name for name in chain([place], numbered) if not os.path.lexists(name))
    shutil.move(path, free)
    return free


def _lasts(name: str) -> bool:
    """Tell if a name within a study, or an audit, is that of a result."""
    return "/" not in name or name.partition("/")[0] in FOLDERS


def wanted(study: Path) -> tuple[set[Path], list[str]]:
    """List the files that a study should have.

    Returns
    -------
    files
        Paths.
    problems
        A sentence if that is not known.
    """
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


def studies(results: Path) -> tuple[list[Path], list[str]]:
    """Find the folders of studies and of audits below ``results``.

    Returns
    -------
    folders
        Those that this software has written.
    problems
        A sentence for each place that cannot be looked at.
    """
    if not os.path.lexists(results):
        return [], [f"there is no folder {results}; give the folder that holds studies."]
    found: list[Path] = []
    problems: list[str] = []
    waiting = [results]
    while waiting:
        folder = waiting.pop()
        try:
            names = {path.name for path in folder.iterdir()}
            if folder in (results, results / AUDITS):
                waiting += [folder / name for name in names if _leads_on(folder / name)]
            elif folder.parent.name == AUDITS or {NAME, REPORT, *FOLDERS} & names:
                found.append(folder)
        except FileNotFoundError as error:
            problems.append(
                f"{folder} is a link to what is not there." if folder.is_symlink() else unseen(folder, error)
            )
        except OSError as error:
            problems.append(unseen(folder, error))
    return sorted(found), sorted(problems)


def _leads_on(path: Path) -> bool:
    return path.is_dir() or (path.is_symlink() and not path.exists())


def walk(study: Path) -> tuple[set[Path], list[str]]:
    """Find the files in a study's lasting folders, through links too.

    Returns
    -------
    files
        Paths.
    problems
        A sentence for each place that cannot be looked at.
    """
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
    """Make the sentence on a place that cannot be looked at.

    Examples
    --------
    >>> unseen("results", PermissionError(13, "Permission denied"))
    'results cannot be looked at (Permission denied); grant access, or see to its disk.'
    """
    return f"{path} cannot be looked at ({error.strerror or error}); grant access, or see to its disk."
