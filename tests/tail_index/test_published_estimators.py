"""The authors' own values on fixed samples, where they are at hand."""

import json

import numpy as np
import pytest

from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index import published_estimators
from sgdtails.tail_index.published_estimators import Paulauskas
from tests.conftest import ROOT

REFERENCE = ROOT.parent / "shared/paper/ref_estimates.json"
ROWS = json.loads(REFERENCE.read_text())["rows"] if REFERENCE.exists() else []


def sample_of(row):
    rng, shape, alpha = np.random.default_rng(row["seed"]), (row["n"], row["d"]), row["alpha"]
    angle, exponential = rng.uniform(-np.pi / 2, np.pi / 2, shape), rng.exponential(size=shape)
    stretch = (np.cos((1 - alpha) * angle) / exponential) ** ((1 - alpha) / alpha)
    return np.sin(alpha * angle) / np.cos(angle) ** (1 / alpha) * stretch


@pytest.mark.skipif(not ROWS, reason="../shared/paper, which holds the authors' values, is not there")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['n']}x{row['d']}")
def test_values_are_those_of_the_authors_code(row):
    sample = sample_of(row)
    rows, entries = sample - np.median(sample, axis=0), sample.ravel() - np.median(sample)
    for values, name in ((rows, "multi"), (entries, "uni")):
        inverse = [tail_index.inverse_alpha(values, k1) for k1 in tail_index.block_lengths(len(values))]
        assert min(tail_index.aggregate(np.array([inverse])), 2) == pytest.approx(row[name], abs=1e-9)
    found = published_estimators.of_sample(entries)
    expected = {
        "hill": row["hill1975"],
        "pickands": row["pickands1975"],
        "dekkers": row["dekkers1989"],
        "dehaan1998": row["dehaan1998"],
        "paulauskas": row["paulauskas2011"],
    }
    assert found == pytest.approx(expected, abs=1e-9)


def test_paulauskas_is_the_mean_ratio_in_blocks_of_every_length():
    sample = np.random.default_rng(0).standard_normal(720)
    blocks = Paulauskas([2, 4, 6, 48, 360])
    blocks.add(sample.copy())
    for length, value in zip([2, 4, 6, 48, 360], blocks.values[0], strict=True):
        ordered = np.sort(np.abs(sample).reshape(-1, length), axis=1)
        mean = np.mean(ordered[:, -2] / ordered[:, -1])
        assert value == pytest.approx(mean / (1 - mean), rel=1e-12)


def test_hill_and_dekkers_are_their_definitions():
    sample = np.random.default_rng(1).standard_cauchy(1000)
    ordered = np.sort(np.abs(sample))[::-1]
    excesses = np.log(ordered[:20] / ordered[20])
    first, second = excesses.mean(), np.mean(excesses**2)
    found = published_estimators.of_magnitudes(sample, [20])
    assert found["hill"][0] == pytest.approx(1 / first, rel=1e-9)
    assert found["dehaan1998"][0] == pytest.approx(2 * first / second, rel=1e-9)
    assert found["dekkers"][0] == pytest.approx(1 / (first + 1 - 0.5 / (1 - first**2 / second)), rel=1e-9)
    gaps = (ordered[5] - ordered[10], ordered[10] - ordered[20])
    assert found["pickands"][0] == pytest.approx(1 / np.log2(gaps[0] / gaps[1]), rel=1e-9)


def test_heavier_samples_have_smaller_estimates():
    rng = np.random.default_rng(2)
    heavy, light = rng.standard_cauchy(20_000), rng.standard_t(3, 20_000)
    one, other = published_estimators.of_sample(heavy), published_estimators.of_sample(light)
    assert all(one[name] <= other[name] for name in published_estimators.ALTERNATIVES)
    # Of a Cauchy sample's thousand largest, Hill's estimate has a deviation of 1/sqrt(1000).
    assert published_estimators.of_magnitudes(heavy, [1000])["hill"][0] == pytest.approx(1.0, abs=4 / 1000**0.5)


def test_equal_weights_have_no_estimate():
    with pytest.raises(ValueError, match="equal"):
        published_estimators.of_magnitudes(np.repeat([1.0, -1.0, 0.5], 40), [2, 4])
