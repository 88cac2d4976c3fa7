"""The exponent of the spectrum: that of WeightWatcher on the same matrices, and what does not depend on that package."""

import contextlib
import importlib.util
import io
import logging

import numpy as np
import pytest
import torch

from sgdtails.stable import sampling as stable
from sgdtails.tail_index import layer_tails, spectrum
from sgdtails.tail_index.network_index import Index


def rng(seed=0):
    return np.random.default_rng(seed)


LAYERS = {
    name: weight.astype(np.float32)
    for name, weight in {
        "gaussian": rng(0).standard_normal((256, 128)) / 16,
        "wide": rng(1).standard_normal((64, 300)) / 10,
        "stable": stable.sample(1.5, (256, 128), rng=rng(3)) / 20,
        "student": rng(4).standard_t(3, (100, 100)) / 10,
        "low rank": rng(5).standard_normal((60, 12)) @ rng(6).standard_normal((12, 60)),
        "small": rng(4).standard_normal((100, 100)) / 1000,  # eigenvalues on both sides of the threshold
        "head": rng(2).standard_normal((10, 128)) / 10,  # few eigenvalues: another fit
        "nineteen": rng(4).standard_normal((19, 100)) * 0.3,
        "twenty": rng(4).standard_normal((20, 100)) * 0.3,
        "convolution": rng(7).standard_normal((32, 16, 3, 3)) / 10,
        "heavy convolution": rng(9).standard_t(2.5, (16, 32, 3, 3)) / 20,
        "first convolution": rng(8).standard_normal((64, 1, 3, 3)) / 10,
    }.items()
}
# WeightWatcher 0.7.7, WeightWatcher(model).analyze(): columns alpha and sigma.
WEIGHTWATCHER = {
    "gaussian": (14.623682274583727, 4.541227424861242),
    "wide": (3.5301679363366074, 0.4276764393145108),
    "stable": (1.7826911911040049, 0.08805963892724943),
    "student": (3.887845663108332, 0.6457419211238187),
    "low rank": (2.739268747659082, 0.6149243628877854),
    "small": (7.905866103669533, 1.9935518269705585),
    "head": (3.9089262846356, 0.9198832604979762),
    "nineteen": (4.5738829586084915, 1.2635584375995528),
    "twenty": (4.091756719045465, 0.9776993203312958),
    "convolution": (6.866872768605907, 1.3828351730133106),
    "heavy convolution": (2.1579683720510974, 0.1263447075544986),
    "first convolution": (15.51027420233993, 5.130156642675393),
}


@pytest.mark.parametrize("name", LAYERS)
def test_values_are_those_of_weightwatcher(name):
    """Singular values squared, or eigenvalues of the product: they differ by 1e-16 of the largest one, and the fit divides by logarithms."""
    row = spectrum.row(LAYERS[name])
    alpha, sigma = WEIGHTWATCHER[name]
    assert row["alpha"] == pytest.approx(alpha, rel=1e-9)
    assert (row["alpha_high"] - row["alpha"]) / 1.959964 == pytest.approx(sigma, rel=1e-9)
    assert row["alpha"] - row["alpha_low"] == pytest.approx(row["alpha_high"] - row["alpha"])


@pytest.mark.skipif(importlib.util.find_spec("weightwatcher") is None, reason="weightwatcher is not installed")
def test_values_are_those_of_the_installed_weightwatcher():
    with contextlib.redirect_stdout(io.StringIO()):
        from weightwatcher import WeightWatcher

        logging.getLogger("weightwatcher").setLevel(logging.ERROR)
        details = WeightWatcher(model=network()).analyze(savefig=False)
    found = {name: (row["alpha"], row["sigma"]) for name, (_, row) in zip(LAYERS, details.iterrows(), strict=True)}
    for name, weight in LAYERS.items():
        row = spectrum.row(weight)
        assert row["alpha"] == pytest.approx(found[name][0], rel=1e-9), name
        assert found[name] == pytest.approx(WEIGHTWATCHER[name], rel=1e-9), f"{name}: renew the fixed values"


