"""Configs, run tables and files that are wrong: refused in one sentence that names the place."""

import copy
import math
import os
import re

import pytest

from sgdtails.claims import definitions
from sgdtails.config import config_schema, containers, run_table, validation
from sgdtails.data import loaders
from sgdtails.errors import InputError
from sgdtails.io import storage
from tests.fuzz import targets

NAMES = {"datasets": ["digits", "x" * 64], "models": ["fcn4"]}


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("step_size", "1e400", "it must be a positive number"),
        ("step_size", "1e-400", "it must be a positive number"),
        ("step_size", 1e-320, "single precision has room"),
        ("step_size", 1e39, "single precision has room"),
        ("step_size", True, "must be a number"),
        ("seed", 2**63, "at most 64 bits"),
        ("seed", "1e400", "whole number"),
        ("seed", 1.5, "whole number"),
        ("seed", math.inf, "whole number"),
        ("batch_size", 2**63, "at most 64 bits"),
        ("batch_size", [[1, 2]], "whole number"),
        ("model", None, "must be text"),
        ("model", "../fcn4", "unknown model"),
    ],
)
def test_values_of_runs(column, value, message):
    row = {"dataset": "digits", "model": "fcn4", "batch_size": 1, "step_size": 0.1, "seed": 0} | {column: value}
    with pytest.raises(InputError, match=message):
        run_table.read_runs([row], **NAMES)


def test_seeds_beyond_the_precision_of_floats():
    row = {"dataset": "digits", "model": "fcn4", "batch_size": 1, "step_size": 0.1, "seed": [2**53 + 1, 2**63 - 1]}
    assert [run["seed"] for run in run_table.read_runs([row], **NAMES).values()] == row["seed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset,model,batch_size,step_size,seed\ndigits,fcn4,50,0.1,0,7\n", "line 2 has more values"),
        ("dataset,model,batch_size,step_size,seed,seed\ndigits,fcn4,50,0.1,0,7\n", "column seed is there twice"),
        ("dataset,model,batch_size,step_size,seed\n\0digits,fcn4,50,0.1,0\n", r"unknown dataset"),
        ("dataset,model,batch_size,step_size,seed\n" + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_odd_tables(tmp_path, text, message):
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        run_table.read_runs(str(tmp_path / "runs.csv"), **NAMES)


def test_a_table_saved_by_a_spreadsheet(tmp_path):
    text = "dataset,model,batch_size,step_size,seed\r\ndigits,fcn4,50,0.1,0\r\n"
    (tmp_path / "runs.csv").write_bytes(text.encode("utf-8-sig"))
    assert list(run_table.read_runs(str(tmp_path / "runs.csv"), **NAMES)) == ["fcn4-digits-b50-lr0.1-s0"]


@pytest.fixture(scope="module")
def odd_paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder").mkdir()
    return [
        str(folder / "pipe"),
        "/dev/zero",
        str(folder / "folder"),
        "x" * 5000,
        "a\0b",
        "\ud800",
        str(folder / "absent"),
    ]


@pytest.mark.parametrize("number", range(7))
def test_paths_that_are_no_files(odd_paths, number, tmp_path):
    """Nothing waits for a pipe or reads a device to its end."""
    path = odd_paths[number]
    for read in (
        lambda: run_table.read_runs(path, base=tmp_path, **NAMES),
        lambda: definitions.read(path),
        lambda: loaders.load("d", {"kind": "npz", "path": path}, root=tmp_path, download=False),
        lambda: loaders.load("d", {"kind": "npz", "path": path, "sha256": 64 * "0"}, root=tmp_path, download=False),
        lambda: storage.load_arrays(path),
        lambda: storage.digest(path),
    ):
        with pytest.raises(InputError):
            read()
    if number != 2:
        with pytest.raises(InputError):
            loaders.load("d", {"kind": "folder", "path": path}, root=tmp_path, download=False)


def test_a_pipe_among_images(odd_paths, tmp_path):
    os.mkfifo(tmp_path / "1.png")
    with pytest.raises(InputError, match="not a regular file"):
        loaders.load("d", {"kind": "folder", "path": "."}, root=tmp_path, download=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 20_000, "is not YAML"),
        ("a: " + "9" * 5000, "is not YAML"),
        ("a: 0x" + "f" * 5000, "beyond 64 bits"),
        ("a: .nan", "key a is nan"),
        ("a: [1, .inf]", r"key a.1 is inf"),
        ("a: 2020-01-01", "is a date"),
        ("a: 2020-99-99", "is not YAML"),
        ("a: !!set {b}", "is a set"),
        ("a: !!binary aGk=", "is a bytes"),
        ("a: !!python/object/apply:os.system [id]", "is not YAML"),
        ("1: a", "key 1 is not text"),
        ("on: a", "key True is not text"),
        ('"a\\0": b', "control character"),
        ('a: "b\\n"', "control character"),
        ("a: {<<: 7}", "is not YAML"),
    ],
)
def test_yaml_that_is_more_than_data(tmp_path, text, message):
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        validation.read_yaml(tmp_path / "file.yaml", "here")


def put(config, keys, value):
    if not keys:
        return value
    return config | {keys[0]: put(config[keys[0]], keys[1:], value)}


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("study",), "paper\n", "control character"),
        (("study",), "../up", "study"),
        (("study",), "s" * 101, "study"),
        (("models",), {"fcn4\n": {"fcn": [4]}}, "control character"),
        (("models", "fcn4"), {"fcn": [10**12]}, "greater than the maximum"),
        (("models", "fcn4"), {"fcn": [4.0]}, "not of type 'integer'"),
        (("models", "fcn4"), {"factory": "os.system;x"}, "factory"),
        (("models", "fcn4"), {"factory": "/etc/passwd.x"}, "factory"),
        (("models", "fcn4"), {"factory": "..a.b"}, "factory"),
        (("stop", "gate"), 200.0, "not of type 'integer'"),
        (("stop", "train_nll"), math.nan, "finite"),
        (("tails", "seed"), 2**64, "beyond 64 bits"),
        (("datasets", "root"), "{run}", "datasets.root"),
        (("datasets", "sources", "mnist"), {"kind": "npz", "path": "{x}.npz"}, "path"),
        (("datasets", "sources", "mnist"), {"kind": "npz", "sha256": "abc"}, "sha256"),
    ],
)
def test_configs_that_look_right(keys, value, message):
    with pytest.raises(InputError, match=message):
        config_schema.validate(put(copy.deepcopy(targets.BASE), keys, value), targets.SCHEMA)


@pytest.mark.parametrize("name", ["my image.sif", "a'b.sif", "docker://my image"])
def test_images_whose_name_a_shell_would_take_apart(tmp_path, name):
    if "/" not in name:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="a shell would take apart"):
        containers.image(name, tmp_path)


def test_what_a_checksum_is_for(tmp_path):
    (data,) = targets.seeds("npz")[:1]
    (tmp_path / "a.npz").write_bytes(data)
    source = {"kind": "npz", "path": "a.npz", "test_fraction": 0.5}
    with pytest.raises(InputError, match=r"the SHA-256 of .*a.npz is [0-9a-f]{64}, not 0{64}") as caught:
        loaders.load("d", source | {"sha256": 64 * "0"}, root=tmp_path, download=False)
    found = re.search(r"is ([0-9a-f]{64})", str(caught.value))[1]
    assert loaders.load("d", source | {"sha256": found}, root=tmp_path, download=False).train_images.size
    (tmp_path / "a.npz").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="SHA-256"):
        loaders.load("d", source | {"sha256": found}, root=tmp_path, download=False)
