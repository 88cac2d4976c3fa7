import numpy as np
import pytest
from scipy import stats

from sgdtails.permutations import FEWEST, by_key, permuted


@pytest.mark.parametrize("n", [7, FEWEST - 1, FEWEST, FEWEST + 3])
def test_the_same_numbers_in_another_order_given_by_the_seed(n):
    sample = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    sample[: n // 2] = np.round(sample[: n // 2], 1)  # equal ones, of which -0 and 0
    before = sample.copy()
    found = permuted(sample, np.random.default_rng(1))
    np.testing.assert_array_equal(sample, before)
    np.testing.assert_array_equal(np.sort(found.view(np.uint32)), np.sort(sample.view(np.uint32)))
    np.testing.assert_array_equal(found, permuted(sample, np.random.default_rng(1)))
    assert found.dtype == sample.dtype
    assert not np.array_equal(found, permuted(sample, np.random.default_rng(2)))


def test_views_and_rows_and_doubles_are_permuted_as_well():
    rows = np.arange(4 * FEWEST, dtype=np.float32).reshape(FEWEST, 4)
    first = permuted(rows[:, 0], np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(first), rows[:, 0])
    whole = permuted(rows, np.random.default_rng(0))
    np.testing.assert_array_equal(whole - whole[:, :1], rows - rows[:, :1])
    doubles = permuted(rows.ravel().astype(np.float64), np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(doubles), rows.ravel())


def test_where_a_number_goes_says_nothing_of_where_it_was():
    n = 2 * FEWEST
    found = permuted(np.arange(n, dtype=np.float32), np.random.default_rng(3)).astype(np.int64)
    cells = np.histogram2d(found, np.arange(n), bins=16)[0].ravel()
    assert 0.001 < stats.chisquare(cells, ddof=30).pvalue < 0.999  # rows and columns of cells have given sums
    # The number of steps up has the variance n/12.
    assert abs(np.mean(found[1:] > found[:-1]) - 0.5) < 4 * (1 / 12 / n) ** 0.5


def test_every_order_is_as_likely_where_keys_are_equal():
    """Keys of one bit: nearly all are tied."""
    rng = np.random.default_rng(0)
    orders = np.zeros((4, 4), dtype=int)
    times = 8000
    for _ in range(times):
        pairs = rng.integers(0, 2, 4, dtype=np.uint64) << np.uint64(32) | np.arange(4, dtype=np.uint64)
        orders[np.arange(4), by_key(pairs, rng)] += 1
    # Rows and columns sum to the number of times: nine free cells.
    assert stats.chi2(9).sf(np.sum((orders - times / 4) ** 2) / (times / 4)) > 0.001
