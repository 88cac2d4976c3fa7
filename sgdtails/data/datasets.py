"""Datasets of images as uint8 arrays: their files, and how batches of them get to a device."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgdtails.arrays import array_namespace
from sgdtails.io import storage
from sgdtails.runtime import devices


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Both splits of a dataset.

    Parameters
    ----------
    train_images, test_images : ndarray, shape (N, channels, height, width), uint8
        Images.
    train_labels, test_labels : ndarray, shape (N,), int64
        Labels from 0.
    classes : tuple of str
        Names of the classes.
    mean, std : tuple of float
        Constants per channel: a normalised pixel x is (x/255 - mean)/std.

    Examples
    --------
    >>> images, labels = np.zeros((4, 1, 2, 3), np.uint8), np.array([0, 0, 0, 1])
    >>> Dataset(images, labels, images, labels, ("a", "b"), (0.5,), (0.25,)).shape
    (1, 2, 3)
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def write(dataset: Dataset, path: str | Path, *, made_by: Mapping[str, Any] | None = None) -> None:
    """Store a dataset as safetensors.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    path : str or Path
        Where to.
    made_by : mapping, optional
        Code and settings that made it. They are kept in the file, and do not change its digest.
    """
    record = {"classes": dataset.classes, "mean": dataset.mean, "std": dataset.std}
    storage.save_arrays(path, {name: getattr(dataset, name) for name in _ARRAYS}, record, made_by=made_by)


def read(path: str | Path) -> Dataset:
    """Read a dataset that ``write`` has stored.

    Parameters
    ----------
    path : str or Path
        Where it is.

    Returns
    -------
    Dataset
        The dataset.

    Raises
    ------
    InputError
        If the file is damaged, or not a dataset's.

    Examples
    --------
    >>> import tempfile
    >>> images, labels = np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 0, 0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Dataset(images, labels, images, labels, ("a", "b"), (0.5,), (0.25,)), f"{folder}/d.safetensors")
    ...     read(f"{folder}/d.safetensors").classes
    ('a', 'b')
    """
    arrays, record = storage.load_arrays(path)
    fields: dict[str, Any] = arrays | {key: tuple(record[key]) for key in ("classes", "mean", "std")}
    return Dataset(**fields)


# Bytes of float32 images that are normalised once and stay in memory. More images are normalised batch by batch.
RESIDENT = 2**30


class Split:
    """One split, which gives batches of normalised images.

    Parameters
    ----------
    images : ndarray, shape (N, channels, height, width), uint8
        Images.
    labels : ndarray, shape (N,), int64
        Their labels.
    dataset : Dataset
        It has the constants that normalise images.
    device : torch.device or None
        Where the arrays are; None for arrays of numpy.

    Attributes
    ----------
    images, labels : array
        As given, on the device.

    Examples
    --------
    >>> images, labels = np.full((4, 1, 1, 1), 255, np.uint8), np.array([0, 0, 0, 1])
    >>> split = Split(images, labels, Dataset(images, labels, images, labels, ("a", "b"), (0.5,), (0.25,)), None)
    >>> split.batch(slice(2, 4))  # (255/255 - 0.5)/0.25 = 2
    (array([[[[2.]]],
    <BLANKLINE>
    <BLANKLINE>
           [[[2.]]]], dtype=float32), array([0, 1]))
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], dataset: Dataset, device: Any) -> None:
        # (x/255 - mean)/std in one multiplication and one subtraction
        std = np.array(dataset.std).reshape(1, -1, 1, 1)
        mean = np.array(dataset.mean).reshape(1, -1, 1, 1)
        self._scale, self._shift = (1 / (255 * std)).astype(np.float32), (mean / std).astype(np.float32)
        # numpy keeps large arrays in huge pages, from which images are gathered faster than from torch's own memory.
        resident = device is not None and 4 * images.size <= RESIDENT
        self._normalised = devices.place(self._normalise(images), device) if resident else None
        arrays = (images, labels, self._scale, self._shift)
        self.images, self.labels, self._scale, self._shift = (devices.place(array, device) for array in arrays)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Any) -> tuple[Any, Any]:
        """Return normalised images and labels, which callers must not change.

        Parameters
        ----------
        index : slice or array of int
            Which images.

        Returns
        -------
        images : array, shape (n, channels, height, width), float32
            Normalised images.
        labels : array, shape (n,), int64
            Their labels.
        """
        if self._normalised is None:
            return self._normalise(self._at(self.images, index)), self._at(self.labels, index)
        return self._at(self._normalised, index), self._at(self.labels, index)

    def source(self) -> tuple[Any, Callable[[Any], Any] | None]:
        """Return all images as they are stored on the device, and how to normalise some of them.

        Returns
        -------
        images : array, shape (N, channels, height, width)
            Normalised float32 images if there are few, else uint8 images.
        prepare : callable or None
            Normalises images; None if they are normalised already.
        """
        return (self.images, self._normalise) if self._normalised is None else (self._normalised, None)

    @staticmethod
    def _at(array: Any, index: Any) -> Any:
        if isinstance(index, slice):
            return array[index]
        return array_namespace(array).take(array, index, axis=0)  # several times faster than array[index]

    def _normalise(self, images: Any) -> Any:
        xp = array_namespace(images)
        images = xp.astype(images, xp.float32)
        images *= self._scale
        images -= self._shift
        return images


def splits(dataset: Dataset, device: Any) -> tuple[Split, Split]:
    """Put both splits of a dataset on a device.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    device : torch.device or None
        Where to; None for arrays of numpy.

    Returns
    -------
    train, test : Split
        Training and test split.

    Examples
    --------
    >>> images, labels = np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 0, 0, 1])
    >>> train, test = splits(Dataset(images, labels, images, labels, ("a", "b"), (0.5,), (0.25,)), None)
    >>> len(train), len(test)
    (4, 4)
    """
    train = Split(dataset.train_images, dataset.train_labels, dataset, device)
    return train, Split(dataset.test_images, dataset.test_labels, dataset, device)
