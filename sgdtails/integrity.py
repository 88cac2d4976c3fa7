"""Results that are no longer what was written, found before a run relies on them; and Snakemake's notes that cannot be read.

``python -m sgdtails.integrity results``: all files to their last bit. A run's start looks at weights' headers only, since
whoever reads weights checks the rest. A file that is damaged is removed at a start, and then made again.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sgdtails import storage
from sgdtails.errors import InputError

AUDITS = "audit"  # the name of the folder beside studies' that holds a folder per checkpoint
# What a study's folder holds for good: checkpoints are checked by who reads them, logs by nobody.
_FOLDERS = ("data", "runs", "calibration", "tables", "figures")
_REDRAWN = (".pdf", ".png", ".md")


def damaged(study: Path, *, weights: bool) -> Iterator[tuple[Path, str]]:
    """Files of a study that are not what was written, each with what is wrong; ``weights``: read these to their last bit too."""
    for path in _files(study):
        try:
            if path.suffix == ".safetensors":
                storage.load_arrays(path) if weights else storage.digest(path)
            elif storage.read_seal(path):
                storage.read(path)
            elif path.suffix == ".parquet":
                _parse(path)
            elif path.suffix in _REDRAWN:
                yield path, f"{path} has no digest beside it; delete it and run again."
        except InputError as error:
            yield path, f"{error}"
        except FileNotFoundError:  # a job removes what it is about to make
            continue


def repair(study: Path) -> Iterator[str]:
    """Remove damaged files of a study, so that a run makes them again; a table without a digest gets one. What was done."""
    for path, reason in damaged(study, weights=False):
        path.unlink(missing_ok=True)
        yield reason.removesuffix("delete it and run again.") + "it is removed, and made again if it is needed."
    for path in _files(study):
        if path.suffix == ".parquet" and not storage.read_seal(path):
            storage.seal(path)


def check_room(study: Path) -> None:
    """OSError, with the folder's name, if a run could not write 64 KiB here, into Snakemake's notes or a study's folders.

    On a full disk Snakemake would break off with a traceback.
    """
    for folder in (Path(), Path(".snakemake"), study, *(study / name for name in (*_FOLDERS, "logs", "checkpoints"))):
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


def repair_notes(snakemake: Path, validate: Callable[[Any], Any]) -> Iterator[str]:
    """Remove Snakemake's notes on files, below ``.snakemake``, at which it would break off. What was done.

    ``validate`` raises ValueError for JSON that is no note. A file without a note counts as up to date while it is newer
    than its inputs.
    """
    for path in _regular(snakemake / "metadata"):
        try:
            validate(json.loads(path.read_bytes()))
        except ValueError:
            path.unlink(missing_ok=True)
            yield f"{path}, a note of Snakemake's on a file, cannot be read; it is removed."
    for path in _regular(snakemake / "incomplete"):
        try:
            json.loads(path.read_bytes())["external_jobid"]
        except (ValueError, TypeError, KeyError):
            path.write_text(json.dumps({"external_jobid": None}), encoding="utf-8")  # its name is what counts


def locked(snakemake: Path) -> bool:
    """Whether a run is under way in this working directory, or was killed and its lock not yet removed."""
    return any(_regular(snakemake / "locks"))


def _files(study: Path) -> Iterator[Path]:
    yield from filter(Path.is_file, [study / "report.html"])
    folders = [path.name for path in study.glob("*") if path.is_dir()] if study.name == AUDITS else _FOLDERS
    for folder in folders:
        yield from (
            path for path in _regular(study / folder) if not path.name.startswith(".") and path.parent.name != "logs"
        )


def _regular(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _parse(path: Path) -> None:
    from sgdtails import parquet  # slow to import, and seldom needed

    parquet.parse(path.read_bytes(), path)


def main(results: Path) -> int:
    """Check every study below ``results`` to the last bit: one sentence for each damaged file; the exit status."""
    studies = [path for path in sorted(results.glob("*")) if path.is_dir()]
    found = [reason for study in studies for _, reason in damaged(study, weights=True)]
    files = sum(1 for study in studies for _ in _files(study))
    print(*found, f"{files} files checked, {len(found)} damaged.", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "results")))
