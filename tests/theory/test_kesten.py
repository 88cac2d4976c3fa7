"""SGD, averaging and estimators against mathematics: linear regression on Gaussian data, whose tail index an equation gives.

The stationary law of w <- w - eta*z*(z*w - y) has the tail index alpha that solves E|1 - eta*Z^2|^alpha = 1 (Kesten).
"""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from sgdtails.digests import code_digest
from sgdtails.errors import InputError
from sgdtails.figures import registry
from sgdtails.io import tables
from sgdtails.models import building as models
from sgdtails.tail_index import mmo as tail_index
from sgdtails.theory import kesten
from sgdtails.training.engines.module import ModuleEngine
from tests.conftest import ROOT, script

KESTEN = {0.6: 2.3017, 0.7: 1.8705, 0.8: 1.5464, 0.9: 1.2936, 1.0: 1.0908}


@pytest.mark.parametrize(("eta", "alpha"), KESTEN.items())
def test_known_values(eta, alpha):
    assert kesten.exact_index(eta, 1) == pytest.approx(alpha, abs=5e-5)


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60))
def test_index_two_in_closed_form(batch_size, dimension):
    """E||M e||^2 = 1 - 2*eta + eta^2*(1 + (d + 1)/b), which is 1 at eta = 2/(1 + (d + 1)/b)."""
    eta = 2 / (1 + (dimension + 1) / batch_size)
    assert kesten.exact_index(eta, batch_size, dimension) == pytest.approx(2, abs=1e-8)


@given(st.integers(1, 60), st.floats(0.05, 3))
def test_even_moments_in_closed_form(batch_size, eta):
    """In one dimension, from the moments of chi2_b/b: E X^k = product of (1 + 2i/b), i < k."""
    moments = np.cumprod([1, *(1 + 2 * np.arange(6) / batch_size)])
    for power in (0, 2, 4, 6):
        expansion = np.poly1d([-eta, 1]) ** power
        terms = expansion.coeffs[::-1] * moments[: power + 1]
        # Alternating terms cancel: the sum is right to their size times float64's precision.
        tolerance = 1e-10 + 1e-14 * np.abs(terms).sum()
        value = np.exp(kesten.log_moment(power, eta, batch_size))
        assert value == pytest.approx(terms.sum(), rel=1e-9, abs=tolerance)


def test_drift_in_closed_form():
    """As eta grows, E log|1 - eta*X| - log eta tends to E log X = digamma(b/2) + log(2/b); in d dimensions too,
    ||M e|| then grows like eta*||A e||/b with ||A e||^2 = chi2_b*(chi2_b + chi2_(d-1)), independent."""
    from scipy.special import digamma

    for batch_size in (3, 10):
        expected = digamma(batch_size / 2) + np.log(2 / batch_size)
        assert kesten.drift(1e6, batch_size) - np.log(1e6) == pytest.approx(expected, abs=1e-5)
        joint = (digamma(batch_size / 2) + digamma((batch_size + 4) / 2)) / 2 + np.log(2 / batch_size)
        assert kesten.drift(1e6, batch_size, 5) - np.log(1e6) == pytest.approx(joint, abs=1e-5)


@pytest.mark.parametrize("dimension", [1, 4])
def test_the_index_falls_with_the_step_size_and_grows_with_the_batch_size(dimension):
    etas = np.array([0.1, 0.2, 0.3])
    by_eta = [kesten.exact_index(eta, 1, dimension) for eta in etas]
    assert (np.diff(by_eta) < 0).all()
    by_batch = [kesten.exact_index(0.3, batch_size, dimension) for batch_size in (1, 2, 5, 10)]
    assert (np.diff(by_batch) > 0).all()


def test_one_step_has_the_moments_that_the_equation_uses():
    """M e of 200,000 simulated batches: its mean log norm and E||M e||^1.5 within 4.5 standard errors."""
    rng = np.random.default_rng(0)
    eta, batch_size, dimension = 0.7, 3, 4
    data = rng.standard_normal((200_000, batch_size, dimension))
    moved = -eta / batch_size * np.einsum("nb,nbd->nd", data[:, :, 0], data)
    moved[:, 0] += 1
    norms = np.linalg.norm(moved, axis=1)
    for values, exact in (
        (np.log(norms), kesten.drift(eta, batch_size, dimension)),
        (norms**1.5, np.exp(kesten.log_moment(1.5, eta, batch_size, dimension))),
    ):
        assert values.mean() == pytest.approx(exact, abs=4.5 * values.std() / np.sqrt(len(values)))


def test_settings_without_a_stationary_law_are_refused():
    """The step size where E log|1 - eta*Z^2| changes its sign lies between 2.4 and 2.5 at b = 1."""
    assert 0 < kesten.exact_index(2.4, 1) < 0.05
    with pytest.raises(InputError, match="step size 2.5, batch size 1 and dimension 1 has no stationary law"):
        kesten.exact_index(2.5, 1)
    with pytest.raises(InputError, match="not all positive"):
        kesten.exact_index(0.0, 1)


