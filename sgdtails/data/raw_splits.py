"""Both splits of a dataset as integers, before constants normalise them; how a test set is split off."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]  # (N, channels, height, width)
Labels = NDArray[np.int64]  # (N,)
COPIES = 2  # of a dataset that are in memory when it is written and read back
SPLIT_SEED = 0  # of all random choices that make a dataset


class RawSplits(NamedTuple):
    """Training and test images (N, channels, height, width), their labels (N,) from 0, and the names of the classes."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]


def held_out(labels: Labels, test_fraction: float) -> NDArray[np.bool_]:
    """Choose the test images at random, the same share of each class, but never all of one.

    Parameters
    ----------
    labels : ndarray, shape (N,), int64
        Labels from 0.
    test_fraction : float
        Share of each class.

    Returns
    -------
    ndarray, shape (N,), bool
        Whether an image is in the test set. It depends on the arguments alone.

    Examples
    --------
    >>> held_out(np.array([0, 0, 0, 1, 1, 1]), 1 / 3).sum()
    np.int64(2)
    """
    rng = np.random.default_rng(SPLIT_SEED)
    test = np.zeros(len(labels), dtype=bool)
    for label in range(labels.max(initial=0) + 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(round(test_fraction * len(members)), len(members) - 1)  # each class has an image to train on
        test[members[: max(count, 0)]] = True
    return test


def split(images: Images, labels: Labels, classes: tuple[str, ...], test_fraction: float) -> RawSplits:
    """Split a test set off at random.

    Parameters
    ----------
    images : ndarray, shape (N, channels, height, width), uint8
        Images.
    labels : ndarray, shape (N,), int64
        Labels from 0.
    classes : tuple of str
        Names of the classes.
    test_fraction : float
        Share of each class that is the test set.

    Returns
    -------
    RawSplits
        Both splits.

    Examples
    --------
    >>> found = split(np.zeros((6, 1, 2, 2), np.uint8), np.array([0, 0, 0, 1, 1, 1]), ("a", "b"), 1 / 3)
    >>> found.train_labels, found.test_labels
    (array([0, 0, 1, 1]), array([0, 1]))
    """
    test = held_out(labels, test_fraction)
    return RawSplits(images[~test], labels[~test], images[test], labels[test], classes)
