import numpy as np
import pytest

from sgdtails.tail_index import mmo as tail_index
from sgdtails.tail_index import uncertainty


def rng(seed=0):
    return np.random.default_rng(seed)


def centred(sample):
    return sample - np.median(sample, axis=0)


def test_signs_and_order_change_and_nothing_else():
    sample = np.arange(1.0, 301).reshape(100, 3)
    signed = uncertainty.signed_permutation(sample, rng=rng())
    np.testing.assert_array_equal(np.sort(np.abs(signed), axis=0), sample)
    assert (np.sign(signed) == np.sign(signed[:, :1])).all()  # one sign for a row
    assert 20 < (signed[:, 0] < 0).sum() < 80
    assert (signed != sample).any()
    assert sample[0, 0] == 1  # the argument is left alone


def test_interval_of_a_mean_is_students():
    middle, low, high = uncertainty.mean_interval(np.array([1.0, 2, 3, 4]))
    # t of 3 degrees of freedom at 97.5% is 3.18245; the standard error is sqrt(5/3)/2.
    assert (middle, high - middle) == (2.5, pytest.approx(3.18245 * np.sqrt(5 / 3) / 2, rel=1e-5))
    assert middle - low == pytest.approx(high - middle)


def test_signs_undo_the_bias_of_centring():
    """Blocks of a quarter of N centred Gaussian rows: squares smaller by 0.43/4 of themselves, and 1/alpha by 0.013."""
    length, published, signed = 64, [], []
    for seed in range(60):
        sample = centred(rng(seed).standard_normal((256, 200)))
        published.append(tail_index.inverse_alpha(rng(seed).permutation(sample), length))
        signed.append(tail_index.inverse_alpha(uncertainty.signed_permutation(sample, rng=rng(seed)), length))
    expected = 0.5 * np.log(1 - (2 - np.pi / 2) * length / 256) / np.log(length)
    error = np.std(signed) / np.sqrt(60)
    assert np.mean(signed) == pytest.approx(0.5, abs=4 * error)
    assert np.mean(published) == pytest.approx(0.5 + expected, abs=4 * error)
    assert expected < -10 * error


def test_mean_and_error_in_single_precision():
    values = np.random.default_rng(0).standard_normal(100_001).astype(np.float32) + 100
    middle, error = uncertainty.mean_and_error(values)
    wide = values.astype(np.float64)
    assert middle == pytest.approx(wide.mean(), rel=1e-12)
    assert error == pytest.approx(wide.std(ddof=1) / np.sqrt(len(wide)), rel=1e-5)
