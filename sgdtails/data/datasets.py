"""Images as uint8 arrays: how they rest on disk, how batches of them reach a device."""

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
    """Images (N, channels, height, width) uint8, labels (N,) int64, and the constants that normalise x/255."""

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
        return self.train_images.shape[1:]


_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def write(dataset: Dataset, path: str | Path, *, made_by: Mapping[str, Any] | None = None) -> None:
    """Store a dataset as safetensors. ``made_by``: code and settings, which do not change the file's digest."""
    record = {"classes": dataset.classes, "mean": dataset.mean, "std": dataset.std}
    storage.save_arrays(path, {name: getattr(dataset, name) for name in _ARRAYS}, record, made_by=made_by)


def read(path: str | Path) -> Dataset:
    """The dataset stored at ``path``."""
    arrays, record = storage.load_arrays(path)
    fields: dict[str, Any] = {**arrays, **{key: tuple(record[key]) for key in ("classes", "mean", "std")}}
    return Dataset(**fields)


RESIDENT = (
    2**30
)  # bytes: float32 images up to this much are normalised once and stay so; more are normalised batch by batch


class Split:
    """One split as arrays of numpy (device None) or of torch: uint8 images, labels, and batches of them as normalised float32."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], dataset: Dataset, device: Any) -> None:
        # (x/255 - mean)/std in one multiplication and one subtraction
        std = np.array(dataset.std).reshape(1, -1, 1, 1)
        mean = np.array(dataset.mean).reshape(1, -1, 1, 1)
        self._scale, self._shift = (1 / (255 * std)).astype(np.float32), (mean / std).astype(np.float32)
        # By numpy, which keeps large arrays in huge pages: images are gathered from there faster than from torch's own.
        resident = device is not None and 4 * images.size <= RESIDENT
        self._normalised = devices.place(self._normalise(images), device) if resident else None
        arrays = (images, labels, self._scale, self._shift)
        self.images, self.labels, self._scale, self._shift = (devices.place(array, device) for array in arrays)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Any) -> tuple[Any, Any]:
        """Normalised images and labels at ``index`` (a slice or an index array); not to be changed."""
        if self._normalised is None:
            return self._normalise(self._at(self.images, index)), self._at(self.labels, index)
        return self._at(self._normalised, index), self._at(self.labels, index)

    def source(self) -> tuple[Any, Callable[[Any], Any] | None]:
        """All images as they lie on the device, and what normalises a part of them (None: they are normalised)."""
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
    """Training and test split on a torch device, or as numpy arrays (device None)."""
    train = Split(dataset.train_images, dataset.train_labels, dataset, device)
    return train, Split(dataset.test_images, dataset.test_labels, dataset, device)
