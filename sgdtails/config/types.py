"""Types of the parts of a config. They are dictionaries at run time, as YAML gives them."""

from collections.abc import Mapping
from typing import Any, TypedDict

Config = Mapping[str, Any]  # the whole; config/config.schema.yaml has the type of each key
Settings = dict[str, Any]  # what a rule's results depend on, as JSON has it


class Model(TypedDict, total=False):
    """An entry of config key ``models``: one of fcn, cnn and factory."""

    fcn: list[int]
    cnn: list[int | str]
    factory: str
    arguments: dict[str, Any]
    init: dict[str, str]
    head: str


class Source(TypedDict, total=False):
    """An entry of config key ``datasets.sources``."""

    kind: str
    path: str
    sha256: str
    labels: str
    size: list[int]
    grey: bool
    mean: list[float]
    std: list[float]
    train_size: int
    label_noise: float
    test_fraction: float


class Run(TypedDict):
    """A row of the run table; ``variant`` says in what its updates are not those of plain SGD."""

    dataset: str
    model: str
    batch_size: int
    step_size: float
    seed: int
    momentum: float
    weight_decay: float
    noise_scale: float
    noise_alpha: float
    noise_kind: str
    variant: str
