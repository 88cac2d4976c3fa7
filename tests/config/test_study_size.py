import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from sgdtails.config import architectures, config_schema, run_table, study_size
from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.models import building as models
from tests.conftest import ROOT

TABLE_1 = {  # of the paper: parameters
    **{("fcn4", "cifar10"): 18_894_848, ("fcn6", "cifar10"): 27_283_456, ("cnn", "cifar10"): 9_222_848},
    **{("fcn4", "mnist"): 14_209_024, ("fcn6", "mnist"): 22_597_632, ("cnn", "mnist"): 9_221_696},
}
A, B, C = "fcn4-digits-b10-lr0.1-s0", "fcn4-digits-b10-lr0.2-s0", "fcn4-digits-b10-lr0.1-s1"
RUN = {"dataset": "digits", "model": "fcn4", "batch_size": 10, "seed": 0}


@pytest.fixture
def free(monkeypatch):
    """Sets how much room there is."""

    def give(size):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(size))

    give(10**12)
    return give


@pytest.fixture
def small(config, free):
    config["models"] |= {"fcn4": {"fcn": [16, 8]}, "own": {"factory": "a.b"}}
    return config


def measured(config, runs, tmp_path, keep="all", pruned="last"):
    config["weights"]["keep"], config["pruning"]["weights"] = keep, pruned
    return study_size.measure(config, runs, tmp_path / "results/s")


@pytest.mark.parametrize(
    ("keep", "pruned", "kinds"),
    [
        ("all", "last", {"initial", "converged", "last", "average"}),
        ("final", "last", {"initial", "last"}),
        ("final", "average", {"initial", "average"}),
        ("final", "converged", {"initial", "converged"}),
        ("none", "converged", set()),
    ],
)
def test_which_weights_are_kept(keep, pruned, kinds):
    assert {kind for kind in study_size.KINDS if study_size.kept(kind, keep, pruned)} == kinds


def test_a_kind_that_weights_do_not_have_is_one_sentence():
    with pytest.raises(InputError, match="final"):
        study_size.kept("final", "all", "last")


def test_where_those_lie_that_are_not_kept(config):
    runs = {A: RUN, B: RUN}
    assert study_size.passing(config, runs) == set()
    config["weights"]["keep"] = "final"
    gone = {f"runs/{run}/{kind}.safetensors" for run in (A, B) for kind in ("converged", "average")}
    assert study_size.passing(config, runs) == gone
    config["weights"]["keep"] = "none"
    gone |= {f"runs/{A}/last.safetensors", f"runs/{B}/last.safetensors", "initial/fcn4-digits-s0/weights.safetensors"}
    assert study_size.passing(config, runs) == gone


@pytest.mark.parametrize("keep", ["some", True, None])
def test_the_schema_knows_what_can_be_kept(config, schema, keep):
    config_schema.validate(config | {"weights": {"keep": "none"}}, schema)
    with pytest.raises(InputError, match="weights"):
        config_schema.validate(config | {"weights": {"keep": keep}}, schema)


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 5, 9), (1, 1, 1)])
@pytest.mark.parametrize("name", ["fcn", "cnn"])
def test_shapes_are_those_of_the_network_that_is_built(image, name):
    config = {"cnn": {"cnn": [4, "M", 6, "M", "M", 5]}, "fcn": {"fcn": [7, 5]}}
    built = models.build(name, image, 3, config)
    shapes = {key.removesuffix(".weight"): tuple(value.shape) for key, value in built.state_dict().items()}
    assert architectures.layer_shapes(config[name], image, 3) == shapes


def test_an_own_network_has_no_shapes_before_it_is_built():
    assert architectures.layer_shapes({"factory": "a.b"}, (1, 8, 8), 10) is None


