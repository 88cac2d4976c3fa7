"""Both ways of a benchmark do the same work: otherwise their times say nothing."""

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import checkpoints, grid_cost, iterations, planning, pruning, roofline, training
from sgdtails.config import run_table
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.errors import InputError

pytestmark = pytest.mark.slow("no part of the library or the workflow")


@pytest.fixture(scope="module")
def dataset():
    return loaders.load("digits", {"kind": "digits"}, root="nowhere", download=False)


@pytest.mark.parametrize("method", pruning.METHODS)
def test_the_plain_way_of_pruning_agrees_with_ours(dataset, method):
    weights = pruning.network(40, 64)
    ratios = [0, 0.1, 0.55, 0.9, 1]
    ours = pruning.ours(weights, dataset, method, ratios, None)
    plain = pruning.plain(weights, dataset, method, ratios, torch.device("cpu"))
    np.testing.assert_allclose(ours, plain, atol=1.1 / len(dataset.test_labels))  # rounding may turn one image


def test_the_report_has_a_line_per_method_and_their_sum():
    results = [
        {
            "way": way,
            "method": method,
            "seconds": seconds,
            "core_seconds": 2 * seconds,
            "peak_gib": 1.0,
            "accuracies": [0.5, seconds / 10],
        }
        for method in ("node", "kernel")
        for way, seconds in (("ours", 1.0), ("plain", 3.0))
    ]
    lines = pruning.report(results).splitlines()
    assert lines[2] == "| node | 2 | 1.0 | 3.0 | 2.0 | 6.0 | 3.0 | 1.00 | 1.00 | 0.2000 |"
    assert lines[-1] == "| all | | 2.0 | 6.0 | 4.0 | 12.0 | 3.0 | | | |"


@pytest.mark.parametrize(("spec", "replicas"), [({"fcn": [16, 16]}, 1), ({"fcn": [16, 16]}, 3), ({"cnn": [4, "M"]}, 1)])
def test_both_ways_of_training_take_the_same_steps(dataset, spec, replicas):
    train, _ = data.splits(dataset, torch.device("cpu"))
    found = []
    for way in (training.ours, training.plain):
        steps, states = way(spec, train, 50, replicas)
        steps(3)
        steps(30)  # into a second epoch
        found.append(states())
    assert len(found[0]) == replicas
    for one, other in zip(*found, strict=True):
        for name, value in one.items():
            np.testing.assert_allclose(value, other[name], atol=1e-6)


def test_a_training_job_that_is_asked_to_end_leaves_a_checkpoint(dataset, tmp_path):
    data.write(dataset, tmp_path / "mnist.safetensors")
    assert checkpoints.ended_after(tmp_path, "fcn4", 0) > 0


def made(law, etas=(0.1, 0.2, 0.4), batches=(25, 50), noise=0.0):
    """Converged runs whose iterations follow a law, but for normal noise in their logarithm."""
    rng = np.random.default_rng(0)
    return [
        {"model": "m", "dataset": "d", "step_size": eta, "batch_size": b, "status": "converged"}
        | {"iterations": law(eta, b) * np.exp(noise * rng.standard_normal())}
        for eta in etas
        for b in batches
    ]


def test_a_law_is_found_again():
    law = iterations.fit(made(lambda eta, b: 300 * eta**-1.2 * b**0.5))
    assert (law.constant, law.eta, law.b) == pytest.approx((np.log(300), -1.2, 0.5))
    assert law.eta_error < 1e-9
    assert law.iterations(0.3, 40) == pytest.approx(300 * 0.3**-1.2 * 40**0.5)
    assert law.iterations(0.05, 50) == pytest.approx(2 * law.iterations(0.1, 50))  # below 0.1 nothing was fitted


def test_the_interval_of_an_exponent_is_that_of_a_regression():
    """With one batch size each column but that of the step size is constant: scipy's simple regression, twice the runs."""
    rows = made(lambda eta, b: 300 / eta, etas=np.geomspace(0.1, 1, 9), noise=0.3)
    law = iterations.fit(rows)
    centred = [
        np.log(row["iterations"])
        - np.mean([np.log(r["iterations"]) for r in rows if r["batch_size"] == row["batch_size"]])
        for row in rows
    ]
    plain = stats.linregress(np.log([row["step_size"] for row in rows]), centred)
    n = len(rows)  # the regression has not paid for its second mean
    error = plain.stderr * np.sqrt((n - 2) / (n - 3)) * stats.t.ppf(0.975, n - 3)
    assert (law.eta, law.eta_error) == pytest.approx((plain.slope, error))


