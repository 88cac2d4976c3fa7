"""How far the jobs of a running workflow are, in seconds of work and not in numbers of jobs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

TRAINING = ("train", "average")  # a job of another stage says nothing of how long they take


class Job(NamedTuple):
    """A job: its stage (the rule), what it is about (model, dataset, batch size; may be empty), and its number of networks."""

    stage: str
    about: str = ""
    networks: int = 1


@dataclass
class Pace:
    """Times of the jobs of one start.

    Parameters
    ----------
    planned
        All jobs, by number.

    Examples
    --------
    >>> pace = Pace({1: Job("train", "fcn4"), 2: Job("train", "fcn4"), 3: Job("train", "fcn4", 2)})
    >>> pace.start(1, now=0.0)
    >>> pace.finish(1, now=60.0)
    >>> pace.start(2, now=60.0)
    >>> pace.line(now=90.0)
    '1 of 3 jobs done, 38% of the work, about 0:02:30 left'
    """

    planned: Mapping[int, Job]
    _started: dict[int, float] = field(default_factory=dict)
    _ended: dict[int, float] = field(default_factory=dict)  # seconds

    def start(self, job: int, now: float) -> None:
        """Note that a job starts, or is handed to a cluster; again after an attempt that failed."""
        if job in self.planned:
            self._started[job] = now

    def finish(self, job: int, now: float) -> None:
        """Note that a job has ended well."""
        if job in self._started:
            self._ended[job] = now - self._started.pop(job)

    def line(self, now: float) -> str:
        """Say how many jobs are done, what share of the work that is, and how long the rest takes.

        A job is expected to take as long per network as those of its stage that are about the same; else as those of its stage;
        else, unless it trains, as an average job that does not train.

        Parameters
        ----------
        now
            On the clock of ``start`` and ``finish``, in seconds.
        """
        jobs = f"{len(self._ended):,} of {len(self.planned):,} jobs done"
        rates = self._rates()
        running = {job: now - since for job, since in self._started.items()}
        done, left = sum(self._ended.values()) + sum(running.values()), 0.0
        for job in self.planned.keys() - self._ended.keys():
            expected = _expected(self.planned[job], rates)
            if expected is None:
                return jobs
            left += max(0.0, expected - running.get(job, 0.0))
        if not left:
            return jobs
        time = timedelta(seconds=round(left / max(1, len(running))))
        return f"{jobs}, {done / (done + left):.0%} of the work, about {time} left"

    def _rates(self) -> dict[tuple[str, ...], float]:
        """Seconds per network of jobs that have ended, by stage and what they are about; by stage; of all that do not train."""
        seconds, networks = defaultdict[tuple[str, ...], float](float), defaultdict[tuple[str, ...], int](int)
        for number, took in self._ended.items():
            job = self.planned[number]
            for key in _keys(job):
                seconds[key] += took
                networks[key] += job.networks
        return {key: total / networks[key] for key, total in seconds.items()}


def _keys(job: Job) -> Iterable[tuple[str, ...]]:
    return [(job.stage, job.about), (job.stage,), *([()] if job.stage not in TRAINING else [])]


def _expected(job: Job, rates: Mapping[tuple[str, ...], float]) -> float | None:
    """Return the seconds that a job is expected to take; None if no job like it has ended."""
    return next((rates[key] * job.networks for key in _keys(job) if key in rates), None)
