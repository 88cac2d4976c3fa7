import math

import numpy as np
import pyarrow as pa
import pytest

from sgdtails.tail_index import network_intervals
from sgdtails.tail_index.network_index import Index

ROW = {"run": "a", "weights": "average", "estimator": "hill", "k1": None, "alpha_published": None}
LAYERS = [(1.5, 1.4, 1.7), (1.8, 1.6, 1.9), (1.9, 1.8, 2.4)]
INDEX = Index("hill", value="alpha")


def tails(layers=LAYERS):
    names = ("alpha", "alpha_low", "alpha_high")
    rows = [
        ROW | {"layer": n, "layer_name": f"fc{n}"} | dict(zip(names, layer, strict=True))
        for n, layer in enumerate(layers)
    ]
    return pa.Table.from_pylist(rows)


def test_the_interval_of_a_mean_covers_as_often_as_those_of_its_layers():
    """Ten layers with normal errors of known size: 95% of 4,000 intervals hold the mean, within four standard errors."""
    rng = np.random.default_rng(0)
    truth, sizes = rng.uniform(1.5, 2, 10), rng.uniform(0.01, 0.1, 10)
    inside = 0
    for _ in range(4000):
        values = truth + sizes * rng.standard_normal(10)
        layers = [(value, value - 1.96 * size, value + 1.96 * size) for value, size in zip(values, sizes, strict=True)]
        rows = [dict(zip(("alpha", "alpha_low", "alpha_high"), layer, strict=True)) for layer in layers]
        low, high = network_intervals.of_mean(rows) or (math.nan, math.nan)
        inside += low <= truth.mean() <= high
    assert inside / 4000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_ends_are_those_of_the_layers_that_count():
    low, high = network_intervals.of_runs(tails(), INDEX)["a"]
    assert low == pytest.approx(5.2 / 3 - math.sqrt(0.01 + 0.04 + 0.01) / 3)
    assert high == pytest.approx(5.2 / 3 + math.sqrt(0.04 + 0.01 + 0.25) / 3)
    for exempt, kept in ((["head"], LAYERS[:2]), (["first"], LAYERS[1:]), (["fc1"], LAYERS[::2])):
        found = network_intervals.of_runs(tails(), Index("hill", value="alpha", exempt=exempt))
        assert found == network_intervals.of_runs(tails(kept), INDEX)


@pytest.mark.parametrize(
    ("layers", "index"),
    [
        (LAYERS, Index("hill")),
        (LAYERS, Index("hill", value="alpha", clip=True)),
        (LAYERS, Index("hill", value="alpha", layers="median")),
        (LAYERS, Index("hill", value="alpha", exempt=["fc0", "fc1", "fc2"])),
        ([*LAYERS, (1.7, None, None)], INDEX),
        ([*LAYERS, (1.7, 1.5, math.inf)], INDEX),
    ],
)
def test_no_interval_where_none_is_known(layers, index):
    assert network_intervals.of_runs(tails(layers), index) == {}
