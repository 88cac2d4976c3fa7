"""Which checkpoints are read, from files, folders, shards and torchvision, and in which order their layers come."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sgdtails.audit import audit_inputs, checkpoints
from sgdtails.audit.weights.matrices import matrices
from sgdtails.errors import InputError
from tests.audit.helpers import read


def test_layers_of_a_safetensors_file_are_counted_as_people_do(tmp_path):
    save_file(
        {f"{name}.weight": torch.ones(2) for name in ("h.10", "h.2", "conv", "conv2")}, tmp_path / "a.safetensors"
    )
    state = audit_inputs.read(str(tmp_path / "a.safetensors"), weights=None, seed=0)
    assert list(state) == ["conv.weight", "conv2.weight", "h.2.weight", "h.10.weight"]


def test_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.pt", "a.safetensors", "b c.pth", "notes.txt"):
        (tmp_path / name).touch()
    assert checkpoints.sources(".") == {"a.pt": "a.pt", "a": "a.safetensors", "b_c.pth-9e6465d4": "b c.pth"}
    assert checkpoints.sources(str(tmp_path / "a.pt")) == {"a.pt": str(tmp_path / "a.pt")}
    assert checkpoints.sources("torchvision:resnet18") == {"torchvision--resnet18": "torchvision:resnet18"}
    assert [*checkpoints.sources("torchvision:resnet18", "A/w.pth")] == ["torchvision--resnet18--A--w.pth"]


def test_no_two_files_have_one_audit(tmp_path, monkeypatch):
    """One name in two folders, one name but for its suffix or for special characters, a path that spells another's name."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    stems = [
        "best",
        "A--best",
        "best-",
        "b c",
        "b_c",
        "best.pt",
        "b" * 120,
        ".best",
        "resnet18",
        "torchvision--resnet18",
    ]
    folders = [".", "A", "B", "A/A", "A-", "A ", "A--A", "..", "torchvision"]
    files = [f"{folder}/{stem}{suffix}" for folder in folders for stem in stems for suffix in checkpoints.SUFFIXES]
    for file in files:
        path = Path(file)
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    names = [name for file in files for name in checkpoints.sources(file)]
    names += checkpoints.sources("torchvision:resnet18")
    names += [name for file in files for name in checkpoints.sources("torchvision:resnet18", file)]
    assert len({*names}) == len(names) == 2 * len(files) + 1
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name)
        assert len(name) < 250
    assert names[:2] == ["best", "best.pt"]  # readable
    assert "A--best.pth" in names
    again = [name for file in files for name in checkpoints.sources(str(Path(file).absolute()))]
    assert again == names[: len(files)]  # however the same file is named, it is one audit


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [(None, "checkpoint is not set"), ("no.pt", "there is no 'no.pt'"), (".", "holds no checkpoint")],
)
def test_no_such_checkpoint(checkpoint, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        checkpoints.sources(checkpoint)


def test_torchvision_models(tmp_path):
    read = lambda **more: audit_inputs.read("torchvision:squeezenet1_1", **({"weights": None, "seed": 0} | more))  # noqa: E731
    first, again, other = read(), read(), read(seed=1)
    key = "features.0.weight"
    assert torch.equal(first[key], again[key])
    assert not torch.equal(first[key], other[key])
    torch.save(other, tmp_path / "own.pth")
    assert torch.equal(read(weights=str(tmp_path / "own.pth"))[key], other[key])
    torch.save({"a.weight": torch.ones(2, 2)}, tmp_path / "wrong.pth")
    with pytest.raises(InputError, match="wrong.pth does not fit torchvision's squeezenet1_1"):
        read(weights=str(tmp_path / "wrong.pth"))
    with pytest.raises(InputError, match="unknown torchvision model 'resnet19'.*did you mean 'resnet1"):
        audit_inputs.read("torchvision:resnet19", weights=None, seed=0)


# Case 9: a folder as Hugging Face's libraries write it.


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    names = [f"h.{number}.fc.weight" for number in (0, 1, 2, 10)]
    state = {name: torch.randn(8, 6) for name in names}
    save_file({name: state[name] for name in names[:2]}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({name: state[name] for name in names[2:]}, tmp_path / "model-00002-of-00002.safetensors")
    save_file(state, tmp_path / "model.safetensors")
    for name in ("optimizer.bin", "scheduler.pt", "training_args.bin", "rng_state_0.pth", "optimizer.pt"):
        torch.save({"exp_avg": torch.randn(8, 6)}, tmp_path / name)
    places = {name: f"model-0000{1 + (number > 1)}-of-00002.safetensors" for number, name in enumerate(names)}
    index(tmp_path, dict(sorted(places.items())))
    return tmp_path


def index(folder, places):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_shards_are_one_model_and_what_training_left_is_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    ((name, source),) = checkpoints.sources(".").items()
    assert (name, source) == ("model.safetensors.index.json", "model.safetensors.index.json")
    assert checkpoints.files(source) == [
        *(source, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    ]
    found = read(source)
    assert list(found) == [f"h.{number}.fc.weight" for number in (0, 1, 2, 10)]
    assert found.read_as == "2 shards with an index"
    left = {entry.name: entry.reason for entry in matrices(found)[1]}
    assert left == {
        "model.safetensors": "a file beside the shards that the index does not name",
        **dict.fromkeys(
            ("optimizer.bin", "optimizer.pt", "rng_state_0.pth", "scheduler.pt", "training_args.bin"),
            "a file of the training beside the model",
        ),
    }


def test_the_order_of_an_index_that_is_not_sorted_is_that_of_the_layers(folder):
    places = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    index(folder, {name: places[name] for name in reversed(places)})
    assert list(read(folder / "model.safetensors.index.json")) == list(reversed(places))


def test_a_part_of_shards(folder):
    found = read(folder / "model.safetensors.index.json", part="h.1")
    assert list(found) == ["h.1.fc.weight"]
    assert [entry.name for entry in found.skipped if entry.shape] == [f"h.{number}.fc.weight" for number in (0, 2, 10)]
    with pytest.raises(InputError, match=r"unknown part 'g' .* of .*model\.safetensors\.index\.json: .*h"):
        read(folder / "model.safetensors.index.json", part="g")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("../model.safetensors", "names '../model.safetensors', which is not beside it"),
        ("model-00003-of-00003.safetensors", "names the shard 'model-00003-of-00003.safetensors', which is missing"),
        ("model-00002-of-00002.safetensors", "names 'h.0.fc.weight', which no shard holds"),
    ],
)
def test_an_index_that_does_not_fit_its_shards(folder, file, said):
    index(folder, {"h.0.fc.weight": file})
    with pytest.raises(InputError, match=re.escape(said)):
        read(folder / "model.safetensors.index.json")


def test_a_folder_without_an_index_has_no_audit_of_the_optimiser(folder):
    (folder / "model.safetensors.index.json").unlink()
    assert [Path(path).name for path in checkpoints.sources(str(folder)).values()] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors",
    ]


