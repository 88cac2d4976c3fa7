import pytest
import torch
from torch import Tensor

from sgdtails.data import datasets as data
from sgdtails.data import loaders
from tests.training import helpers


@pytest.fixture(scope="session")
def digits() -> helpers.Digits:
    """scikit-learn's digits, and both splits as torch's tensors."""
    dataset = loaders.load("digits", {"kind": "digits"}, root="nowhere", download=False)
    return dataset, *data.splits(dataset, torch.device("cpu"))


@pytest.fixture(scope="session")
def digits_file(digits: helpers.Digits, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the prepared digits."""
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    data.write(digits[0], path, made_by={"settings": {}, "code": "d"})
    return str(path)


@pytest.fixture(scope="session")
def images() -> tuple[Tensor, Tensor]:
    """Random images of five classes, and their labels."""
    return helpers.random_images()
