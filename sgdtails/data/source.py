"""Typed entries of the config's ``datasets.sources``, which say where the images of a dataset come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sgdtails.config import validation


@dataclass(frozen=True)
class Source:
    """An entry of ``datasets.sources``.

    Parameters
    ----------
    name : str
        Name of the dataset.
    kind : str
        ``mnist``, ``cifar10``, ``digits``, ``folder`` or ``npz``.
    path : str, optional
        A folder, a tar or an .npz file, below ``datasets.root``.
    sha256 : str, optional
        Digest of that file, checked before it is read.
    labels : str, optional
        ``remap`` to number labels from 0, in their order.
    size : sequence of int, optional
        Height and width to which images of a folder are resized.
    grey : bool
        Whether images of a folder get one channel instead of three.
    mean, std : sequence of float, optional
        Of pixels/255, one per channel. Default: those of the training images.
    train_size : int, optional
        Number of training images, drawn at random. Default: all.
    label_noise : float
        Share of training images that get another label.
    test_fraction : float
        Share of the images that are the test set, for datasets without a split of their own.

    Examples
    --------
    >>> Source.from_config("digits", {"kind": "digits"}).where
    "dataset 'digits'"
    """

    name: str
    kind: str
    path: str | None = None
    sha256: str | None = None
    labels: str | None = None
    size: tuple[int, ...] | None = None
    grey: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    train_size: int | None = None
    label_noise: float = 0.0
    test_fraction: float = 0.2

    @classmethod
    def from_config(cls, name: str, entry: Mapping[str, Any]) -> Self:
        """Read an entry of ``datasets.sources``, which the config's schema has checked."""
        fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
        return cls(name, **fields)

    @property
    def where(self) -> str:
        """The dataset's name as the beginning of a message."""
        return f"dataset {self.name!r}"

    @property
    def key(self) -> str:
        """The config key of the entry."""
        return f"datasets.sources.{self.name}"

    def place(self, root: str | Path) -> Path:
        """Return where the files are: ``path`` below ``datasets.root``; ~ is the home folder."""
        assert self.path is not None
        return validation.expanded(root, "config key datasets.root") / validation.expanded(
            self.path, "a dataset's path"
        )
