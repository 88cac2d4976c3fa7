"""What claims are measured on: the runs of a panel that have the quantities asked for, and what they say."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.claims import quantities, statistics
from sgdtails.claims.study import Run, Study
from sgdtails.claims.verdicts import LEVEL

Reals = NDArray[np.float64]
_MISSING = {
    "alpha": "without a tail index",
    "area": "whose pruned ratios do not cover the range",
    "accuracy_left": "whose pruned ratios do not cover this one",
    "robust_accuracy": "without a robust accuracy at this pruned ratio",
    "distance": "without a layer in the range of the simulated indices",
    "test_accuracy": "without a test accuracy",
    "generalisation_gap": "whose training or test set was not evaluated",
    "log_likelihood": "with a hidden layer without laws",
}


@dataclass(frozen=True)
class Settings:
    """Hold how claims are tested; ``draws`` gives the random choices for samples of n points, the same for all claims.

    Parameters
    ----------
    permutations : int
        Random ones; all of them where there are no more than this.
    bootstrap : int
        Resamples behind each interval.
    level : float
        A claim about a sign is decided if its adjusted p-value is below this.
    fewest : int
        Points without which nothing is decided.
    seed : int
        Seed of permutations and resamples.
    """

    permutations: int
    bootstrap: int
    level: float
    fewest: int
    seed: int
    draws: Callable[[int], statistics.Draws] = field(init=False)

    def __post_init__(self) -> None:
        def draws(n: int) -> statistics.Draws:
            rng = np.random.default_rng([self.seed, n])
            return statistics.draws(n, permutations=self.permutations, bootstrap=self.bootstrap, rng=rng)

        object.__setattr__(self, "draws", cache(draws))


@dataclass
class Evidence:
    """Hold what one panel says on one claim; NaN where undefined, and then ``why_not`` says why. ``remark`` ends the reason."""

    effect_name: str
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    slope: float = math.nan
    n: int = 0
    seeds: int = 0
    smallest_p: float = 0.0
    excluded: Counter[str] = field(default_factory=Counter)
    why_not: str = ""
    remark: str = ""
    interval: Callable[[float], tuple[float, float]] = lambda _: (math.nan, math.nan)  # at a level, such as 0.95

    def bound(self, interval: Callable[[float], tuple[float, float]]) -> None:
        """Take an interval, and its ends at 95%."""
        self.interval = interval
        self.low, self.high = interval(LEVEL)


@dataclass
class Sample:
    """Hold the runs of a panel that have every quantity asked for, the quantities (k, n), and why others were left out."""

    runs: list[Run]
    values: Reals
    excluded: Counter[str]

    def evidence(self, effect_name: str, settings: Settings, *, variables: Sequence[str] = ()) -> Evidence:
        """Return evidence that is still empty, with the reason why it must stay so, if there is one."""
        n = len(self.runs)
        found = Evidence(effect_name, n=n, seeds=len({run["seed"] for run in self.runs}), excluded=self.excluded)
        if n < settings.fewest:
            found.why_not = f"Only {n} points; at least {settings.fewest} are needed."
            return found
        for name, values in zip(variables, self.values, strict=False):
            if (values == values[0]).all():
                found.why_not = f"There is nothing to compare: {name} is the same in every run."
        return found


def sample_of(study: Study, runs: Sequence[Run], *wanted: Mapping[str, Any], finite: bool) -> Sample | None:
    """Take the converged runs of a panel that have all quantities.

    Parameters
    ----------
    study : Study
        Tables of the study.
    runs : sequence of dict
        Rows of table ``runs``.
    *wanted : mapping
        Quantities.
    finite : bool
        Whether runs with an infinite quantity are left out.

    Returns
    -------
    Sample or None
        None if the panel has converged runs but none of them has one of the quantities.
    """
    excluded = Counter(_status(run) for run in runs if run["status"] != "converged")
    converged = [run for run in runs if run["status"] == "converged"]
    kept, values, seen = [], [], [False] * len(wanted)
    for run in converged:
        measured = [quantities.measure(study, run, quantity) for quantity in wanted]
        seen = [before or value is not None for before, value in zip(seen, measured, strict=True)]
        reasons = [_missing(quantity) for quantity, value in zip(wanted, measured, strict=True) if value is None]
        if not reasons and finite:
            reasons = [
                _not_finite(quantity)
                for quantity, value in zip(wanted, measured, strict=True)
                if value is not None and not np.isfinite(value)
            ]
        if reasons:
            excluded[reasons[0]] += 1
        else:
            kept.append(run)
            values.append(measured)
    if converged and not all(seen):
        return None
    return Sample(kept, np.array(values, dtype=float).reshape(-1, len(wanted)).T, excluded)


def _missing(quantity: Mapping[str, Any]) -> str:
    """Why a run without this quantity is left out."""
    return _MISSING.get(quantity["of"], f"without {_name(quantity)}")


def _not_finite(quantity: Mapping[str, Any]) -> str:
    """Why a run whose quantity is infinite, or no number, is left out."""
    return "with an infinite tail index" if quantity["of"] == "alpha" else f"whose {_name(quantity)} is not finite"


def _name(quantity: Mapping[str, Any]) -> str:
    return str(quantity.get("column", quantity["of"])).replace("_", " ")


def _status(run: Run) -> str:
    return "over budget" if run["status"] == "budget" else str(run["status"])
