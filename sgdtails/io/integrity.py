"""Results that are no longer what was written, found before a run relies on them.

``python -m sgdtails.io.integrity results`` (``make verify``): reads every result to its last bit, and looks for missing ones. The
start of a run reads only the headers of weights, since the jobs that read weights check the rest. What is damaged is moved aside, never
removed; files that no rule makes are not looked at. A file that cannot be read at the moment is no damage: OSError.
"""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sgdtails.config.study_size import KINDS
from sgdtails.errors import InputError
from sgdtails.io import manifest, shared, storage

_REDRAWN = (".pdf", ".png", ".md", ".html")


def damaged(files: Iterable[Path], *, weights: bool) -> Iterator[tuple[Path, InputError]]:
    """Find the files that are not what was written.

    Parameters
    ----------
    files
        Those of a study; missing ones are passed over.
    weights
        True to read weights to their last bit too.

    Yields
    ------
    path
        A damaged file.
    error
        What is wrong with it.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    for path in files:
        with _named(path), suppress(FileNotFoundError):  # a job removes what it is about to make
            if path.is_file() and (error := problem(path, weights=weights)):
                yield path, error


def problem(path: Path, *, weights: bool) -> InputError | None:
    """Find out what is wrong with a file.

    Parameters
    ----------
    path
        The file.
    weights
        True to read weights to their last bit too.

    Returns
    -------
    InputError or None
        None if nothing is.
    """
    try:
        if path.suffix == ".safetensors":
            storage.load_arrays(path) if weights else storage.digest(path)
        elif storage.read_checksum(path):
            storage.read(path)
        elif path.suffix == ".parquet":
            _parse(path)
        elif path.suffix in _REDRAWN:
            return InputError(f"{path} has no digest beside it; delete it and run again.")
    except InputError as error:
        return error
    return None


def repair(study: Path, files: Iterable[Path]) -> Iterator[str]:
    """Move damaged files aside, so that a run makes them again, and give tables without a checksum one.

    Parameters
    ----------
    study
        The folder of the study, or of the audit.
    files
        Its files.

    Yields
    ------
    str
        A sentence on each file that was moved.
    """
    files = list(files)
    for path, error in list(damaged(files, weights=False)):  # all can be read, else nothing is moved
        kept = manifest.set_aside(path, study)
        where = f"kept for that version as {kept}" if isinstance(error, storage.EarlierVersion) else f"moved to {kept}"
        yield f"{error}".removesuffix("delete it and run again.") + f"it is {where}, and made again if it is needed."
    for path in files:
        if path.suffix == ".parquet" and path.is_file() and not storage.read_checksum(path):
            storage.write_checksum(path)


def made_by(files: Iterable[Path]) -> dict[str, Any]:
    """Read which code and settings the first of a job's files was made by that says so.

    Parameters
    ----------
    files
        Outputs of one job.

    Returns
    -------
    dict
        ``code`` and ``settings``; empty if no file says so.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    for path in files:
        with _named(path), suppress(InputError):
            if path.suffix in (".safetensors", ".parquet") and path.is_file():
                return storage.made_by(path) if path.suffix == ".safetensors" else _footer(path)
    return {}


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Give an OSError the name of the file, which a failed read does not say."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def check_room(study: Path) -> None:
    """Check that a run could write 64 KiB here and into a study's folders: on a full disk Snakemake would end with a traceback.

    Parameters
    ----------
    study
        The study's folder.

    Raises
    ------
    OSError
        With the name of the folder that cannot be written to.
    """
    for folder in (
        Path(),
        Path(".snakemake"),
        study,
        *(study / name for name in (*manifest.FOLDERS, "logs", "checkpoints")),
    ):
        if not folder.is_dir():
            continue
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(2**16))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            error.filename = str(folder.absolute())
            raise


def locked(snakemake: Path) -> bool:
    """Tell if a run is under way in this working directory, or was killed and its lock not yet removed.

    Parameters
    ----------
    snakemake
        The folder ``.snakemake``.
    """
    return any(path.is_file() for path in (snakemake / "locks").rglob("*"))


def _parse(path: Path) -> None:
    from sgdtails.io import parquet  # slow to import, and seldom needed

    if not parquet.record(parquet.parse(path.read_bytes(), path).schema):
        raise InputError(f"{path} is a table of another program; delete it and run again.")


def _footer(path: Path) -> dict[str, Any]:
    from sgdtails.io import parquet

    record = parquet.read_record(path)
    return {key: record[key] for key in ("code", "settings") if key in record}


def verify(study: Path) -> tuple[int, list[str]]:
    """Read a study's files to their last bit.

    Parameters
    ----------
    study
        The study's folder.

    Returns
    -------
    read
        The number of files that were read.
    problems
        A sentence for each file that is damaged or missing, and each place that cannot be looked at.
    """
    listed, found = manifest.wanted(study)
    there, unseen = manifest.walk(study)
    read, problems = _check(_ours(listed, there))
    return read, found + problems + unseen


def _check(files: Iterable[Path]) -> tuple[int, list[str]]:
    """Read files to their last bit: the number of those that are there, and a sentence for each problem."""
    read, found = 0, list[str]()
    for path in files:
        try:
            if not path.is_file():
                found.append(f"{path} is missing; name it as the target of a start, and it is made again.")
                continue
            read += 1
            if error := problem(path, weights=True):
                found.append(f"{error}")
        except OSError as error:
            found.append(manifest.unseen(path, error))
    return read, found


def _check_shared(results: Path) -> tuple[int, list[str]]:
    try:
        return _check(shared.files(results))
    except OSError as error:
        return 0, [manifest.unseen(results / shared.FOLDER, error)]


def written(study: Path) -> list[Path]:
    """List the files that a study should have, and those there that this software has written too."""
    return _ours(manifest.wanted(study)[0], manifest.walk(study)[0])


def _ours(listed: set[Path], there: set[Path]) -> list[Path]:
    return [*sorted(listed), *filter(_is_result, sorted(there - listed))]


def _is_result(path: Path) -> bool:
    """Tell if this software has written a file that is not in a study's list: in a start that has not ended, or for an earlier config."""
    if path.suffix != ".safetensors":
        try:
            return storage.read_checksum(path) is not None
        except OSError:
            return True  # reading it gives the same error, as a sentence
    place = path.parent.parent.name  # of weights: of a run, or initial ones that runs share
    if (place == "runs" and path.stem in KINDS) or (place == "initial" and path.stem == "weights"):
        return True  # however damaged
    try:
        storage.digest(path)
    except (InputError, OSError):
        return False
    return True


def main(results: Path) -> int:
    """Check every study below ``results`` and the tables that they share, and print a sentence for each problem.

    Returns
    -------
    int
        The exit status: 1 if there is a problem.
    """
    studies, found = manifest.studies(results)
    files = 0
    for read, more in (*map(verify, studies), _check_shared(results)):
        files, found = files + read, found + more
    if not files and not found:
        found = [f"{results} holds no results; is it the right folder?"]
    print(*found, f"{files} files checked, {len(found)} problems.", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))
