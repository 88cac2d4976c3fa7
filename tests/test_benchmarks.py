"""Both ways of a benchmark do the same work: otherwise their times say nothing."""

import numpy as np
import pytest
import torch

from benchmarks import pruning
from sgdtails import data


@pytest.fixture(scope="module")
def dataset():
    return data.load("digits", {"kind": "digits"}, root="nowhere", download=False)


@pytest.mark.parametrize("method", pruning.METHODS)
def test_the_plain_way_of_pruning_agrees_with_ours(dataset, method):
    weights = pruning.network(40, 64)
    ratios = [0, 0.1, 0.55, 0.9, 1]
    ours = pruning.ours(weights, dataset, method, ratios, None)
    plain = pruning.plain(weights, dataset, method, ratios, torch.device("cpu"))
    np.testing.assert_allclose(ours, plain, atol=1.1 / len(dataset.test_labels))  # rounding may turn one image


def test_the_report_has_a_line_per_method_and_their_sum():
    results = [
        {"way": way, "method": method, "seconds": seconds, "peak_gib": 1.0, "accuracies": [0.5, seconds / 10]}
        for method in ("node", "kernel")
        for way, seconds in (("ours", 1.0), ("plain", 3.0))
    ]
    lines = pruning.report(results).splitlines()
    assert lines[2] == "| node | 2 | 1.0 | 3.0 | 3.0 | 1.00 | 1.00 | 0.2000 |"
    assert lines[-1] == "| all | | 2.0 | 6.0 | 3.0 | | | |"