def network():
    modules = torch.nn.ModuleList()
    for weight in LAYERS.values():
        outputs, inputs, *kernel = weight.shape
        module = torch.nn.Conv2d(inputs, outputs, 3) if kernel else torch.nn.Linear(inputs, outputs)
        module.weight.data = torch.from_numpy(weight)
        modules.append(module)
    return modules


def test_eigenvalues_are_squared_singular_values():
    for weight in (LAYERS["wide"], LAYERS["wide"].T):
        singular = np.linalg.svd(weight.astype(np.float64), compute_uv=False)
        np.testing.assert_allclose(spectrum.eigenvalues(weight), np.sort(singular**2), rtol=1e-9)
    places = LAYERS["convolution"].astype(np.float64).reshape(32, 16, 9)
    singular = [np.linalg.svd(places[..., place], compute_uv=False) for place in range(9)]
    np.testing.assert_allclose(spectrum.eigenvalues(LAYERS["convolution"]), np.sort(np.ravel(singular) ** 2) / 2)


@pytest.mark.parametrize("exponent", [1.8, 2.5, 4.0])
def test_the_exponent_of_a_power_law_is_found(exponent):
    """A tail of 2,000 lets the estimate be 0.9 (exponent - 1)/sqrt(2000) off with a chance of 37%: six errors are far out."""
    values = (1 - rng(1).random(2000)) ** (-1 / (exponent - 1))
    found = spectrum.fit(values)
    assert abs(found.alpha - exponent) < 6 * (exponent - 1) / np.sqrt(found.tail)
    assert found.error == pytest.approx((found.alpha - 1) / np.sqrt(found.tail))
    assert found.tail > 1000


def test_the_power_law_begins_where_it_begins():
    """Values below 1 are uniform: they are no part of it."""
    values = np.concatenate([rng(2).random(2000), (1 - rng(3).random(2000)) ** (-1 / 1.5)])
    found = spectrum.fit(values)
    assert found.xmin == pytest.approx(1, abs=0.2)
    assert found.alpha == pytest.approx(2.5, abs=0.2)


def test_neither_scale_nor_orientation_changes_the_exponent():
    weight = LAYERS["stable"]
    alpha = spectrum.row(weight)["alpha"]
    for other in (4 * weight, weight.T, weight[::-1], -weight):
        assert spectrum.row(other)["alpha"] == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (rng().standard_normal((7, 300)), "7 eigenvalues above 1e-05: a power law needs 8"),
        (np.full((64, 12), 0.3), "1 eigenvalues"),
        (np.zeros((64, 12)), "0 eigenvalues"),
        (np.eye(30), "all equal"),
        (np.full((64, 12), np.nan), "not finite"),
    ],
)
def test_a_layer_without_an_exponent_has_the_reason(weight, reason):
    row = spectrum.row(weight)
    assert reason in row["reason"]
    assert "alpha" not in row


def test_it_is_a_row_of_table_tails_and_can_be_a_networks_index():
    weights = {"fc": LAYERS["gaussian"], "head": LAYERS["head"]}
    rows = [row for row in layer_tails.per_layer(weights, seed=0) if row["estimator"] == "spectrum"]
    assert [(row["layer_name"], row["k1"], row["observations"]) for row in rows] == [
        ("fc", None, 128),
        ("head", None, 10),
    ]
    exponents = [spectrum.row(weight)["alpha"] for weight in weights.values()]
    assert min(exponents) > 2
    for index in (Index("spectrum"), Index("spectrum", clip=True), Index("spectrum", value="alpha")):
        assert index.of_network(rows) == pytest.approx(np.mean(exponents))  # not clipped at 2
        assert "clipped" not in index.label
    assert "spectrum" in Index("spectrum").axis
