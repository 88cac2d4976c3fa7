import json
import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.figures import theory
from sgdtails.io import storage, tables
from sgdtails.pruning.forms import PrunedNetwork
from sgdtails.schemas.study_schemas import SCHEMAS
from sgdtails.theory import perturbation
from tests.conftest import Files, script


def network(widths, rng, tail=3.0):
    names = [f"fc{number}" for number in range(1, len(widths) - 1)] + ["head"]
    shapes = zip(widths[1:], widths[:-1], strict=True)
    return {name: rng.standard_t(tail, shape) for name, shape in zip(names, shapes, strict=True)}


def split_of(images):
    """Images that the network sees as they are: normalised by x*255/255."""
    dataset = data.Dataset(images, np.zeros(len(images), int), images[:0], np.zeros(0, int), ("a",), (0.0,), (1 / 255,))
    return data.splits(dataset, None)[0]


def measured(weights, moved):
    """Norms and relative errors of layers."""
    norms, moves = perturbation.layer_norms(weights), perturbation.distances(weights, moved)
    return norms, [move / norm for move, norm in zip(moves, norms, strict=True)]


def change(weights, moved, x):
    before, after = (PrunedNetwork.unpruned(state).chain(x) for state in (weights, moved))
    return np.linalg.norm(after - before, axis=1)


@settings(max_examples=200, deadline=None)
@given(
    depth=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    size=st.floats(-6, 1),
    tail=st.sampled_from([1.5, 3.0, 30.0]),
)
def test_outputs_never_move_more_than_the_bound(depth, seed, size, tail):
    """Any move of the weights, large or small, any depth, one layer included; float64 throughout."""
    rng = np.random.default_rng(seed)
    weights = network(rng.integers(1, 9, depth + 1), rng, tail)
    moved = {name: weight + 10**size * rng.standard_t(tail, weight.shape) for name, weight in weights.items()}
    x = rng.standard_normal((20, next(iter(weights.values())).shape[1]))
    norms, errors = measured(weights, moved)
    reach = float(np.linalg.norm(x, axis=1).max())
    first = perturbation.layer_bound(norms, errors, reach)
    second = perturbation.network_bound(math.hypot(*norms), max(errors), depth, reach)
    assert change(weights, moved, x).max() <= first * (1 + 1e-9)
    assert first <= second * (1 + 1e-12)


def test_one_row_is_moved_exactly_as_far_as_the_bound():
    """One layer of one output, an image along the move: |<w^ - w, x>| = B*||w^ - w||, with nothing to lose."""
    weights = {"head": np.array([[3.0, -4.0, 12.0]])}
    moved = {"head": np.array([[3.0, 0.0, 12.0]])}
    norms, errors = measured(weights, moved)
    assert (norms, errors) == ([13.0], [pytest.approx(4 / 13)])
    x = np.array([[0.0, 2.0, 0.0]])
    assert change(weights, moved, x)[0] == pytest.approx(perturbation.layer_bound(norms, errors, 2.0), rel=1e-15)
    assert perturbation.network_bound(13.0, errors[0], 1, 2.0) == pytest.approx(8.0)


def test_layers_of_one_weight_reach_the_bound_at_any_depth():
    """A chain of positive numbers, each made larger by a share: f = prod(w_l)*x moves by exactly (C.1)."""
    weights = {name: np.array([[value]]) for name, value in (("a", 2.0), ("b", 0.5), ("head", 3.0))}
    moved = {name: weight * (1 + share) for (name, weight), share in zip(weights.items(), (0.1, 0.2, 0.3), strict=True)}
    norms, errors = measured(weights, moved)
    bound = perturbation.layer_bound(norms, errors, 5.0)
    assert bound == pytest.approx(15 * (1.1 * 1.2 * 1.3 - 1), rel=1e-12)
    assert change(weights, moved, np.array([[5.0]]))[0] == pytest.approx(bound, rel=1e-12)


def test_equal_layers_make_both_bounds_equal():
    first = perturbation.layer_bound([2.0] * 4, [0.3] * 4, 7.0)
    assert first == pytest.approx(perturbation.network_bound(4.0, 0.3, 4, 7.0), rel=1e-14)
    assert first == pytest.approx(7 * (1.3**4 - 1) * 16, rel=1e-12)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    weights = {name: weight.astype(np.float32) for name, weight in network([16, 40, 30, 5], rng).items()}
    split = split_of(rng.integers(0, 4, (2300, 1, 4, 4), dtype=np.uint8))
    return weights, split, list(perturbation.perturbation_rows(weights, split, ratios=[0, 0.3, 0.6, 1]))


def test_rows_of_a_pruned_network(rows):
    weights, split, found = rows
    assert [row["ratio"] for row in found] == [0, 0.3, 0.6, 1]
    assert {"run", "dataset", "model", "variant", "weights"} | set(found[0]) == set(SCHEMAS["perturbation"].names)
    assert (found[0]["measured"], found[0]["bound_layers"], found[0]["share"]) == (0, 0, None)
    for row in found[1:]:
        assert 0 < row["measured"] <= row["bound_layers"] <= row["bound_network"]
        assert row["share"] == row["measured"] / row["bound_layers"]
    assert np.all(np.diff([row["bound_layers"] for row in found]) > 0)
    assert found[0]["norm"] == pytest.approx(np.linalg.norm(np.concatenate([w.ravel() for w in weights.values()])))
    images = split.images.reshape(2300, -1).astype(float)
    assert found[0]["reach"] == pytest.approx(np.linalg.norm(images, axis=1).max(), rel=1e-6)


