import numpy as np
import pytest
import torch
from scipy import stats

from sgdtails.tail_index.permutations import FEWEST, by_key, permuted, random_order, taken


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


def test_orders_of_a_seed_are_parts_in_the_order_of_their_keys():
    n, rng = FEWEST + 3, np.random.default_rng(5)
    found, part_of = random_order(n, np.random.default_rng(5)), rng.integers(0, 8, n, dtype=np.uint8)
    keys_of, begin = np.empty(n, np.uint64), 0
    for part in range(8):
        positions = np.flatnonzero(part_of == part)
        keys_of[positions] = keys = rng.integers(0, 2**64, len(positions), dtype=np.uint64) >> np.uint64(32)
        ordered = found[begin : begin + len(positions)]
        np.testing.assert_array_equal(np.sort(ordered), positions)
        assert (keys_of[ordered[1:]] >= keys_of[ordered[:-1]]).all()
        _, times = np.unique(keys, return_counts=True)
        rng.random(times[times > 1].sum())  # drawn for ties
        begin += len(positions)


def test_what_is_taken_is_a_copy_of_either_kind():
    rows, order = np.arange(12.0).reshape(6, 2), np.array([3, 0, 0, 5], dtype=np.uint32)
    np.testing.assert_array_equal(taken(rows, order), rows[order])
    np.testing.assert_array_equal(taken(rows.T[1], order), rows[order, 1])
    np.testing.assert_array_equal(taken(torch.from_numpy(rows), order).numpy(), rows[order])


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
