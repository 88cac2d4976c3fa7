"""Both ways of a benchmark do the same work: otherwise their times say nothing."""

import numpy as np
import pytest
import torch

from benchmarks import checkpoints, grid_cost, pruning, roofline, training
from sgdtails import data, sources


@pytest.fixture(scope="module")
def dataset():
    return sources.load("digits", {"kind": "digits"}, root="nowhere", download=False)


@pytest.mark.parametrize("method", pruning.METHODS)
def test_the_plain_way_of_pruning_agrees_with_ours(dataset, method):
    weights = pruning.network(40, 64)
    ratios = [0, 0.1, 0.55, 0.9, 1]
    ours = pruning.ours(weights, dataset, method, ratios, None)
    plain = pruning.plain(weights, dataset, method, ratios, torch.device("cpu"))
    np.testing.assert_allclose(ours, plain, atol=1.1 / len(dataset.test_labels))  # rounding may turn one image


def test_the_report_has_a_line_per_method_and_their_sum():
    results = [
        {
            "way": way,
            "method": method,
            "seconds": seconds,
            "core_seconds": 2 * seconds,
            "peak_gib": 1.0,
            "accuracies": [0.5, seconds / 10],
        }
        for method in ("node", "kernel")
        for way, seconds in (("ours", 1.0), ("plain", 3.0))
    ]
    lines = pruning.report(results).splitlines()
    assert lines[2] == "| node | 2 | 1.0 | 3.0 | 2.0 | 6.0 | 3.0 | 1.00 | 1.00 | 0.2000 |"
    assert lines[-1] == "| all | | 2.0 | 6.0 | 4.0 | 12.0 | 3.0 | | | |"


@pytest.mark.parametrize(("spec", "slots"), [({"fcn": [16, 16]}, 1), ({"fcn": [16, 16]}, 3), ({"cnn": [4, "M"]}, 1)])
def test_both_ways_of_training_take_the_same_steps(dataset, spec, slots):
    train, _ = data.splits(dataset, torch.device("cpu"))
    found = []
    for way in (training.ours, training.plain):
        steps, states = way(spec, train, 50, slots)
        steps(3)
        steps(30)  # into a second epoch
        found.append(states())
    assert len(found[0]) == slots
    for one, other in zip(*found, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(value, other[name], atol=1e-6)


def test_a_training_job_that_is_asked_to_end_leaves_a_checkpoint(dataset, tmp_path):
    data.write(dataset, tmp_path / "mnist.safetensors")
    assert checkpoints.ended_after(tmp_path, "fcn4", 0) > 0


@pytest.mark.parametrize("peaks", [(1e12, 1e30), (1e30, 1e9)])
def test_the_grid_costs_what_its_steps_cost(peaks):
    rows = grid_cost.table(40_000, [], peaks)
    assert sum(count for _, count, _ in rows) == 215
    half = grid_cost.table(15_000, [], peaks)
    for (_, _, hours), (_, _, fewer) in zip(rows, half, strict=True):
        assert hours == pytest.approx(2 * fewer)


def test_counts_of_a_step():
    layers = roofline.matrices({"fcn": [2048] * 4}, (1, 28, 28), 10)
    assert sum(weights for weights, _ in layers) == 14_209_024
    assert roofline.flops(layers, 50) == 2 * 50 * (2 * 784 * 2048 + 3 * (14_209_024 - 784 * 2048))
    assert roofline.traffic(layers) == 16 * 14_209_024 - 4 * 784 * 2048
    cnn = roofline.matrices({"cnn": [4, "M", 6]}, (1, 8, 8), 10)
    assert cnn == [(36, 64), (216, 16), (960, 1)]
