"""Configs, run tables and their names from whoever: refused in one sentence, or fit to be paths and to reach a shell."""

import copy
import json
import math
import os
import re
import shlex
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdtails.claims import definitions
from sgdtails.config import containers, grid, inputs
from sgdtails.data import sources
from sgdtails.errors import InputError
from sgdtails.io import storage
from tests.conftest import ROOT
from tests.fuzz import targets

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)

# What a person, a spreadsheet or an enemy may write where a name, a path or a number belongs.
_WORDS = [
    "..",
    ".",
    "/etc/passwd",
    "../../x",
    "a/b",
    "a'b",
    'a"b',
    "$(touch${IFS}x)",
    "`id`",
    "a;b",
    "a&b",
    "a|b",
    "~",
    "-rf",
    "--help",
    "*",
    "{run}",
    "{{x}}",
    "%s",
    "é",
]
_ODD = ["", "a b", "a\nb", "mnist\n", "a\0b", "\ud800", "x" * 65, "x" * 300]
HOSTILE_NAMES = st.sampled_from(_WORDS + _ODD) | st.text(max_size=80)
NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(),
    st.sampled_from([2**63, 2**63 - 1, -(2**63), 10**400, 1e-320, 5e-324, 1e308, 1e39, 1e-31, 0, -0.0, True]),
    st.sampled_from(
        ["1e400", "1e-400", "-1e400", "nan", "inf", "0x10", "1_000", "\u0661", "9" * 5000, "1e5", " 7 ", "+3", ""]
    ),
)
NAMES = {"datasets": ["digits", "x" * 64], "models": ["fcn4"]}


def check_runs(runs, text):
    """What every accepted run promises to the rules and the scripts."""
    assert text  # at least one
    pattern = re.search(r'run="(.*)"', (ROOT / "rules/common.smk").read_text())[1]
    for name, run in runs.items():
        assert re.fullmatch(pattern, name)
        assert shlex.quote(name) == name
        assert os.path.basename(name) == name  # noqa: PTH119
        assert len(name.encode()) < 200
        assert 1 <= run["batch_size"] < 2**63
        assert 0 <= run["seed"] < 2**63
        assert 1e-30 <= run["step_size"] <= 1e30
        assert run == json.loads(json.dumps(run))


ROWS = st.fixed_dictionaries(
    {
        "dataset": st.just("digits") | HOSTILE_NAMES,
        "model": st.just("fcn4") | HOSTILE_NAMES,
        "batch_size": st.integers(1, 100) | NUMBERS,
        "step_size": st.floats(1e-3, 1) | NUMBERS,
        "seed": st.integers(0, 9) | NUMBERS,
    }
)


@settings(max_examples=400)
@given(st.lists(ROWS, min_size=1, max_size=3))
def test_runs_from_anywhere(rows):
    names = {
        "datasets": [row["dataset"] for row in rows if isinstance(row["dataset"], str)],  # the config agrees
        "models": [row["model"] for row in rows if isinstance(row["model"], str)],
    }
    runs = targets.checked(lambda: grid.read_runs(rows, **names))
    if runs is not None:
        check_runs(runs, rows)


@settings(max_examples=300)
@given(st.lists(ROWS, min_size=1, max_size=3), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_tables_from_anywhere(tmp_path_factory, rows, comma, end):
    lines = [comma.join(rows[0]), *(comma.join(map(str, row.values())) for row in rows)]
    path = tmp_path_factory.getbasetemp() / "anywhere.csv"
    path.write_bytes(end.join(lines).encode("utf-8", "surrogatepass"))
    runs = targets.checked(lambda: grid.read_runs(str(path), **NAMES))
    if runs is not None:
        check_runs(runs, lines)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("step_size", "1e400", "must be a positive number"),
        ("step_size", "1e-400", "must be a positive number"),
        ("step_size", 1e-320, "single precision has room"),
        ("step_size", 1e39, "single precision has room"),
        ("step_size", True, "must be a number"),
        ("seed", 2**63, "at most 64 bits"),
        ("seed", "1e400", "whole number"),
        ("seed", 1.5, "whole number"),
        ("seed", math.inf, "whole number"),
        ("batch_size", 2**63, "at most 64 bits"),
        ("batch_size", [[1, 2]], "whole number"),
        ("dataset", ["digits\n"], "letters, digits and underscores"),
        ("dataset", "d" * 65, "at most 64"),
        ("model", None, "must be text"),
        ("model", "../fcn4", "letters, digits and underscores"),
    ],
)
def test_values_of_runs(column, value, message):
    row = {"dataset": "digits", "model": "fcn4", "batch_size": 1, "step_size": 0.1, "seed": 0} | {column: value}
    everything = ["digits", "digits\n", "fcn4", "../fcn4", "d" * 65]
    with pytest.raises(InputError, match=message):
        grid.read_runs([row], datasets=everything, models=everything)