def test_files_of_one_name_in_two_folders_are_two_audits(tmp_path, monkeypatch):
    """Case 10."""
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        Path(name).mkdir()
        save_file({"fc.weight": torch.ones(3, 3)}, f"{name}/model.safetensors")
    names = [*checkpoints.sources("a/model.safetensors"), *checkpoints.sources("b")]
    assert names == ["a--model", "b--model"]


def test_a_link_to_nothing_is_said(tmp_path):
    (tmp_path / "a.pt").symlink_to("/nowhere/b.pt")
    with pytest.raises(InputError, match=r"it is a link to /nowhere/b\.pt, which is not there"):
        checkpoints.sources(str(tmp_path / "a.pt"))


def test_containers_see_what_links_lead_to(tmp_path, monkeypatch):
    """Case 25: a link out of the working directory, over another link."""
    for name in ("work", "far", "farther"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "farther/real.pt").touch()
    (tmp_path / "far/step.pt").symlink_to("../farther/real.pt")
    Path("a.pt").symlink_to(tmp_path / "far/step.pt")
    Path("b.pt").touch()
    environment = {}
    checkpoints.bind(["b.pt"], environment)
    assert environment == {}
    checkpoints.bind(["a.pt", "b.pt"], environment)
    assert environment == {"APPTAINER_BIND": f"{tmp_path}/far,{tmp_path}/farther"}
    (tmp_path / "a,b").mkdir()
    (tmp_path / "a,b/c.pt").touch()
    with pytest.raises(InputError, match="containers cannot be given the folder of .*; copy the file here"):
        checkpoints.bind([str(tmp_path / "a,b/c.pt")], environment)


def test_arrays_in_the_byte_order_of_other_machines(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.arange(6.0).reshape(2, 3).astype(">f4"))
    assert read(tmp_path / "a.npz")["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