@pytest.mark.parametrize("rows", [made(lambda *_: 9.0)[:3], made(lambda *_: 9.0, batches=(25,) * 2)])
def test_too_few_runs_give_no_law(rows):
    with pytest.raises(InputError, match="m: no law"):
        iterations.fit(rows)


@pytest.mark.parametrize("peaks", [(1e12, 1e30), (1e30, 1e9)])
def test_a_run_costs_what_its_steps_cost(config, peaks):
    run = {"model": "fcn4", "dataset": "mnist", "batch_size": 50, "step_size": 0.1}
    layers = grid_cost.layers_of(run, config)
    step = max(roofline.flops(layers, 50) / peaks[0], roofline.traffic(layers) / peaks[1])
    cost = grid_cost.run_cost(run, layers, config, grid_cost.How(peaks=peaks, fixed=40_000))
    assert (cost.iterations, cost.at_budget) == (40_000, False)
    assert cost.training == pytest.approx(50_000 * step)  # with 10,000 for the average
    assert cost.pruning == pytest.approx(111 * 10_000 * 2 * 14_209_024 / peaks[0])
    assert cost.analysis == pytest.approx(14.209024 * grid_cost.ANALYSIS)
    twice = grid_cost.run_cost(run, layers, config, grid_cost.How(peaks=peaks, fixed=40_000, networks=2))
    assert twice.pruning == pytest.approx(2 * cost.pruning)
    measured = [{"network": "FCN4-2048", "b": 50, "ours": us} for us in (300.0, 150.0)]
    cost = grid_cost.run_cost(run, layers, config, grid_cost.How(measured, fixed=40_000))
    assert cost.training == pytest.approx(50_000 * 150e-6)
    assert cost.pruning == pytest.approx(111 * 10_000 * 1e-6)
    other = grid_cost.run_cost(run | {"batch_size": 100}, layers, config, grid_cost.How(measured, fixed=40_000))
    assert (other.training, other.pruning) == (None, None)


def test_a_run_at_its_budget_is_neither_averaged_nor_pruned(config):
    run = {"model": "fcn4", "dataset": "mnist", "batch_size": 50, "step_size": 1e-4}
    how = grid_cost.How(peaks=(1e12, 1e12), laws=iterations.laws(iterations.read()))
    layers = grid_cost.layers_of(run, config)
    cost, limit = grid_cost.run_cost(run, layers, config, how), config["stop"]["budget"]
    assert (cost.iterations, cost.at_budget, cost.pruning, cost.analysis) == (limit, True, 0, 0)
    fixed = grid_cost.run_cost(run, layers, config, grid_cost.How(peaks=how.peaks, fixed=limit - 10_000))
    assert fixed.training == pytest.approx(cost.training)


def test_the_paper_s_grid_has_a_line_per_panel(config):
    lines = grid_cost.table(config, grid_cost.How(peaks=(1e12, 1e12), fixed=35_000))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[1] for row in cells] == ["48", "31", "18", "52", "36", "30", "215"]
    for column in (1, 4, 5, 6):  # hours are rounded to a hundredth
        parts = [float(row[column].replace(",", "")) for row in cells]
        assert parts[-1] == pytest.approx(sum(parts[:-1]), abs=0.005 * 7)
    assert grid_cost.table(config, grid_cost.How(fixed=35_000))[2].count("not measured") == 2


def test_a_planned_table_has_exactly_so_many_runs(config):
    for runs in (1, 7, 301, 2150):
        found = run_table.read_runs(planning.rows(runs), datasets=["mnist", "cifar10"], models=config["models"])
        assert len(found) == runs  # all of them different
    assert {row["model"] for row in found.values()} == set(config["models"])


def test_counts_of_a_step():
    layers = roofline.matrices({"fcn": [2048] * 4}, (1, 28, 28), 10)
    assert sum(weights for weights, _ in layers) == 14_209_024
    assert roofline.flops(layers, 50) == 2 * 50 * (2 * 784 * 2048 + 3 * (14_209_024 - 784 * 2048))
    assert roofline.traffic(layers) == 16 * 14_209_024 - 4 * 784 * 2048
    cnn = roofline.matrices({"cnn": [4, "M", 6]}, (1, 8, 8), 10)
    assert cnn == [(36, 64), (216, 16), (960, 1)]


def test_a_cost_without_measured_steps_or_peaks_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit):
        grid_cost.main(["--steps", str(tmp_path / "none.json")])
    assert "none.json; run python -m benchmarks.training" in capsys.readouterr().err
