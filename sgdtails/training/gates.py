"""Whether a run has converged, decided as a full pass over the training set decides it, from a part of that pass.

No image's loss is negative. So a partial sum above the threshold times N, or one error too many, proves that the full
pass would say "not converged"; images that were hard when last seen are looked at first. Only when no proof is found is
the full pass made, and then it decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgdtails.data.datasets import Split
from sgdtails.runtime import devices
from sgdtails.training import evaluation
from sgdtails.training.evaluation import Network

FIRST = 128  # images of the first look
_REPRESENTABLE = 1e30  # logits below this, in float32, are finite and so is their cross-entropy


@dataclass(frozen=True)
class Stop:
    """The stop rule, config key ``stop``; iterations in SGD steps, ``history`` in gates."""

    train_nll: float
    train_accuracy: float
    gate: int
    budget: int
    chance_after: int
    chance_accuracy: float
    history: int

    def full(self, iteration: int) -> bool:
        """Whether training and test set are evaluated at this gate in any case, for the run's history."""
        gates = iteration // self.gate
        # The first gate at or after chance_after is one, too: where a network at chance shows.
        return gates % self.history == 0 or iteration >= self.budget or 0 <= iteration - self.chance_after < self.gate

    def met(self, nll: float, accuracy: float) -> bool:
        """Whether a network with this mean NLL and accuracy on the training set has converged."""
        return nll < self.train_nll and accuracy >= self.train_accuracy

    def status(self, iteration: int, nll: float, accuracy: float, finite: bool) -> str | None:
        """``diverged``, ``converged``, ``budget``, or None to go on, at a gate with a full pass."""
        if not finite or not np.isfinite(nll):
            return "diverged"
        if self.met(nll, accuracy):
            return "converged"
        if iteration >= self.chance_after and accuracy <= self.chance_accuracy and self.full(iteration):
            return "diverged"
        return "budget" if iteration >= self.budget else None


class Gate:
    """One run's look at its training set. ``reach`` is the largest Euclidean norm of an image there."""

    def __init__(self, train: Split, stop: Stop, reach: float) -> None:
        self._train, self._reach = train, reach
        # A proof holds by more than arithmetic, by whichever kernel, can be off: one that is missed costs a full pass only.
        self._rounding = devices.rounding(train.labels.device)
        self._enough = stop.train_nll * len(train) * (1 + self._rounding)
        self._allowed = len(train) - int(np.ceil(stop.train_accuracy * len(train) - 1e-6))
        self._seen = torch.full((len(train),), torch.inf, dtype=torch.float64, device=train.labels.device)
        self._looked = FIRST

    def pass_over(self, network: Network) -> tuple[float, float]:
        """The full pass: mean NLL in nats and accuracy."""
        losses, correct = evaluation.per_image(network, self._train)
        self._seen = losses
        return evaluation.summary(losses, correct)

    def look(self, network: Network, growth: Tensor | None) -> Tensor:
        """Sum of losses and number of errors among the hardest images, and the bound on logits: (3,) float64, not yet waited for."""
        self._hardest = self._seen.topk(min(self._looked, len(self._train))).indices
        bound = torch.full_like(self._seen[0], torch.nan) if growth is None else growth * self._reach
        return torch.cat([self._scan(network, self._hardest), bound[None]])

    def proves(self, found: list[float]) -> bool:
        """Whether what ``look`` found proves that a full pass would neither say converged nor find anything infinite."""
        total, errors, bound = found
        return bound < _REPRESENTABLE and self._too_much(total, errors)

    def proof(self, network: Network, found: list[float]) -> bool:
        """Look on from what ``look`` found, twice as far each time, until there is a proof or no image left."""
        if self.proves(found):
            self._looked = max(FIRST, self._looked * 3 // 4)  # most gates need about what the last one did
            return True
        total, errors, bound = found
        if not bound < _REPRESENTABLE:
            return False
        rest = self._seen.clone()
        rest[self._hardest] = -1
        order = rest.argsort(descending=True)[: len(rest) - len(self._hardest)]
        for size in _doubling(len(self._hardest), len(rest)):
            sums = self._scan(network, order[:size]).tolist()
            total, errors, order = total + sums[0], errors + sums[1], order[size:]
            if self._too_much(total, errors):
                self._looked = len(rest) - len(order)
                return True
        return False

    def _too_much(self, total: float, errors: float) -> bool:
        return total > self._enough or errors > self._allowed

    def _scan(self, network: Network, index: Tensor) -> Tensor:
        totals: Any = 0.0
        for part in index.split(evaluation.BATCH):
            images, labels = self._train.batch(part)
            logits = network(images)
            losses = evaluation.cross_entropy(logits, labels)
            self._seen[part] = losses
            ahead = logits.amax(1) - logits.gather(1, labels[:, None])[:, 0]
            wrong = ahead > self._rounding * logits.abs().amax(1)  # by more than rounding
            totals = totals + torch.stack([losses.sum(), wrong.sum().double()])
        return totals


def _doubling(begin: int, end: int) -> Iterator[int]:
    """Sizes of parts of the range from begin to end, each as long as all before it."""
    while begin < end:
        size = min(begin, end - begin)
        yield size
        begin += size