def test_what_is_measured_is_the_worst_image_of_all_batches(rows):
    weights, split, found = rows
    from sgdtails.pruning import methods as pruning

    pruned = pruning.layer_magnitude(weights, 0.6).weights()
    x = split.images.reshape(2300, -1).astype(np.float32)
    assert found[2]["measured"] == pytest.approx(change(weights, pruned, x).max(), rel=1e-5)


def test_weights_that_are_all_equal_are_refused(rows):
    _, split, _ = rows
    with pytest.raises(InputError, match="equal"):
        list(perturbation.perturbation_rows({"fc1": np.ones((3, 16)), "head": np.ones((2, 3))}, split, ratios=[0.5]))


def test_the_figure_shows_every_moved_network_below_the_line(rows):
    known = {"run": "a", "dataset": "digits", "model": "fcn4", "variant": "", "weights": "last"}
    table = pa.Table.from_pylist([known | row for row in rows[2]], schema=SCHEMAS["perturbation"])
    (axes,) = theory.perturbation(table).figure().axes
    assert axes.get_title() == "FCN4, digits\n1 run, 3 pruned networks"
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    for label in ("bound (C.1)", "bound (C.2)"):
        assert len(lines[label]) == 3
        assert (lines[label][:, 1] <= lines[label][:, 0]).all()
    assert axes.get_xlim() == axes.get_ylim()


def test_networks_are_pruned_by_the_given_centring_and_exempt_layers(rows):
    weights, split, found = rows
    outputs = PrunedNetwork.unpruned(weights).chain(split.images.reshape(2300, -1).astype(np.float32))
    (gone,) = perturbation.perturbation_rows(weights, split, ratios=[1], centring="none")
    assert gone["epsilon"] == 1  # hidden layers of zeros, where a centre would stay
    assert gone["measured"] == pytest.approx(np.linalg.norm(outputs, axis=1).max(), rel=1e-5)
    assert found[3]["epsilon"] != 1
    (whole,) = perturbation.perturbation_rows(weights, split, ratios=[1], exempt=[0, "fc2", "head"])
    assert (whole["measured"], whole["epsilon"]) == (0, 0)


def test_torch_arrays_give_the_same_rows(rows):
    weights, split, found = rows
    dataset = data.Dataset(split.images, split.labels, split.images[:0], split.labels[:0], ("a",), (0.0,), (1 / 255,))
    cpu = torch.device("cpu")
    there = data.Split(dataset.train_images, dataset.train_labels, dataset, cpu)
    tensors = {name: torch.from_numpy(weight) for name, weight in weights.items()}
    others = list(perturbation.perturbation_rows(tensors, there, ratios=[0, 0.3, 0.6, 1]))
    for one, other in zip(found, others, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            # Products of float32; at ratio 0 there is no share of a bound.
            assert other[key] == (value if value is None else pytest.approx(value, rel=1e-4)), key


def test_the_job_takes_the_first_images_only(rows, tmp_path, monkeypatch):
    """The image of largest norm comes last: with as many as there are, or null, it is seen; with one less it is not."""
    weights, split, _ = rows
    images = np.concatenate([split.images[:5], np.full((1, 1, 4, 4), 255, np.uint8)])
    labels = np.zeros(6, np.int64)
    data.write(data.Dataset(images, labels, images, labels, ("a",), (0.0,), (1 / 255,)), tmp_path / "images")
    storage.save_arrays(tmp_path / "last", {f"{name}.weight": w for name, w in weights.items()}, {"run": "a"})
    run = {"run": "a", "status": "converged", "dataset": "d", "model": "m"}
    monkeypatch.setattr(tables, "joined_runs", lambda *_: [run])
    monkeypatch.setattr(tables, "panel", lambda _: {"dataset": "d", "model": "m", "variant": ""})
    reaches = {}
    for count in (5, 6, None):
        settings = {"weights": "last", "ratios": [0.5], "centring": "median", "exempt": ["head"]}
        settings |= {"images": count, "device": "cpu", "threads": 1}
        smk = SimpleNamespace(
            params=SimpleNamespace(settings=json.dumps(settings), code=""),
            input=Files(trained=str(tmp_path / "last"), dataset=str(tmp_path / "images"), training="t", averaging="a"),
            output=Files(perturbation=str(tmp_path / "runs/a/perturbation.parquet")),
        )
        script("perturbation").main(smk)
        (row,) = tables.read(smk.output.perturbation).to_pylist()
        reaches[count] = row["images"], row["reach"]
    assert reaches[6] == reaches[None] == (6, 4 * 255)
    assert reaches[5][0] == 5
    assert reaches[5][1] < 100