@pytest.mark.parametrize(
    ("chains", "parts", "message"),
    [
        (64, 3, "do not make 3 equal parts"),
        (64, 8, "8 chains in each part are fewer"),
        (62, 2, "31 observations have no"),
    ],
)
def test_parts_that_cannot_be_estimated_are_refused(chains, parts, message):
    with pytest.raises(InputError, match=message):
        list(kesten.kesten_rows(grid=[], chains=chains, parts=parts, burn_in=0, length=1, seed=0))


class Chains(torch.nn.Module):
    """Many independent one-weight networks, trained side by side."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(count, dtype=torch.float64))

    def forward(self, z):
        return self.weight * z


def averaged_chains(eta: float, count: int, *, burn_in: int, length: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)

    def loss(prediction, target):
        return ((prediction - target) ** 2).sum() / 2

    samples = torch.randn(2, burn_in + length, count, dtype=torch.float64, generator=generator)
    model = Chains(count)
    engine = ModuleEngine(model, *samples, batch_size=1, loss=loss)
    engine.put(0, models.state(model), eta)
    order = torch.arange(burn_in + length)[:, None, None]
    engine.advance(order[:burn_in])
    engine.accumulate(True)
    engine.advance(order[burn_in:])
    return engine.sum_of(0)["weight"] / length


# Averages of finitely many iterates are only nearly stable: what that adds to 1/alpha at K1 = 64, as seen
# (+0.047, +0.013, -0.003, -0.007, with standard errors of 0.010 to 0.015), rounded up.
BIAS = {0.7: 0.05, 0.8: 0.02, 0.9: 0.01, 1.0: 0.01}


def library_chains(eta: float, count: int, *, burn_in: int, length: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return kesten.simulate(eta, 1, chains=count, burn_in=burn_in, length=length, rng=rng)[1][:, 0]


@pytest.mark.parametrize("simulation", [averaged_chains, library_chains])
@pytest.mark.parametrize("eta", BIAS)
def test_simulated_sgd_has_kestens_tail_index(eta, simulation):
    """32,768 chains, averages of 300 iterates; beside the bias, four standard errors over independent parts."""
    sample = simulation(eta, 32_768, burn_in=100, length=300)
    sample = sample - np.median(sample)
    inverse = tail_index.inverse_alpha(sample, 64)
    parts = np.array([tail_index.inverse_alpha(part, 64) for part in sample.reshape(32, -1)])
    assert inverse == pytest.approx(1 / KESTEN[eta], abs=BIAS[eta] + 4 * parts.std() / np.sqrt(32))


def test_training_and_simulation_give_the_same_law():
    """Averages by the library's own training loop and by the simulation of table ``kesten``: one law, a KS test at 0.1%."""
    trained = averaged_chains(0.8, 4000, burn_in=50, length=20)
    simulated = library_chains(0.8, 4000, burn_in=50, length=20)
    assert ks_2samp(trained, simulated).pvalue > 1e-3
    assert ks_2samp(trained, 1.2 * simulated).pvalue < 1e-3  # it would see a scale that is a fifth wrong


def test_stationary_covariance_in_closed_form():
    """C = E M C M' + eta^2/b for C = c*I gives c = eta/(b*(2 - eta*(1 + (d + 1)/b))); 5 standard errors over chains."""
    eta, batch_size, dimension = 0.1, 2, 3
    rng = np.random.default_rng(1)
    last, average = kesten.simulate(eta, batch_size, dimension, chains=20_000, burn_in=100, length=50, rng=rng)
    variance = eta / (batch_size * (2 - eta * (1 + (dimension + 1) / batch_size)))
    squares = (last**2).mean(axis=1)
    assert squares.mean() == pytest.approx(variance, abs=5 * squares.std() / np.sqrt(20_000))
    # E M = (1 - eta)*I: covariances at lag k fall by (1 - eta)^k.
    lags = np.arange(1, 50)
    shrunk = variance / 50 * (1 + 2 * ((1 - lags / 50) * (1 - eta) ** lags).sum())
    squares = (average**2).mean(axis=1)
    assert squares.mean() == pytest.approx(shrunk, abs=5 * squares.std() / np.sqrt(20_000))


def test_interval_is_students():
    """1/alpha of 0.4 and 0.6: mean 0.5, standard error 0.1, t(1) quantile 12.706."""
    found = kesten.interval(np.array([0.4, 0.6]))
    assert found == {"alpha": pytest.approx(2), "alpha_low": pytest.approx(1 / 1.7706, abs=1e-4), "alpha_high": np.inf}
    assert kesten.interval(np.array([0.4, np.inf])) == {"alpha": 0, "alpha_low": 0, "alpha_high": np.inf}


