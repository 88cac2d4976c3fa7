import numpy as np
import pytest

from sgdtails import stable, tail_index, uncertainty


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


@pytest.mark.parametrize(
    ("alpha", "shape", "structure"),
    [(1.5, (1728,), "sample"), (2.0, (1728,), "sample"), (1.8, (192, 9), "elliptical"), (2.0, (512, 40), "elliptical")],
)
def test_intervals_cover(alpha, shape, structure):
    """400 samples know a coverage of 95% to 1.1%: each K1 within four of that; the aggregate, whose few long blocks are

    skewed, is known to reach less (docs/trust.md) and at least 88%.
    """
    hits, single = [], []
    for seed in range(400):
        generator = rng([seed, 7])
        draw = getattr(stable, structure)
        sample = draw(alpha, *(shape if structure == "elliptical" else [shape[0]]), rng=generator)
        each, whole = uncertainty.intervals(centred(sample).astype(np.float32), rng=generator)
        hits.append(whole[0] <= 1 / alpha <= whole[1])
        single.append([low <= 1 / alpha <= high for low, high in each])
    assert 0.88 <= np.mean(hits) <= 0.99
    coverage = np.mean(single, axis=0)
    assert (np.abs(coverage - 0.95) <= 4 * 0.011).all(), coverage


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


def test_intervals_shrink_with_the_sample():
    def width(n):
        _, (low, high) = uncertainty.intervals(stable.sample(1.7, n, rng=rng()), rng=rng(1))
        return high - low

    assert width(4096) / width(65_536) == pytest.approx(4, rel=0.5)  # four times, were the K1s the same


def test_the_same_seed_gives_the_same_interval_and_scale_changes_nothing():
    sample = stable.sample(1.7, 720, rng=rng())
    one = uncertainty.intervals(sample, rng=rng(5))
    assert one == uncertainty.intervals(sample, rng=rng(5))
    other = uncertainty.intervals(1e3 * sample, rng=rng(5))
    np.testing.assert_allclose(one[1], other[1], atol=1e-9)


def test_bad_samples():
    with pytest.raises(ValueError, match="no admissible"):
        uncertainty.intervals(np.ones(7), rng=rng())
    with pytest.raises(ValueError, match="zero"):
        uncertainty.intervals(np.zeros(8), rng=rng())
