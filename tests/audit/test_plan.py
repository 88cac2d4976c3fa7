"""A plan: shares that hold in torch, and the same number of weights allotted by tail index."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.utils import prune

import sgdtails
from sgdtails.audit import plan
from sgdtails.errors import InputError
from sgdtails.pruning import allocation
from tests.conftest import ROOT

NULLS = {"replicates": 2, "entries": 2**12}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Embedding(50, 64),
        torch.nn.MultiheadAttention(64, 2),
        torch.nn.Linear(64, 128),
        torch.nn.Linear(128, 10),
    )
    with torch.no_grad():
        model[2].weight += 0.05  # not centred at 0, as torch prunes
    return model


def test_every_parameter_keeps_its_error(model):
    found = plan.plan("mine", sgdtails.audit(model.state_dict(), nulls=NULLS).rows)
    assert found["left_out"] == {"0": "an embedding"} or "0" not in found["left_out"]
    for level, entries in found["by_error"].items():
        assert {entry["module"] for entry in entries} >= {"1", "1.out_proj", "2", "3"}
        for entry in entries:
            module = model.get_submodule(entry["module"])
            weight = getattr(module, entry["name"]).detach().clone()
            pruned = prune.l1_unstructured(torch.nn.ParameterDict({"w": weight}), "w", amount=entry["amount"])["w"]
            assert int((pruned == 0).sum()) == round(entry["amount"] * weight.numel())
            assert (pruned - weight).norm() <= float(level) * weight.norm() * (1 + 1e-5)
            one_more = torch.sort(weight.abs().flatten()).values[: int((pruned == 0).sum()) + 4]
            if entry["name"] == "weight":  # of one layer: no more can go
                assert one_more.norm() > float(level) * weight.norm()


def test_both_allocations_remove_as_much(model):
    found = plan.plan("mine", sgdtails.audit(model.state_dict(), nulls=NULLS).rows)
    sizes = {f"{name}": parameter.numel() for name, parameter in model.named_parameters()}
    for level in found["by_error"]:
        removed = [
            sum(
                entry["amount"] * sizes[".".join(filter(None, (entry["module"], entry["name"])))]
                for entry in found[kind][level]
            )
            for kind in ("by_error", "by_alpha")
        ]
        assert removed[0] == pytest.approx(removed[1], abs=len(sizes))


def test_ratios_are_linear_in_the_index():
    ratios = allocation.by_alpha([1.2, 1.6, 2.0, 2.7], [10, 20, 30, 40], 0.4, spread=0.5)
    assert ratios[2] == ratios[3]  # above 2 is 2
    assert (ratios[1] - ratios[0]) == pytest.approx((ratios[2] - ratios[0]) / 2)
    assert ratios[0] / ratios[2] == pytest.approx(0.5 / 1.5)
    assert np.dot(ratios, [10, 20, 30, 40]) == pytest.approx(40)
    turned = allocation.by_alpha([1.2, 2.0], [10, 10], 0.4, spread=-0.5)
    assert turned[0] > turned[1]


@pytest.mark.parametrize("share", [0, 0.5, 0.9, 0.99, 1])
def test_no_ratio_exceeds_one(share):
    ratios = allocation.by_alpha([1.2, 1.6, None, 2.0], [10, 20, 30, 40], share, spread=0.8)
    assert all(0 <= ratio <= 1 for ratio in ratios)
    assert np.dot(ratios, [10, 20, 30, 40]) == pytest.approx(100 * share)
    assert allocation.by_alpha([None, None], [5, 5], share) == pytest.approx([share, share])


@pytest.mark.parametrize("spread", [-1, 1])
@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.75, 1])
def test_a_layer_that_is_left_whole_loses_what_the_others_cannot(share, spread):
    ratios = allocation.by_alpha([1.5, 2], [100, 100], share, spread=spread)
    assert sum(ratios) == pytest.approx(2 * share)
    assert sorted(ratios) == pytest.approx([max(0, 2 * share - 1), min(1, 2 * share)])


@pytest.mark.parametrize(("share", "spread"), [(1.1, 0.3), (-0.1, 0.3), (0.5, 2)])
def test_ratios_out_of_range(share, spread):
    with pytest.raises(InputError, match="must be from"):
        allocation.by_alpha([1.5], [3], share, spread=spread)


def test_the_example(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    found = sgdtails.audit(model.state_dict(), nulls=NULLS)
    (tmp_path / "plan.json").write_text(plan.write(found.plan()))
    assert json.loads((tmp_path / "plan.json").read_text()) == found.plan()
    command = [sys.executable, str(ROOT / "examples/prune_by_plan.py"), str(tmp_path / "plan.json")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.partition(":")[0] for line in said] == ["by_error", "by_alpha"]
    shares = [int(line.partition(": ")[2].partition("%")[0]) for line in said]
    assert 18 <= shares[0] <= 25  # 21.5% of a uniform law, as torch initialises
    assert abs(shares[0] - shares[1]) <= 1
