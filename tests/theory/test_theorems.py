import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from sgdtails.figures import theory
from sgdtails.pruning import compression
from sgdtails.schemas.study_schemas import SCHEMAS
from sgdtails.stable import limits
from sgdtails.stable import sampling as stable
from sgdtails.theory import theorems

GRID = {
    "alpha": [1.2, 1.5, 2.0],
    "kappa": [0.1, 0.3],
    "p": [1.0, 2.0],
    "epsilon": 0.1,
    "entries": [100, 30_000],
    "widths": [16, 128],
    "draws": 16,
    "band": [0.05, 0.95],
    "seed": 0,
}


@pytest.fixture(scope="module")
def rows():
    return list(theorems.theorem_rows(**GRID))


def of(rows, theorem, quantity="error", **known):
    found = [row for row in rows if (row["theorem"], row["quantity"]) == (theorem, quantity)]
    return [row for row in found if all(row[key] == value for key, value in known.items())]


@pytest.mark.parametrize("alpha", [0.7, 1.2, 1.5])
def test_the_law_of_magnitudes_is_scipy_s(alpha):
    for t in (0.3, 1.0, 5.0):
        exact = 2 * stats.levy_stable.cdf(t, alpha, 0) - 1
        assert limits.distribution(alpha, t) == pytest.approx(exact, abs=1e-8)


def test_the_law_of_magnitudes_in_closed_form():
    for t in (0.3, 1.0, 5.0):
        assert limits.distribution(1.0, t) == pytest.approx(2 * stats.cauchy.cdf(t) - 1, rel=1e-12)
        normal = stats.norm(scale=math.sqrt(2))  # SaS(1) at alpha = 2
        assert limits.distribution(2.0, t) == pytest.approx(2 * normal.cdf(t) - 1, rel=1e-7)
        # E[x^2; |x| <= t] of N(0, 1) is 2*(Phi(t) - 1/2 - t*phi(t)).
        z = t / math.sqrt(2)
        share = 2 * (stats.norm.cdf(z) - 0.5 - z * stats.norm.pdf(z))
        assert limits.truncated_share(2.0, t, 2.0) == pytest.approx(share, rel=1e-6)


def test_moments():
    assert limits.absolute_moment(1.5, 1.0) == pytest.approx(2 * math.gamma(1 / 3) / math.pi)
    assert limits.absolute_moment(2.0, 2.0) == pytest.approx(2)
    assert limits.absolute_moment(2.0, 4.0) == pytest.approx(12)
    assert limits.absolute_moment(1.0, 0.5) == pytest.approx(math.sqrt(2))
    assert limits.absolute_moment(1.5, 1.5) == math.inf
    for alpha, p, t in ((1.5, 1.0, 1e4), (0.8, 0.5, 1e6), (1.9, 1.5, 1e4)):
        # P(|x| > t) nears 2*C*t^-alpha, so that what lies above t is E[|x|^p] less 2*C*alpha/(alpha-p)*t^(p-alpha).
        tail = 2 * math.gamma(alpha) * math.sin(math.pi * alpha / 2) / math.pi * alpha / (alpha - p) * t ** (p - alpha)
        above = 1 - limits.truncated_share(alpha, t, p)
        assert above == pytest.approx(tail / limits.absolute_moment(alpha, p), rel=0.01)
        assert 1 - limits.distribution(alpha, t) == pytest.approx(
            tail * (alpha - p) / alpha * t**-p, rel=0.01, abs=1e-12
        )


