"""Typed settings of training and averaging jobs. No torch: a job whose runs are finished does not import it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from sgdtails.config import run_ids

Row = dict[str, Any]  # a row of a table: columns by name


@dataclass(frozen=True)
class SGDSettings:
    """Momentum, weight decay and noise of SGD, from columns of the run table.

    Parameters
    ----------
    momentum : float
        Factor mu of the velocity.
    weight_decay : float
        Factor lambda of the weights in the gradient.
    noise_scale : float
        Scale sigma of the noise that is added to each gradient.
    noise_alpha : float
        Tail index of that noise, in (0, 2].
    noise_kind : {"independent", "neuron", "elliptical"}
        What the entries of a neuron share (``engines.noise``).

    Examples
    --------
    >>> SGDSettings().plain, SGDSettings(momentum=0.9).plain
    (True, False)
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    noise_scale: float = 0.0
    noise_alpha: float = 2.0
    noise_kind: str = "independent"

    @property
    def plain(self) -> bool:
        """True if each step is the paper's: w <- w - eta g."""
        return self.momentum == self.weight_decay == self.noise_scale == 0


PLAIN_SGD = SGDSettings()


@dataclass(frozen=True)
class Stop:
    """The stop rule, config key ``stop``, which is checked at every gate: each ``gate`` SGD steps.

    Parameters
    ----------
    train_nll : float
        A run has converged when its mean cross-entropy in nats on the training set is below this, ...
    train_accuracy : float
        ... and its accuracy there is at least this.
    gate : int
        SGD steps between two gates.
    budget : int
        Most SGD steps of a run.
    chance_after : int
        From this step on, a run whose accuracy is at most ``chance_accuracy`` has diverged.
    chance_accuracy : float
        Accuracy of a network that guesses.
    history : int
        Gates between two rows of a run's history.

    Examples
    --------
    >>> stop = Stop(0.05, 1.0, gate=20, budget=1000, chance_after=200, chance_accuracy=0.1, history=5)
    >>> stop.status(20, 0.04, 1.0, finite=True)
    'converged'
    >>> stop.status(1000, 2.3, 0.5, finite=True)
    'budget'
    >>> stop.status(20, 2.3, 0.1, finite=True) is None
    True
    >>> [iteration for iteration in range(0, 401, 20) if stop.needs_full_pass(iteration)]
    [0, 100, 200, 300, 400]
    """

    train_nll: float
    train_accuracy: float
    gate: int
    budget: int
    chance_after: int
    chance_accuracy: float
    history: int

    def needs_full_pass(self, iteration: int) -> bool:
        """Return whether the run's history gets a row at this gate even if the run goes on.

        Parameters
        ----------
        iteration : int
            SGD steps of the run so far, a multiple of ``gate``.

        Returns
        -------
        bool
            True every ``history`` gates, at the end of the budget, and at the first gate from ``chance_after`` on,
            where a network that only guesses is found.
        """
        gates = iteration // self.gate
        return gates % self.history == 0 or iteration >= self.budget or 0 <= iteration - self.chance_after < self.gate

    def met(self, nll: float, accuracy: float) -> bool:
        """Return whether a network with this mean cross-entropy and accuracy on the training set has converged."""
        return nll < self.train_nll and accuracy >= self.train_accuracy

    def status(self, iteration: int, nll: float, accuracy: float, finite: bool) -> str | None:
        """Decide at a gate, after a full pass over the training set, whether a run ends.

        Parameters
        ----------
        iteration : int
            SGD steps of the run so far.
        nll, accuracy : float
            Mean cross-entropy in nats and accuracy on the training set.
        finite : bool
            Whether all weights are finite.

        Returns
        -------
        str or None
            ``diverged``, ``converged`` or ``budget``; None if the run goes on.
        """
        if not finite or not math.isfinite(nll):
            return "diverged"
        if self.met(nll, accuracy):
            return "converged"
        if iteration >= self.chance_after and accuracy <= self.chance_accuracy and self.needs_full_pass(iteration):
            return "diverged"
        return "budget" if iteration >= self.budget else None