def test_seeds_beyond_the_precision_of_floats():
    row = {"dataset": "digits", "model": "fcn4", "batch_size": 1, "step_size": 0.1, "seed": [2**53 + 1, 2**63 - 1]}
    assert [run["seed"] for run in grid.read_runs([row], **NAMES).values()] == row["seed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset,model,batch_size,step_size,seed\ndigits,fcn4,50,0.1,0,7\n", "line 2 has more values"),
        ("dataset,model,batch_size,step_size,seed,seed\ndigits,fcn4,50,0.1,0,7\n", "column seed is there twice"),
        ("dataset,model,batch_size,step_size,seed\n\0digits,fcn4,50,0.1,0\n", r"line 2: dataset is '.x00digits'"),
        ("dataset,model,batch_size,step_size,seed\n" + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_odd_tables(tmp_path, text, message):
    (tmp_path / "runs.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        grid.read_runs(str(tmp_path / "runs.csv"), **NAMES)


def test_a_table_saved_by_a_spreadsheet(tmp_path):
    text = "dataset,model,batch_size,step_size,seed\r\ndigits,fcn4,50,0.1,0\r\n"
    (tmp_path / "runs.csv").write_bytes(text.encode("utf-8-sig"))
    assert list(grid.read_runs(str(tmp_path / "runs.csv"), **NAMES)) == ["fcn4-digits-b50-lr0.1-s0"]


def test_lists_that_multiply_to_more_runs_than_anybody_trains():
    many = list(range(10_000))
    block = {"dataset": "digits", "model": "fcn4", "batch_size": many, "step_size": many, "seed": many}
    with pytest.raises(InputError, match="more than 100,000 runs"):
        grid.read_runs([block], **NAMES)


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
        lambda: grid.read_runs(path, base=tmp_path, **NAMES),
        lambda: definitions.read(path),
        lambda: sources.load("d", {"kind": "npz", "path": path}, root=tmp_path, download=False),
        lambda: sources.load("d", {"kind": "npz", "path": path, "sha256": 64 * "0"}, root=tmp_path, download=False),
        lambda: storage.load_arrays(path),
        lambda: storage.digest(path),
    ):
        with pytest.raises(InputError):
            read()
    if number != 2:
        with pytest.raises(InputError):
            sources.load("d", {"kind": "folder", "path": path}, root=tmp_path, download=False)


def test_a_pipe_among_images(odd_paths, tmp_path):
    os.mkfifo(tmp_path / "1.png")
    with pytest.raises(InputError, match="not a regular file"):
        sources.load("d", {"kind": "folder", "path": "."}, root=tmp_path, download=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 1,000,000 values"),
        ("a: &a [*a]", "nested deeper"),
        ("a: &a {b: *a}", "nested deeper"),
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
    begin = time.process_time()
    with pytest.raises(InputError, match=message):
        inputs.read_yaml(tmp_path / "file.yaml", "here")
    assert time.process_time() - begin < 20


def places(value, keys=()):
    """Every place in a config, as the keys that lead there."""
    yield keys
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*keys, key))


def put(config, keys, value):
    if not keys:
        return value
    return config | {keys[0]: put(config[keys[0]], keys[1:], value)}


ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | HOSTILE_NAMES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(HOSTILE_NAMES | st.just("kind") | st.just("fcn"), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(places(targets.BASE))), ANYTHING)
def test_configs_from_anywhere(keys, value):
    config = put(targets.BASE, keys, value)
    runs = targets.checked(lambda: targets.study(config))
    if runs is not None:
        check_runs(runs, "a table")
        for name in (config["study"], *config["models"], *config["datasets"]["sources"]):
            assert re.fullmatch("[A-Za-z0-9_-]{1,100}", name)
            assert not name.startswith("-")


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
        grid.validate(put(copy.deepcopy(targets.BASE), keys, value), targets.SCHEMA)


@pytest.mark.parametrize(
    "name", ["my image.sif", "a;touch x", "docker://a$(id)", "$(id).sif", "a'b.sif", "a&b", "a\nb"]
)
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
        sources.load("d", source | {"sha256": 64 * "0"}, root=tmp_path, download=False)
    found = re.search(r"is ([0-9a-f]{64})", str(caught.value))[1]
    assert sources.load("d", source | {"sha256": found}, root=tmp_path, download=False).train_images.size
    (tmp_path / "a.npz").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="SHA-256"):
        sources.load("d", source | {"sha256": found}, root=tmp_path, download=False)
