"""Device, data and networks of a training or averaging job."""

from typing import TYPE_CHECKING

from sgdtails.data import datasets as data
from sgdtails.runtime import devices
from sgdtails.training.settings import RunSettings

if TYPE_CHECKING:
    from torch import nn

    from sgdtails.training.engines.base import Engine


class TrainingContext:
    """The device, the data and the architecture of a job's runs, which differ only in step size and seed.

    Parameters
    ----------
    settings : RunSettings
        The settings of one of the runs.
    dataset : str
        Path of the prepared dataset.

    Attributes
    ----------
    train, test : Split
        The images on the device.
    """

    def __init__(self, settings: RunSettings, dataset: str) -> None:
        self.settings, self.batch_size = settings, int(settings.run["batch_size"])
        device = devices.select(settings.device, settings.precision, settings.threads)
        read = data.read(dataset)
        self._shape, self._classes = read.shape, len(read.classes)
        self.train, self.test = data.splits(read, device)

    def model(self) -> "nn.Module":
        """Build a network of the runs' architecture."""
        from sgdtails.models import building as models

        name = self.settings.run["model"]
        return models.build(name, self._shape, self._classes, {name: self.settings.model})

    def used(self, slots: int, runs: int) -> int:
        """Return how many slots a number of runs uses."""
        return slots if self.train.labels.is_cuda else min(slots, runs)  # on a GPU their number decides the last bits

    def engines(self, slots: int) -> "list[Engine]":
        """Build engines with at most ``slots`` replicas in all."""
        from sgdtails.training.engines import factory

        how = self.settings
        return factory.build_engines(
            how.model, self.model, self.train, batch_size=self.batch_size, replicas=slots, sgd=how.sgd
        )
