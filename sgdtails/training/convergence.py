"""Cheap convergence check: prove from part of the training set that a full pass could not report convergence.

No image's loss is negative. So a partial sum above the threshold times N, or one error too many, proves that the full pass
would report "not converged". Images with large losses at earlier gates are evaluated first. Only if there is no proof is the
full pass made, and then it decides.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgdtails.data.datasets import Split
from sgdtails.runtime import devices
from sgdtails.training import evaluation
from sgdtails.training.evaluation import Network
from sgdtails.training.settings import Stop

FIRST = 128  # images of the first quick check
_REPRESENTABLE = 1e30  # logits below this are finite in float32, and so is their cross-entropy


class ConvergenceCheck:
    """One run's convergence check on its training set.

    Parameters
    ----------
    train : Split
        Training images.
    stop : Stop
        The stop rule.
    max_input_norm : float
        The largest Euclidean norm of a training image, from ``max_input_norm``.

    Examples
    --------
    A network that only guesses: 128 of 500 images prove that it has not converged.

    >>> from sgdtails.data.datasets import Dataset, splits
    >>> images, labels = np.zeros((500, 1, 2, 2), np.uint8), np.arange(500) % 2
    >>> dataset = Dataset(images, labels, images, labels, ("a", "b"), (0.5,), (0.25,))
    >>> train, _ = splits(dataset, torch.device("cpu"))
    >>> def network(images):
    ...     return torch.zeros(len(images), 2)
    >>> stop = Stop(0.05, 1.0, gate=20, budget=1000, chance_after=200, chance_accuracy=0.1, history=5)
    >>> check = ConvergenceCheck(train, stop, max_input_norm(train))
    >>> found = check.quick_check(network, lipschitz_bound=torch.tensor(1.0)).tolist()
    >>> [round(number, 2) for number in found]  # summed loss, errors, bound on logits; images and their logits are equal
    [88.72, 0.0, 4.0]
    >>> check.extend(network, found)
    True
    >>> check.full_pass(network)[1]
    0.5
    """

    def __init__(self, train: Split, stop: Stop, max_input_norm: float) -> None:
        self._train, self._max_input_norm = train, max_input_norm
        # A proof must hold by more than any kernel's rounding. A missed proof only costs a full pass.
        self._rounding = devices.rounding(train.labels.device)
        self._enough = stop.train_nll * len(train) * (1 + self._rounding)
        self._allowed = len(train) - int(np.ceil(stop.train_accuracy * len(train) - 1e-6))
        self._losses = torch.full((len(train),), torch.inf, dtype=torch.float64, device=train.labels.device)
        self._size = FIRST  # images of the next quick check

    def full_pass(self, network: Network) -> tuple[float, float]:
        """Evaluate all training images.

        Parameters
        ----------
        network : callable
            Maps images to logits.

        Returns
        -------
        nll, accuracy : float
            Mean cross-entropy in nats, and accuracy.
        """
        losses, correct = evaluation.per_image(network, self._train)
        self._losses = losses
        return evaluation.summary(losses, correct)

    def quick_check(self, network: Network, lipschitz_bound: Tensor | None) -> Tensor:
        """Evaluate the images whose last known losses are largest, without waiting for the device.

        Parameters
        ----------
        network : callable
            Maps images to logits.
        lipschitz_bound : Tensor, shape (), or None
            A bound on ||logits||/||image||; None if none is known.

        Returns
        -------
        Tensor, shape (3,), float64
            Summed cross-entropy in nats, number of errors, and a bound on all logits (NaN if none is known).
        """
        self._hardest = self._losses.topk(min(self._size, len(self._train))).indices
        unknown = torch.full_like(self._losses[0], torch.nan)
        bound = unknown if lipschitz_bound is None else lipschitz_bound * self._max_input_norm
        return torch.cat([self._evaluate(network, self._hardest), bound[None]])

    def proves(self, found: list[float]) -> bool:
        """Decide whether a quick check proves that a full pass would report neither convergence nor infinite numbers.

        Parameters
        ----------
        found : list of float
            What ``quick_check`` has returned.

        Returns
        -------
        bool
            True if it is a proof.
        """
        total, errors, bound = found
        return bound < _REPRESENTABLE and self._exceeds(total, errors)

    def extend(self, network: Network, found: list[float]) -> bool:
        """Extend a quick check, to twice as many images each time, until there is a proof or no image is left.

        Parameters
        ----------
        network : callable
            Maps images to logits.
        found : list of float
            What ``quick_check`` has returned.

        Returns
        -------
        bool
            True if there is a proof that a full pass would report neither convergence nor infinite numbers.
        """
        if self.proves(found):
            self._size = max(FIRST, self._size * 3 // 4)  # most gates need about as many images as the last one
            return True
        total, errors, bound = found
        if not bound < _REPRESENTABLE:
            return False
        rest = self._losses.clone()
        rest[self._hardest] = -1
        order = rest.argsort(descending=True)[: len(rest) - len(self._hardest)]
        for size in _doubling(len(self._hardest), len(rest)):
            sums = self._evaluate(network, order[:size]).tolist()
            total, errors, order = total + sums[0], errors + sums[1], order[size:]
            if self._exceeds(total, errors):
                self._size = len(rest) - len(order)
                return True
        return False

    def _exceeds(self, total: float, errors: float) -> bool:
        return total > self._enough or errors > self._allowed

    def _evaluate(self, network: Network, index: Tensor) -> Tensor:
        """Return summed loss and number of errors of some images, and keep their losses."""
        totals: Any = 0.0
        for part in index.split(evaluation.BATCH):
            images, labels = self._train.batch(part)
            logits = network(images)
            losses = evaluation.cross_entropy(logits, labels)
            self._losses[part] = losses
            ahead = logits.amax(1) - logits.gather(1, labels[:, None])[:, 0]
            wrong = ahead > self._rounding * logits.abs().amax(1)  # by more than rounding
            totals = totals + torch.stack([losses.sum(), wrong.sum().double()])
        sums: Tensor = totals
        return sums


def _doubling(begin: int, end: int) -> Iterator[int]:
    """Yield sizes of parts of the range from begin to end, each as long as all before it."""
    while begin < end:
        size = min(begin, end - begin)
        yield size
        begin += size


@torch.no_grad()
def max_input_norm(split: Split) -> float:
    """Compute the largest Euclidean norm of a normalised image.

    Parameters
    ----------
    split : Split
        Images.

    Returns
    -------
    float
        The norm.

    Examples
    --------
    >>> from sgdtails.data.datasets import Dataset, splits
    >>> images, labels = np.full((1, 1, 2, 2), 255, np.uint8), np.zeros(1, np.int64)
    >>> dataset = Dataset(images, labels, images, labels, ("a", "b"), (0.5,), (0.5,))
    >>> max_input_norm(splits(dataset, torch.device("cpu"))[0])
    2.0
    """
    norms = (torch.linalg.vector_norm(images.flatten(1), dim=1).max() for images, _ in evaluation.batches(split))
    return max(float(norm) for norm in norms)
