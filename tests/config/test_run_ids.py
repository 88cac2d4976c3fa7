from sgdtails.config import run_ids
from tests.config.test_run_table import runs
from tests.conftest import PLAIN


def test_an_id_is_short_and_says_the_very_step_size():
    block = {"dataset": "mnist", "model": "fcn4", "batch_size": 50, "step_size": 0.19399999999999998, "seed": 7}
    ((name, run),) = runs([block]).items()
    assert name == run_ids.run_id(run) == "fcn4-mnist-b50-lr0.194-s7"
    assert run_ids.steps(name) == {"step_size": run["step_size"], "seed": 7}


def test_what_an_id_says_is_what_it_was_made_of():
    block = {
        "dataset": "mnist",
        "model": ["fcn4", "cnn"],
        "batch_size": [1, 50],
        "step_size": [0.1, 1.0, 1e-5, 1e6, 1.5e-20, 0.123456789012],
        "momentum": [0, 0.9],
        "weight_decay": [0, 1e-4],
        "noise_scale": [0, 1e-3],
        "noise_alpha": 1.5,
        "noise_kind": "elliptical",
        "seed": [0, 12],
    }
    table = runs([block])
    assert len(table) == 2 * 2 * 6 * 2 * 2 * 2 * 2
    for name, run in table.items():
        assert run_ids.steps(name) == {"step_size": run["step_size"], "seed": run["seed"]}
        assert run_ids.initial_id(name) == f"{run['model']}-mnist-s{run['seed']}"


def test_runs_that_differ_in_steps_alone_start_from_one_network():
    run = {"model": "m_1", "dataset": "d_2", "batch_size": 5, "step_size": 0.1, "seed": 3} | PLAIN
    names = [run_ids.run_id(run | more) for more in ({}, {"step_size": 0.2}, {"batch_size": 10}, {"variant": "m0.9"})]
    assert {run_ids.initial_id(name) for name in names} == {"m_1-d_2-s3"}