def test_known_limits_of_pruning():
    # The pruned fractions at a relative l2 error of 0.1 of the paper's figure 3: normal 0.2653.
    assert 1 - limits.entries_kappa(2.0, 0.1, 2.0) == pytest.approx(0.2653, abs=5e-5)
    assert limits.entries_limit(2.0, 1 - 0.26529114, 2.0) == pytest.approx(0.1, abs=1e-6)
    assert limits.entries_limit(1.5, 0.1, 2.0) == limits.entries_limit(1.5, 0.1, 1.5) == 0
    assert limits.entries_kappa(1.5, 0.1, 2.0) == 0
    # p just below alpha: the largest entries carry the norm, and no share of them is too small.
    for epsilon in (0.5, 0.999):
        assert limits.entries_kappa(1.5, epsilon, 1.499) == 0
    assert 0 < limits.entries_kappa(1.5, 0.5, 1.4) < 1e-2
    assert (limits.entries_limit(2.0, 0.0, 2.0), limits.entries_limit(2.0, 1.0, 2.0)) == (1, 0)
    # Equal columns: keeping the share kappa of them leaves (1-kappa)^(1/p).
    assert limits.columns_limit(2.0, 0.19, 2.0) == pytest.approx(0.9)
    assert (limits.columns_limit(1.5, 0.1, 2.0), limits.columns_limit(1.5, 0.1, 1.5)) == (0, None)
    assert (limits.singular_values_limit(1.5, 0.1, 1.0), limits.singular_values_limit(1.5, 0.1, 0.5)) == (
        0,
        None,
    )


@pytest.mark.parametrize(("alpha", "p"), [(0.8, 0.3), (1.0, 0.4), (1.5, 0.7), (1.9, 0.9), (2.0, 2.0), (2.0, 3.0)])
def test_a_large_sample_is_at_its_limit(alpha, p):
    """Where E|x|^(2p) is finite, the error of 10^6 entries is within a few 10^-3 of its limit: 5 standard errors of a mean."""
    errors = compression.relative_errors(stable.sample(alpha, 1_000_000, rng=np.random.default_rng(1)), p)
    limit = limits.entries_limit(alpha, 0.3, p)
    moments = [limits.absolute_moment(alpha, power) for power in (p, 2 * p)]
    deviation = math.sqrt(moments[1] / moments[0] ** 2) / 1000 / p  # of the error, relative
    assert theorems.kept_error(errors, 0.3) == pytest.approx(limit, rel=5 * deviation)


def test_the_quarter_circle_law_of_a_normal_matrix():
    """Fluctuations of linear statistics of eigenvalues are of order 1/h; so is what h = 600 lacks to its limit."""
    matrix = np.random.default_rng(0).standard_normal((600, 600))
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    for p in (0.5, 1.0, 2.0):
        found = theorems.kept_error(compression.relative_errors(squares, p), 0.3)
        assert found == pytest.approx(limits.singular_values_limit(2.0, 0.3, p), abs=3 / 600)


def test_rows_have_the_columns_of_their_table(rows):
    assert {frozenset(row) for row in rows} == {frozenset(SCHEMAS["theorems"].names)}
    # 3 tail indices and 2 sizes: kappa for 2 norms; 2 kappas x 2 norms for four errors, x 1 for the matrix.
    assert len(rows) == 3 * 2 * (2 + 4 * 4 + 2)
    assert all(row["low"] <= row["high"] and row["draws"] == 16 for row in rows)


@pytest.mark.parametrize(
    ("theorem", "quantity", "p"),
    [
        ("theorem_2_global", "error", 2.0),
        ("theorem_2_layers", "largest_error", 2.0),
        ("theorem_3", "eigenvalue_error", 1.0),
        ("theorem_3", "matrix_error", 2.0),
        ("theorem_4", "error", 2.0),
        ("proposition_8", "kappa", 2.0),
    ],
)
def test_errors_fall_with_size_where_the_theorem_says_so_and_stay_for_the_normal_law(rows, theorem, quantity, p):
    for kappa in (0.1, 0.3) if quantity != "kappa" else (None,):
        for alpha in (1.2, 1.5):
            small, large = of(rows, theorem, quantity, alpha=alpha, p=p, kappa=kappa)
            assert small["limit"] == large["limit"] == 0
            assert large["mean"] < 0.75 * small["mean"]
        _, large = of(rows, theorem, quantity, alpha=2.0, p=p, kappa=kappa)
        assert large["limit"] > 0.3
        # The slowest are 128 rows of Theorem 4: squared column norms vary by sqrt(2/128), which times the normal density
        # at their 0.7 quantile, 0.35, is by how much the squared error is lower, and the error itself by 0.026.
        assert large["mean"] == pytest.approx(large["limit"], abs=0.03)


