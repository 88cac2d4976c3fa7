"""What the logs of training and averaging jobs say: the lines of ``progress.Progress``, and how a job ended."""

import re
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

_RECENT = 86_400.0  # seconds
_TAIL = 2**18  # bytes: half an hour of lines and more
_LINE = re.compile(
    r"(?P<run>\S+): iteration (?P<iteration>[\d,]+)(?:  NLL (?P<nll>\S+)  accuracy (?P<accuracy>\S+))?"
    r"  (?P<rate>[\d,]+) it/s  at most (?:(?P<days>\d+) days?, )?(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d) left"
)
_SENTENCE = "sgdtails: "  # with which ``jobs.run`` begins the last line of a job that failed


@dataclass(frozen=True)
class Line:
    """Iterations done, steps per second, and the time left if all of the budget is needed; what was last measured, or None."""

    iteration: int
    rate: float
    left: timedelta
    nll: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class Log:
    """The end of a job's log, and when it last changed, in seconds since the epoch."""

    path: Path
    changed: float
    text: str
    progress: Mapping[str, Line]


def recent(folder: Path, now: float, *, passed: Container[str] = ()) -> dict[str, Log]:
    """The newest log in ``folder`` that speaks of each run, by run: of its own job, or of one that works on several.

    Logs that have not changed within a day are passed over, and those named after a run that has ``passed`` this stage.
    """
    changed = {}
    for path in folder.glob("*.log"):
        with suppress(OSError):  # it has just gone
            if path.stem not in passed and (moment := path.stat().st_mtime) > now - _RECENT:
                changed[path] = moment
    found: dict[str, Log] = {}
    for path in sorted(changed, key=changed.__getitem__, reverse=True):
        text = tail(path)
        log = Log(path, changed[path], text, progress(text))
        for run in (*log.progress, path.stem):
            found.setdefault(run, log)
    return found


def tail(path: Path) -> str:
    """The end of a log; empty if it has just gone."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def progress(text: str) -> dict[str, Line]:
    """The last progress of every run in a log, with the last NLL and accuracy that were printed."""
    found: dict[str, Line] = {}
    for match in map(_LINE.fullmatch, text.splitlines()):
        if not match:
            continue
        said = match.groupdict()
        before = found.get(said["run"])
        left = timedelta(
            days=int(said["days"] or 0), hours=int(said["h"]), minutes=int(said["m"]), seconds=int(said["s"])
        )
        line = Line(_number(said["iteration"]), _number(said["rate"]), left)
        if said["nll"]:
            line = replace(line, nll=float(said["nll"]), accuracy=float(said["accuracy"]))
        elif before:
            line = replace(line, nll=before.nll, accuracy=before.accuracy)
        found[said["run"]] = line
    return found


def measured(line: Line, history: Iterable[Mapping[str, Any]]) -> Line:
    """A line with NLL and accuracy of the last row of a run's history, if there is one."""
    rows = list(history)
    if not rows:
        return line
    return replace(line, nll=rows[-1]["train_nll"], accuracy=rows[-1]["train_accuracy"])


def sentence(text: str) -> str:
    """What a job that failed, or was asked to end, has said last; empty for any other."""
    last = text.rstrip().rpartition("\n")[2]
    return last.removeprefix(_SENTENCE) if last.startswith(_SENTENCE) else ""


def _number(text: str) -> int:
    return int(text.replace(",", ""))
