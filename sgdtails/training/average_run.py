"""The state of each run in averaging, and the data and settings of all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from sgdtails.data.datasets import Split
from sgdtails.training.checkpointer import ResumableRun
from sgdtails.training.engines.base import State
from sgdtails.training.settings import AveragingSettings, Row, Stop


@dataclass
class Average(ResumableRun):
    """One converged run that is being averaged.

    Parameters
    ----------
    name : str
        The run's id.
    step_size : float
        The step size eta.
    seed : int
        The run's seed.
    begin : int
        SGD steps of its training, which ended at a gate.
    load : callable
        Returns its trained weights.
    state : dict of ndarray, optional
        What the engine has last returned; None while a replica holds newer weights. At the end, the last iterate.
    taken : int
        SGD steps since the training.
    sums : dict of ndarray, optional
        Sums of iterates after the burn-in, like ``state``.
    mean : dict of ndarray, optional
        The average, once all its iterates are known.
    gated : int
        Value of ``taken`` at the last convergence check.
    seconds : float
        Wall time, shared between runs that step side by side.
    outcome : dict, optional
        When the run has ended, its status (``averaged`` or ``diverged``) and the columns ``run_schemas.AVERAGES``.
    """

    ARRAYS: ClassVar[tuple[str, ...]] = ("state", "sums", "mean")
    FIELDS: ClassVar[tuple[str, ...]] = ("taken", "gated", "seconds", "outcome")

    name: str
    step_size: float
    seed: int
    begin: int
    load: Callable[[], State]
    state: State | None = None
    taken: int = 0
    sums: State | None = None
    mean: State | None = None
    gated: int = -1
    seconds: float = 0.0
    outcome: Row | None = None


@dataclass(frozen=True)
class Task:
    """The data and settings that all runs of a job share.

    Parameters
    ----------
    train, test : Split
        The images on the device.
    batch_size : int
        Images per step.
    stop : Stop
        The stop rule.
    averaging : AveragingSettings
        How many iterates are averaged.
    """

    train: Split
    test: Split
    batch_size: int
    stop: Stop
    averaging: AveragingSettings

    @property
    def averaged_at(self) -> int:
        """SGD steps after which the average is known."""
        return self.averaging.burn_in + self.averaging.length