def test_norms_of_finite_moment_leave_an_error(rows):
    """p = 1 < alpha: the theorem says nothing, and the error of 30,000 entries is near its limit, not near 0."""
    for theorem, quantity in (("theorem_2_global", "error"), ("proposition_8", "kappa")):
        for row in of(rows, theorem, quantity, alpha=1.5, p=1.0, size=30_000):
            assert row["limit"] > 0.2
            assert row["low"] - 0.01 < row["limit"] < row["high"] + 0.01


def test_heavier_tails_compress_more_in_a_norm_of_finite_moment(rows):
    """Proposition 8 within the stable family: kappa and its limit increase with alpha."""
    found = sorted(of(rows, "proposition_8", "kappa", p=1.0, size=30_000), key=lambda row: row["alpha"])
    for key in ("mean", "limit"):
        assert np.all(np.diff([row[key] for row in found]) > 0)
    limits = [limits.entries_kappa(alpha, 0.1, 0.9) for alpha in np.linspace(1.0, 2.0, 21)]
    assert np.all(np.diff(limits) > 0)


def test_proposition_8_needs_more_than_tail_indices():
    """As stated, for any two heavy-tailed laws and p < alpha, it is false: a law that is nearly constant has a heavier tail here.

    w1: Pareto with tail index 1.9. w2: 1, but Pareto with tail index 1.5 once in a hundred. Keeping the largest 30% leaves
    of w1 the l1 share 1 - 0.3^(1 - 1/1.9) = 0.43, of w2 (E = 1.02) about 0.7/1.02.
    """
    rng = np.random.default_rng(0)
    lighter, heavier, d = 1.9, 1.5, 100_000
    w1 = 1 + rng.pareto(lighter, d)
    w2 = np.where(rng.random(d) < 0.01, 1 + rng.pareto(heavier, d), 1.0)
    first, second = (theorems.kept_error(compression.relative_errors(w, 1.0), 0.3) for w in (w1, w2))
    assert first == pytest.approx(1 - 0.3 ** (1 - 1 / lighter), abs=0.02)
    assert second == pytest.approx(0.7 / 1.02, abs=0.02)
    assert second > first + 0.2  # (D.2) has it at most first + delta for any delta > 0


def test_points_do_not_depend_on_the_rest_of_the_grid(rows):
    few = GRID | {"alpha": [1.5], "kappa": [0.3], "p": [2.0], "entries": [100], "widths": [16]}
    for row in theorems.theorem_rows(**few):
        assert row in rows


def test_the_kept_share_is_rounded_down():
    errors = compression.relative_errors(np.array([4.0, 3.0, 2.0, 1.0]), 1.0)
    assert theorems.kept_error(errors, 0.49) == pytest.approx(6 / 10)
    assert theorems.kept_error(errors, 0.5) == pytest.approx(3 / 10)
    assert theorems.kept_error(compression.relative_errors(np.ones(10), 1.0), 0.3) == pytest.approx(0.7)


def test_the_figure_has_a_panel_per_theorem(rows):
    figure = theory.theorems(pa.Table.from_pylist(rows, schema=SCHEMAS["theorems"])).figure()
    assert len(figure.axes) == 5
    for axes in figure.axes:
        curves = [line for line in axes.get_lines() if len(line.get_xdata()) == 2 and line.get_xdata()[0] > 2]
        assert len(curves) == 6
        assert {line.get_linestyle() for line in curves} == {"-", "--"}
        assert len(axes.collections) == 6
    assert len(figure.legends[0].get_texts()) == 5  # 3 tail indices, 2 styles