@dataclass(frozen=True)
class AveragingSettings:
    """Settings of the averaging of iterates, config key ``average``.

    Parameters
    ----------
    burn_in : int
        SGD steps after convergence whose iterates are left out.
    length : int
        SGD steps after those whose iterates are averaged.
    until_converged : bool
        Whether SGD goes on after that until the stop rule is met again.
    """

    burn_in: int
    length: int
    until_converged: bool


def snapshot_iterations(given: Sequence[int] | Mapping[str, Any], stop: Stop) -> list[int]:
    """List the iterations at which the tails of a run in training are estimated, as config key ``snapshots`` gives them.

    Parameters
    ----------
    given : sequence of int, or mapping
        The iterations, which are gates. Or ``first`` and ``ratio``: 0, first, ratio*first, and so on, each raised to a gate.
    stop : Stop
        The stop rule, which says where the gates are and when a run is over its budget.

    Returns
    -------
    list of int
        The iterations up to the budget, ascending.

    Examples
    --------
    >>> stop = Stop(0.05, 1.0, gate=20, budget=200, chance_after=200, chance_accuracy=0.1, history=5)
    >>> snapshot_iterations({"first": 30, "ratio": 2}, stop), snapshot_iterations([100, 0, 400], stop)
    ([0, 40, 60, 120], [0, 100])
    """
    if not isinstance(given, Mapping):
        return sorted(iteration for iteration in given if iteration <= stop.budget)
    found, aim = {0}, float(given["first"])
    while (iteration := math.ceil(aim / stop.gate) * stop.gate) <= stop.budget:
        found.add(iteration)
        aim *= given["ratio"]
    return sorted(found)


@dataclass(frozen=True)
class RunSettings:
    """All settings that the result of one run depends on.

    Parameters
    ----------
    run : dict
        The run's columns of the run table, with its name as ``run``.
    model : mapping
        Its network's entry in the config's ``models``.
    device, precision : str
        Config keys of these names.
    threads : int
        Threads of torch on a CPU.
    stop : Stop
        The stop rule.
    average : AveragingSettings, optional
        In averaging jobs only.
    slots : int, optional
        On a GPU, config key ``slots``: the number of replicas decides the last bits there.
    snapshots : sequence of int
        Iterations at which the tails of the run's weights are estimated; in training jobs only.
    """

    run: Row
    model: Mapping[str, Any]
    device: str
    precision: str
    threads: int
    stop: Stop
    average: AveragingSettings | None = None
    slots: int | None = None
    # A list, as JSON gives it back: checkpoints are compared by it.
    snapshots: Sequence[int] = field(default_factory=list)

    @classmethod
    def from_params(cls, params: Mapping[str, Any], run: str) -> Self:
        """Read the settings of a run from its job's.

        Parameters
        ----------
        params : mapping
            A rule's parameter ``settings``: what all runs of a job have in common.
        run : str
            A run id, which says its step size and seed.

        Returns
        -------
        RunSettings
            The settings of this run.
        """
        given = dict(params)
        row = {"run": run, **given.pop("run"), **run_ids.steps(run)}
        average = AveragingSettings(**given.pop("average")) if "average" in given else None
        stop = Stop(**given.pop("stop"))
        snapshots = snapshot_iterations(given.pop("snapshots", ()), stop)
        return cls(run=row, stop=stop, average=average, snapshots=snapshots, **given)

    @property
    def step_size(self) -> float:
        """The step size eta."""
        return float(self.run["step_size"])

    @property
    def seed(self) -> int:
        """The seed of the initial weights and of the order of images."""
        return int(self.run["seed"])

    @property
    def sgd(self) -> SGDSettings:
        """Momentum, weight decay and noise."""
        return SGDSettings(**{field.name: self.run[field.name] for field in fields(SGDSettings)})

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON has them, for a digest."""
        return asdict(self)
