"""The array API where a GPU's image has it; and that training needs nothing else that such an image lacks."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from sgdtails import arrays
from sgdtails.errors import InputError
from tests.conftest import ROOT

WITHOUT = ("array_api_compat", "jsonschema", "snakemake", "snakemake_interface_common", "pandas", "matplotlib")
PROGRAM = f"""
import sys
for name in {WITHOUT}:
    sys.modules[name] = None
from benchmarks import gpu_check, gpu_study, study_jobs, study_plan
for name in ("dataset", "initial", "train", "average", "tails", "compression", "prune"):
    study_plan.script(name)
gpu_check.stages()
from sgdtails.training import average_job; from sgdtails.training import averaging; from sgdtails.training.engines import factory; from sgdtails.training import train_job; from sgdtails.training import trainer
from sgdtails.arrays import array_namespace
import numpy
print(array_namespace(numpy.zeros(2)).__name__)
"""


def test_training_starts_without_what_a_gpus_image_lacks():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("array_api_compat.numpy")
    assert not done.stdout.startswith("array_api_compat")


@pytest.mark.parametrize("number", range(len(arrays._PLACES)))
def test_every_copy_has_the_same_functions(monkeypatch, number):
    monkeypatch.setattr(arrays, "_PLACES", arrays._PLACES[number : number + 1])
    try:
        found = arrays._found()
    except InputError:
        pytest.skip(f"{arrays._PLACES[0]} is not in this version of its package")
    for array in (np.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3)):
        xp = found.array_namespace(array)
        assert float(xp.sum(xp.take_along_axis(array, xp.argmax(array, axis=1)[:, None], axis=1))) == 7
        assert found.is_torch_array(array) == isinstance(array, torch.Tensor)
        assert found.to_device(array, found.device(array)) is not None


def test_without_any_copy_it_is_one_sentence(monkeypatch):
    monkeypatch.setattr(arrays, "_PLACES", ("no_such_module", "no_such_package.at_all"))
    with pytest.raises(InputError, match=r"install array-api-compat\.$"):
        arrays._found()


@pytest.mark.parametrize("n", [0, 1, 63, 64, 100_003])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_totals_are_taken_in_double_precision(n, dtype):
    values = (np.random.default_rng(0).standard_normal(n) + 100).astype(dtype)
    exact = math.fsum(values.tolist())
    for found in (arrays.total(values), arrays.total(torch.from_numpy(values))):
        assert found == pytest.approx(exact, rel=1e-12)
    if n:
        assert arrays.mean(values) == pytest.approx(exact / n, rel=1e-12)


def test_numpys_arrays_stay_what_they_are():
    values = np.arange(3)
    assert arrays.like(values, np.ones(2)) is values
    assert arrays.host(values) is values
    tensor = arrays.like(values, torch.ones(2))
    assert torch.is_tensor(tensor)
    np.testing.assert_array_equal(arrays.host(tensor), values)
