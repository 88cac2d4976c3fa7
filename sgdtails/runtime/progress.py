"""How far runs are: a line in the job's log every few seconds, and a small file per run that ``sgdtails status`` reads."""

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

FOLDER = "heartbeats"  # beside the logs of a stage
_written: set[Path] = set()  # by this process
_log: Path | None = None


@dataclass(frozen=True)
class Heartbeat:
    """The last report of a run.

    Parameters
    ----------
    iteration, total
        Iterations done, and the most that the run may take.
    rate
        Iterations per second since its job began.
    log
        The name of the log of its job, which may work on several runs.
    nll, accuracy
        The last values measured on the training set by this job, if any.
    updated
        Seconds since the epoch.

    Examples
    --------
    >>> str(Heartbeat(iteration=400, total=1000, rate=10.0, log="a.log").left)
    '0:01:00'
    """

    iteration: int
    total: int
    rate: float
    log: str
    nll: float | None = None
    accuracy: float | None = None
    updated: float = 0.0

    @property
    def left(self) -> timedelta:
        """The time to the end of the budget; most runs converge long before."""
        return timedelta(seconds=round((self.total - self.iteration) / self.rate))


def start(log: Path) -> None:
    """Write heartbeats beside this log from now on."""
    global _log
    _log = log
    _written.clear()


def finish() -> None:
    """Remove the heartbeats of this process's runs: their results say the rest."""
    for path in _written:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read(logs: Path, run: str) -> Heartbeat | None:
    """Read the heartbeat of a run.

    Parameters
    ----------
    logs
        The folder of the logs of a stage.
    run
        The run's id.

    Returns
    -------
    Heartbeat or None
        None if there is none, or none that can be read.
    """
    try:
        return Heartbeat(**json.loads((logs / FOLDER / f"{run}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class Progress:
    """Reports how far the runs of a job are.

    Parameters
    ----------
    total
        The most iterations that a run may take.
    every
        Seconds between two lines in the log, and between two heartbeats of one run.
    """

    def __init__(self, total: int, *, every: float = 10.0) -> None:
        self._total, self._every = total, every
        self._printed = time.monotonic()
        self._first: dict[str, tuple[float, int]] = {}
        self._beat: dict[str, float] = {}
        self._values: dict[str, dict[str, float]] = {}

    def extend(self, total: int) -> None:
        """Let runs take ``total`` iterations from now on."""
        self._total = total

    def report(self, run: str, iteration: int, **values: float) -> None:
        """Say how far a run is, if it is time to.

        Parameters
        ----------
        run
            The run's id.
        iteration
            Iterations done.
        **values
            What was just measured, such as ``NLL`` and ``accuracy``.
        """
        now = time.monotonic()
        begin, first = self._first.setdefault(run, (now, iteration))
        self._values.setdefault(run, {}).update(values)
        if iteration == first:
            return
        rate = (iteration - first) / (now - begin)
        known = {name.lower(): value for name, value in self._values[run].items()}
        log = _log.name if _log else ""
        beat = Heartbeat(iteration, self._total, rate, log, known.get("nll"), known.get("accuracy"), time.time())
        if _log and now - self._beat.get(run, begin) >= self._every:
            self._beat[run] = now
            _write(_log.parent / FOLDER / f"{run}.json", beat)
        if now - self._printed >= self._every:
            self._printed = now
            shown = "".join(f"  {name} {value:.6g}" for name, value in values.items())
            line = f"{run}: iteration {iteration:,}{shown}  {rate:,.0f} it/s  at most {beat.left} left"
            print(line, file=sys.stderr, flush=True)


def _write(path: Path, beat: Heartbeat) -> None:
    """Replace a run's heartbeat; training goes on where that fails, as on a full disk."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(beat)), encoding="utf-8")
        os.replace(temporary, path)  # noqa: PTH105  # a reader never sees half of it
        _written.add(path)
