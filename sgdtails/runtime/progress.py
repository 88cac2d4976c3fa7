"""A line in the log every few seconds: how far a run is and how long it may still take."""

import sys
import time
from datetime import timedelta


class Progress:
    """Prints at most every ``every`` seconds; ``total`` is the most iterations that a run may take."""

    def __init__(self, total: int, *, every: float = 10.0) -> None:
        self._total, self._every = total, every
        self._last = time.monotonic()
        self._first: dict[str, tuple[float, int]] = {}

    def extend(self, total: int) -> None:
        """From now on a run may take ``total`` iterations."""
        self._total = total

    def report(self, run: str, iteration: int, **values: float) -> None:
        """Print iteration, ``values``, rate and the time left to the end of the budget, when it is time to."""
        now = time.monotonic()
        begin, start = self._first.setdefault(run, (now, iteration))
        if now - self._last < self._every or iteration == start:
            return
        self._last = now
        rate = (iteration - start) / (now - begin)
        left = timedelta(seconds=round((self._total - iteration) / rate))
        shown = "".join(f"  {name} {value:.6g}" for name, value in values.items())
        line = f"{run}: iteration {iteration:,}{shown}  {rate:,.0f} it/s  at most {left} left"
        print(line, file=sys.stderr, flush=True)