def test_the_papers_study(config, tmp_path, free):
    """Each run's networks three times; the initial ones once per network and dataset: it has one seed."""
    runs = run_table.read_runs(
        config["runs"], datasets=config["datasets"]["sources"], models=config["models"], base=ROOT
    )
    sizes = {panel: 4 * parameters for panel, parameters in TABLE_1.items()}
    once, each = sum(sizes.values()), sum(sizes[run["model"], run["dataset"]] for run in runs.values())
    found = measured(config, runs, tmp_path)
    assert (found.most, found.stays, found.to_come) == (3 * each + once,) * 3
    found = measured(config, runs, tmp_path, "final")
    assert (found.most, found.stays) == (2 * each + once, each + once)
    found = measured(config, runs, tmp_path, "none")
    assert (found.most, found.stays) == (2 * each + once, 0)
    assert "215 runs, of which 0 B stay (weights.keep: none), 1.0 TB free" in str(found)


def test_weights_that_are_pruned_are_there_once(small, tmp_path):
    size = 4 * (16 * 64 + 8 * 16 + 10 * 8)
    found = measured(small, {A: RUN}, tmp_path, "final", "average")
    assert (found.most, found.stays) == (2 * size, 2 * size)


def test_what_is_written_takes_no_more_room(small, tmp_path, free):
    runs = {A: RUN, B: RUN, C: RUN | {"seed": 1}}
    whole = measured(small, runs, tmp_path)
    assert whole.to_come == whole.most
    written = tmp_path / f"results/s/runs/{A}/averaging.parquet"
    written.parent.mkdir(parents=True)
    written.touch()
    found = measured(small, runs, tmp_path)
    assert (found.most, found.to_come) == (whole.most, whole.most * 7 // 11)  # initial weights of A and B are the same
    free(found.to_come)
    assert measured(small, runs, tmp_path).enough
    free(found.to_come - 1)
    found = measured(small, runs, tmp_path)
    assert not found.enough
    assert str(found).endswith("That is not enough: make room, or keep fewer weights")
    assert "fewer" not in str(measured(small, runs, tmp_path, "final"))


def test_an_own_model_is_named(small, tmp_path):
    found = measured(small, {A: RUN, "own-digits-b10-lr0.1-s0": RUN | {"model": "own"}}, tmp_path)
    assert found.most == measured(small, {A: RUN}, tmp_path).most
    assert "not counted: own models own (1 run)" in str(found)


def test_a_dataset_is_measured_once_it_is_prepared(small, tmp_path):
    """Until then no network of it can be smaller than what is said."""
    small["datasets"]["sources"]["mine"] = {"kind": "npz", "path": "a.npz"}
    runs = {"fcn4-mine-b10-lr0.1-s0": RUN | {"dataset": "mine"}}
    vague = measured(small, runs, tmp_path)
    assert str(vague).startswith("at least ")
    images, labels = np.zeros((5, 3, 6, 4), np.uint8), np.zeros(5, np.int64)
    own = data.Dataset(images, labels, images, labels, ("a", "b", "c"), (0.5,) * 3, (0.5,) * 3)
    path = tmp_path / "results/s/data/mine.safetensors"
    data.write(own, path, made_by={"code": "c"})
    found = measured(small, runs, tmp_path)
    assert found.most == 4 * 4 * (16 * 3 * 6 * 4 + 8 * 16 + 3 * 8)
    assert 0 < vague.most < found.most
    assert not found.at_least
    for damage in (b"", b"\xff" * 100, path.read_bytes()[:40], (2).to_bytes(8, "little") + b"[]"):
        path.write_bytes(damage)
        assert measured(small, runs, tmp_path) == vague


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1500, "1.5 kB"), (37.4e9, "37 GB"), (1.24e12, "1.2 TB"), (3.4e15, "3,400 TB")]
)
def test_sizes_as_a_person_reads_them(size, text):
    assert study_size.readable(int(size)) == text


def test_it_is_there_for_who_plans():
    """Before any job starts, without the libraries that take seconds to import."""
    script = "import sys; from sgdtails.config import study_size; sys.exit(bool({'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_status_says_it(config, tmp_path):
    from sgdtails.report import status

    text = "\n".join(status.lines(status.overview(config, Path(tmp_path))))
    assert "  disk      45 GB of weights for 215 runs (weights.keep: all), " in text
