"""The order in which SGD steps use the training images."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sgdtails.errors import InputError


@lru_cache(maxsize=16)  # runs with the same seed in the same epoch share it
def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """Draw the order in which one epoch uses the training images.

    Parameters
    ----------
    n : int
        Number of images.
    seed : int
        The run's seed.
    epoch : int
        Number of the epoch, from 0.

    Returns
    -------
    Tensor, shape (n,), int64
        Indices of images, on the CPU. It depends on the arguments alone. Callers must not change it: it is cached.

    Examples
    --------
    >>> permutation(5, seed=1, epoch=0)
    tensor([4, 0, 1, 2, 3])
    """
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(n))


class BatchSampler:
    """Indices of the images of each SGD step: a new permutation each epoch, without its incomplete last batch.

    Parameters
    ----------
    n : int
        Number of training images.
    batch_size : int
        Images per step.
    seed : int
        The run's seed.

    Raises
    ------
    InputError
        If a batch is larger than the training set.

    Examples
    --------
    Seven images in batches of two: an epoch has three steps and leaves one image out.

    >>> sampler = BatchSampler(7, batch_size=2, seed=1)
    >>> sampler.take(0, 3)
    tensor([[5, 0],
            [1, 4],
            [2, 6]])
    >>> bool((sampler.take(0, 9)[4] == sampler.take(4, 1)[0]).all())
    True
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        if batch_size > n:
            raise InputError(
                f"batch_size {batch_size} is larger than the training set of {n} images; lower it in the run table."
            )
        self._n, self._batch_size, self._seed = n, batch_size, seed
        self._steps_per_epoch = n // batch_size
        self._drawn: dict[int, Tensor] = {}  # batches by epoch

    def take(self, start: int, steps: int) -> Tensor:
        """Return the images of consecutive steps.

        Parameters
        ----------
        start : int
            Number of the first of these steps in the run, from 0.
        steps : int
            How many steps.

        Returns
        -------
        Tensor, shape (steps, batch_size), int64
            Indices of images, on the CPU.
        """
        parts = [torch.empty(0, self._batch_size, dtype=torch.int64)]
        while steps > 0:
            epoch, position = divmod(start, self._steps_per_epoch)
            part = self._batches(epoch)[position : position + steps]
            parts.append(part)
            start, steps = start + len(part), steps - len(part)
        return torch.cat(parts)

    def prefetch(self, start: int, steps: int) -> None:
        """Draw what ``take`` will need, at most two epochs of it. While a GPU is at work this costs no time.

        Parameters
        ----------
        start, steps : int
            The arguments that ``take`` will get.
        """
        first = start // self._steps_per_epoch
        for epoch in range(first, min(first + 1, (start + steps - 1) // self._steps_per_epoch) + 1):
            self._batches(epoch)

    def _batches(self, epoch: int) -> Tensor:
        if epoch not in self._drawn:
            kept = {each: batches for each, batches in self._drawn.items() if each == epoch - 1}
            order = permutation(self._n, self._seed, epoch)[: self._steps_per_epoch * self._batch_size]
            self._drawn = kept | {epoch: order.view(-1, self._batch_size)}
        return self._drawn[epoch]
