"""Audits of a mapping of arrays, as a notebook has it."""

import numpy as np
import pytest
import torch

import sgdtails
from sgdtails.audit import audit_inputs
from sgdtails.errors import InputError
from tests.audit.helpers import layers, normal, reasons

QUICK = {"nulls": {"replicates": 2, "entries": 1024}}


class OnGpu(np.ndarray):
    """What a tensor of a GPU shows of itself: no numbers before ``cpu()``."""

    device, layout = torch.device("cuda"), "torch.strided"

    def detach(self):
        return self

    def data_ptr(self):
        return self.__array_interface__["data"][0]

    def stride(self):
        return self.strides

    def cpu(self):
        return torch.from_numpy(np.array(self))


def test_tensors_with_gradients_and_keys_that_are_no_text():
    state = {0: torch.nn.Parameter(torch.from_numpy(normal(64, 32))), "0": torch.ones(2), "steps": 3}
    found = sgdtails.audit(state, **QUICK)
    assert [row["layer_name"] for row in found.rows["audit"]] == ["0"]
    plain = sgdtails.audit({"0": state[0].detach()}, **QUICK)
    assert found.rows["audit"] == plain.rows["audit"]
    assert [row["name"] for row in found.rows["audit_skipped"]] == ["0 (2)"]


def test_tensors_of_a_gpu_are_copied_once():
    weight = normal(70, 66).view(OnGpu)
    found = audit_inputs.of_mapping({"wte.weight": weight, "lm_head.weight": weight, "fc.weight": weight.copy()}, "it")
    assert {str(array.device) for array in found.values()} == {"cpu"}
    assert list(layers(found)) == ["wte", "fc"]
    assert reasons(found) == {"lm_head.weight": "the same weights as wte.weight"}
    assert np.array_equal(layers(found)["fc"].tensor, weight)


def test_a_part_of_a_mapping():
    state = {f"{part}.fc.weight": normal(70, 66) for part in ("student", "teacher")}
    found = sgdtails.audit(state, part="teacher", **QUICK)
    assert [row["layer_name"] for row in found.rows["audit"]] == ["teacher.fc"]
    assert [row["reason"] for row in found.rows["audit_skipped"]] == ["not in part teacher"]
    with pytest.raises(InputError, match="unknown part 'teachr'.*did you mean 'teacher'"):
        sgdtails.audit(state, part="teachr", **QUICK)