SETTINGS = {
    "grid": [
        {"dimension": [1], "batch_size": [1, 2], "eta": [0.5, 0.9]},
        {"dimension": [3], "batch_size": [5], "eta": [0.7]},
    ],
    "chains": 1600,
    "parts": 4,
    "burn_in": 20,
    "length": 30,
    "seed": 0,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> pa.Table:
    folder = tmp_path_factory.mktemp("kesten")
    smk = SimpleNamespace(
        params=SimpleNamespace(
            settings=json.dumps(SETTINGS), table="kesten", functions=["sgdtails.theory.kesten.kesten_rows"], code=""
        ),
        output=[str(folder / "kesten.parquet")],
    )
    script("simulate").main(smk)
    return tables.read(smk.output[0])


def test_the_table_has_every_estimate_of_every_setting(written):
    rows = written.to_pylist()
    seen = {
        (row["dimension"], row["batch_size"], row["eta"], row["weights"], row["estimator"], row["k1"]) for row in rows
    }
    assert len(seen) == len(rows)
    assert {key[:3] for key in seen} == {(1, 1, 0.5), (1, 1, 0.9), (1, 2, 0.5), (1, 2, 0.9), (3, 5, 0.7)}
    expected = {"mmo_univariate", *kesten.ESTIMATORS}
    for weights in ("last", "average"):
        for setting in {key[:3] for key in seen}:
            found = {key[4] for key in seen if key[:4] == (*setting, weights)}
            assert found == (expected | {"mmo_multivariate"} if setting[0] > 1 else expected)
    assert {key[5] for key in seen if key[0] == 1} == {None, *tail_index.block_lengths(400)}
    truth = {(row["eta"], row["batch_size"], row["dimension"]): row["alpha_true"] for row in rows}
    assert truth == {setting: kesten.exact_index(*setting) for setting in truth}
    for row in rows:
        assert row["alpha_low"] <= row["alpha"] <= row["alpha_high"]


def test_more_settings_do_not_change_the_first_ones(written):
    alone = list(kesten.kesten_rows(**(SETTINGS | {"grid": [{"dimension": [1], "batch_size": [1], "eta": [0.5]}]})))
    assert alone == written.to_pylist()[: len(alone)]


def test_estimates_forget_place_and_scale_of_each_part():
    sample = np.random.default_rng(2).standard_cauchy((3, 500, 2))
    moved = 4 * sample + np.array([1.0, -2.0, 5.0])[:, None, None]
    first, second = (kesten.estimates(values, rng=np.random.default_rng(3)) for values in (sample, moved))
    assert first.keys() == second.keys()
    for key, inverse in first.items():
        np.testing.assert_allclose(second[key], inverse, atol=1e-9, err_msg=str(key))


def test_the_figure_draws_every_setting(written):
    figure = registry.FIGURES["kesten"](written).figure()
    drawn = [axes for axes in figure.axes if axes.axison]
    assert len(drawn) == 6
    truth = sorted({1 / alpha for alpha in written["alpha_true"].to_pylist()})
    rows = {
        (row["weights"], row["estimator"], row["k1"], row["alpha_true"]): row["alpha"] for row in written.to_pylist()
    }
    for axes, weights in zip(drawn[:2], ("last", "average"), strict=True):
        (published,) = (line for line in axes.get_lines() if line.get_label() == "univariate, published")
        assert sorted(published.get_xdata()) == truth
        for x, y in published.get_xydata():
            (alpha,) = (
                v for k, v in rows.items() if k[:3] == (weights, "mmo_univariate", None) and np.isclose(1 / k[3], x)
            )
            assert y == pytest.approx(1 / alpha)
    for axes in drawn:
        assert len(axes.get_lines()) > 2  # more than the two lines of theory
        assert axes.xaxis_inverted()
        assert axes.yaxis_inverted()


def test_the_job_needs_no_torch():
    program = (
        "import runpy, sys; runpy.run_path('workflow/scripts/simulate.py'); "
        "import sgdtails.theory.kesten; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}).returncode == 0


SIMULATIONS = ("theory.kesten", "theory.synthetic", "theory.bounds", "theory.theorems", "tail_index.calibration")


@pytest.mark.parametrize("name", SIMULATIONS)
def test_a_simulation_depends_on_no_other(name):
    starts = [ROOT / "workflow/scripts/simulate.py", ROOT / f"sgdtails/{name.replace('.', '/')}.py"]
    files = code_digest.trees(starts, ROOT)
    assert {str(file.relative_to(ROOT)) for file in files} & {
        f"sgdtails/{each.replace('.', '/')}.py" for each in SIMULATIONS
    } == {f"sgdtails/{name.replace('.', '/')}.py"}
