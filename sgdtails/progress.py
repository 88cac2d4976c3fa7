"""A line in the log every few seconds: how far a job is and how long it may still take."""

import sys
import time
from collections.abc import Iterator
from datetime import timedelta


class Progress:
    """Prints at most every ``every`` seconds; ``total`` is the most iterations the job may take."""

    def __init__(self, total: int, *, every: float = 10.0) -> None:
        self._total, self._every = total, every
        self._begin = self._last = time.monotonic()

    def report(self, iteration: int, **values: float) -> None:
        """Print iteration, ``values``, rate and the time left to the end of the budget, when it is time to."""
        now = time.monotonic()
        if now - self._last < self._every or iteration == 0:
            return
        self._last = now
        rate = iteration / (now - self._begin)
        left = timedelta(seconds=round((self._total - iteration) / rate))
        shown = "".join(f"  {name} {value:.6g}" for name, value in values.items())
        print(f"iteration {iteration:,}{shown}  {rate:,.0f} it/s  at most {left} left", file=sys.stderr, flush=True)

    def track(self, steps: Iterator[None]) -> Iterator[None]:
        """The same steps, with a report after each hundredth."""
        for iteration, _ in enumerate(steps, start=1):
            if iteration % 100 == 0:
                self.report(iteration)
            yield
