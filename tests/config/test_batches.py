from types import SimpleNamespace

import pytest

from sgdtails.config import batches
from tests.conftest import Files

SETTINGS = ("settings", "code")


def test_batches_hold_networks_of_one_group_in_order():
    groups = {name: ((name[0],), f"model_{name[0]}", 2) for name in ("a1", "b1", "a2", "a3", "b2")}
    assert batches.split(groups, groups) == {
        "model_a_0": ["a1", "a2"],
        "model_a_1": ["a3"],
        "model_b_0": ["b1", "b2"],
    }


def test_groups_whose_texts_are_the_same_stay_apart():
    """fcn on x_digits, and fcn_x on digits."""
    groups = {"a": (("fcn", "x_digits"), "fcn_x_digits", 4), "b": (("fcn_x", "digits"), "fcn_x_digits", 4)}
    assert batches.split(groups, groups) == {"fcn_x_digits_0": ["a"], "fcn_x_digits_1": ["b"]}


def test_wide_networks_are_analysed_alone_and_small_ones_together():
    assert batches.analyses_per_job({"fcn": [2048] * 4}) == 1
    assert batches.analyses_per_job({"factory": "my.net"}) == 1
    assert batches.analyses_per_job({"fcn": [128] * 4}) == 400_000 // (3 * 128 * 128)
    assert batches.analyses_per_job({"fcn": [8]}) == batches.MOST
    assert batches.size({"cnn": [16, "M", 32]}) == 9 * 16 * 32


@pytest.mark.parametrize(
    ("given", "model", "gpu", "most"),
    [
        (3, {"fcn": [2048]}, True, 3),
        ("auto", {"fcn": [2048, 2048]}, True, 64),
        ("auto", {"fcn": [2048, 2048]}, False, 1),
        ("auto", {"fcn": [128, 128]}, False, 4),
        ("auto", {"factory": "my.net"}, False, 1),
    ],
)
def test_runs_of_a_training_job(given, model, gpu, most):
    assert batches.runs_per_job(given, model, gpu=gpu) == most


def test_what_is_done_is_remembered_by_what_it_depends_on(tmp_path):
    batches.Done(tmp_path).add("tails", SETTINGS, ["a", "b"])
    done = batches.Done(tmp_path)
    assert done.has("tails", SETTINGS, "a")
    assert not done.has("tails", SETTINGS, "c")
    assert not done.has("tails", ("other", "code"), "a")
    assert not done.has("prune", SETTINGS, "a")


def test_what_is_made_from_a_stage_is_to_be_made_again(tmp_path):
    done = batches.Done(tmp_path)
    for stage in ("train", "average", *batches.ANALYSES):
        done.add(stage, SETTINGS, ["a", "b"])
    done.add("average", ("new", "code"), ["a"])
    found = batches.Done(tmp_path)
    assert found.has("train", SETTINGS, "a")
    assert not found.has("average", SETTINGS, "a")
    assert found.has("average", ("new", "code"), "a")
    assert not any(found.has(stage, SETTINGS, "a") for stage in batches.ANALYSES)
    assert all(found.has(stage, SETTINGS, "b") for stage in ("average", *batches.ANALYSES))


def test_the_files_of_a_job_of_several_networks():
    smk = SimpleNamespace(
        input=Files(dataset="d", trained=["runs/a/last", "runs/b/last"]),
        output=Files(tails=["s/runs/a/tails", "s/runs/b/tails"], readings=["s/runs/a/readings", "s/runs/b/readings"]),
    )
    first, second = batches.networks(smk)
    assert (first.name, second.name) == ("a", "b")
    assert vars(second.input) == {"dataset": "d", "trained": "runs/b/last"}
    assert vars(first.output) == {"tails": "s/runs/a/tails", "readings": "s/runs/a/readings"}
    (alone,) = batches.networks(SimpleNamespace(input=Files(trained="x"), output=Files(tails="s/runs/c/tails")))
    assert (alone.name, alone.input.trained) == ("c", "x")


def test_a_job_of_initial_networks_ends_their_own_stage(tmp_path):
    params = SimpleNamespace(settings="settings", code="code")
    for folder in ("initial", "runs"):
        output = Files(tails=[str(tmp_path / folder / name / "tails.parquet") for name in ("a", "b")])
        smk = SimpleNamespace(input=Files(), output=output, params=params)
        batches.finish(smk, "tails")
    done = batches.Done(tmp_path)
    assert all(done.has(stage, SETTINGS, "b") for stage in ("tails", "initial_tails"))
