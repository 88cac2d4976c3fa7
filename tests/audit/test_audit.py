import json
import math
import re
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sgdtails.audit import accuracy, audit_inputs
from sgdtails.audit import layers as audit
from sgdtails.audit.layer import bands, compressibility, dead, estimates, label
from sgdtails.errors import InputError, UserCodeError
from sgdtails.figures import audit_figures, plotting
from sgdtails.io import tables
from sgdtails.schemas import audit_schemas
from sgdtails.stable import sampling as stable
from tests.conftest import script

SETTINGS = {"seed": 0, "entries": 2**20, "nulls": {"replicates": 2, "entries": 2**14}, "epsilon": [0.1]}


def rng(seed=0):
    return np.random.default_rng(seed)


def tensor(values):
    return torch.from_numpy(np.asarray(values, np.float32))


def found(**shapes):
    """Name, kind and shape of the matrices in a state with random tensors of these shapes (dots as __)."""
    state = {key.replace("__", "."): torch.randn(shape) for key, shape in shapes.items()}
    return [(matrix.name, matrix.kind, tuple(matrix.tensor.shape)) for matrix in audit_inputs.matrices(state)]


def as_tables(found):
    """What the figure of an audit is drawn from."""
    return {
        name.removeprefix("audit_"): tables.pa.Table.from_pylist(
            [{"checkpoint": "x"} | row for row in found.get(name, [])], schema=schema
        )
        for name, schema in audit_schemas.SCHEMAS.items()
        if name not in ("audit_comparison", "audit_series")
    }


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("fc__weight", (128, 70), [("fc", "linear", (128, 70))]),
        ("head__weight", (10, 70), [("head", "linear", (70, 10))]),
        ("conv__weight", (8, 4, 3, 3), [("conv", "convolution", (8, 4, 3, 3))]),
        ("conv__weight", (8, 4, 3), [("conv", "convolution", (8, 4, 3))]),
        ("conv__weight", (8, 4, 3, 3, 3), [("conv", "convolution", (8, 4, 3, 3, 3))]),
        ("depthwise__weight", (8, 1, 3, 3), [("depthwise", "convolution", (8, 1, 3, 3))]),
        ("conv__weight", (128, 64, 1, 1), [("conv", "pointwise convolution", (128, 64))]),
        ("wte__weight", (100, 16), [("wte", "embedding", (100, 16))]),
        ("pos_embedding", (1, 197, 16), [("pos_embedding", "embedding", (197, 16))]),
        ("class_token", (1, 1, 16), []),
        ("bn__weight", (16,), []),
        ("attn__bias", (1, 1, 64, 64), []),
        ("attn__in_proj_weight", (210, 70), [(f"attn.in_proj_weight[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__qkv__weight", (210, 70), [(f"attn.qkv[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__c_attn__weight", (70, 210), [(f"attn.c_attn[{p}]", "attention", (70, 70)) for p in "qkv"]),
        ("attn__q_proj__weight", (70, 70), [("attn.q_proj", "attention", (70, 70))]),
        ("attn__qkv_proj__weight", (140, 70), [("attn.qkv_proj", "attention", (140, 70))]),
    ],
)
def test_what_becomes_a_matrix(key, shape, expected):
    assert found(**{key: shape}) == expected


def test_parts_of_fused_projections_are_those_of_the_tensor():
    state = {
        "in_proj_weight": torch.randn(210, 70),
        "c_attn.weight": torch.randn(80, 240),
        "c_fc.weight": torch.randn(80, 320),
    }
    parts = {matrix.name: matrix.tensor for matrix in audit_inputs.matrices(state)}
    assert torch.equal(parts["in_proj_weight[k]"], state["in_proj_weight"][70:140])
    assert torch.equal(parts["c_attn[k]"], state["c_attn.weight"][:, 80:160].T)
    assert torch.equal(parts["c_fc"], state["c_fc.weight"].T)
    assert all(part.untyped_storage().data_ptr() for part in parts.values())


def test_whole_numbers_and_quantised_weights_are_none():
    state = {"index": torch.ones(9, 9, dtype=torch.int64), "mask": torch.ones(9, 9) > 0}
    state["quantised"] = torch.randn(9, 9).to(torch.float8_e4m3fn)
    assert audit_inputs.matrices(state) == []


def test_tied_weights_count_once():
    weight = torch.randn(80, 70)
    parts = audit_inputs.matrices({"wte.weight": weight, "lm_head.weight": weight, "other.weight": weight.clone()})
    assert [(part.name, part.kind) for part in parts] == [("wte", "embedding"), ("other", "linear")]


def test_layers_of_a_safetensors_file_are_counted_as_people_do(tmp_path):
    save_file(
        {f"{name}.weight": torch.ones(2) for name in ("h.10", "h.2", "conv", "conv2")}, tmp_path / "a.safetensors"
    )
    state = audit_inputs.read(str(tmp_path / "a.safetensors"), weights=None, seed=0)
    assert list(state) == ["conv.weight", "conv2.weight", "h.2.weight", "h.10.weight"]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", ["state_dict", "model", None])
def test_pickled_state_dicts(tmp_path, nested, zipped):
    state = OrderedDict(weight=torch.randn(4, 3), bias=torch.randn(4))
    held = {nested: state, "epoch": 3, "optimizer": {"exp_avg": torch.ones(4, 3)}} if nested else state
    torch.save(held, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    read = audit_inputs.read(str(tmp_path / "a.pt"), weights=None, seed=0)
    assert {key: value.tolist() for key, value in read.items()} == {key: value.tolist() for key, value in state.items()}


def test_half_precision_is_read_as_it_is():
    weight = torch.randn(64, 32)
    for dtype in (torch.bfloat16, torch.float16):
        sample = estimates.as_numpy(weight.to(dtype), slice(None))
        assert sample.dtype == np.float32
        assert np.array_equal(sample, weight.to(dtype).float().numpy())


def test_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.pt", "a.safetensors", "b c.pth", "notes.txt"):
        (tmp_path / name).touch()
    assert audit_inputs.sources(".") == {"a.pt": "a.pt", "a": "a.safetensors", "b_c.pth-9e6465d4": "b c.pth"}
    assert audit_inputs.sources(str(tmp_path / "a.pt")) == {"a.pt": str(tmp_path / "a.pt")}
    assert audit_inputs.sources("torchvision:resnet18") == {"torchvision--resnet18": "torchvision:resnet18"}
    assert [*audit_inputs.sources("torchvision:resnet18", "A/w.pth")] == ["torchvision--resnet18--A--w.pth"]


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
    files = [f"{folder}/{stem}{suffix}" for folder in folders for stem in stems for suffix in audit_inputs.SUFFIXES]
    for file in files:
        path = Path(file)
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    names = [name for file in files for name in audit_inputs.sources(file)]
    names += audit_inputs.sources("torchvision:resnet18")
    names += [name for file in files for name in audit_inputs.sources("torchvision:resnet18", file)]
    assert len({*names}) == len(names) == 2 * len(files) + 1
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name)
        assert len(name) < 250
    assert names[:2] == ["best", "best.pt"]  # readable
    assert "A--best.pth" in names
    again = [name for file in files for name in audit_inputs.sources(str(Path(file).absolute()))]
    assert again == names[: len(files)]  # however the same file is named, it is one audit


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [(None, "checkpoint is not set"), ("no.pt", "there is no 'no.pt'"), (".", "holds no .safetensors")],
)
def test_no_such_checkpoint(checkpoint, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        audit_inputs.sources(checkpoint)


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(3, 2), tmp_path / "whole.pt")
    with pytest.raises(InputError, match=r"whole.pt holds pickled objects.*state_dict\(\)"):
        audit_inputs.read(str(tmp_path / "whole.pt"), weights=None, seed=0)


@pytest.mark.parametrize("name", ["damaged.pt", "damaged.safetensors"])
def test_a_damaged_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"no weights at all" * 9)
    with pytest.raises(InputError, match=f"{name} (holds|is not a)"):
        audit_inputs.read(str(tmp_path / name), weights=None, seed=0)


def test_a_list_is_no_state_dict(tmp_path):
    torch.save([torch.ones(2, 2)], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds list, not a state dict"):
        audit_inputs.read(str(tmp_path / "list.pt"), weights=None, seed=0)


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


@pytest.mark.parametrize(
    ("shape", "most", "rows"),
    [
        ((512, 512), 2**20, 512),
        ((197, 100), 2**20, 192),
        ((64, 3, 7, 7), 2**20, 64),
        ((1000, 1000), 97_000, 90),
        ((3, 5), 100, 3),
    ],
)
def test_rows_that_are_used(shape, most, rows):
    """All where they have block lengths; else, within a tenth, as many as have most of them."""
    assert estimates.rows_used(shape, most) == rows


def test_some_rows_are_rows_in_their_order():
    weight = torch.arange(40.0).reshape(10, 4)
    sample = estimates.as_numpy(weight, estimates.row_numbers(10, 6, rng()))
    assert sample.shape == (6, 4)
    assert np.array_equal(sample, np.unique(sample, axis=0))
    assert set(sample[:, 0]) <= set(weight[:, 0].tolist())


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (20, 5, 3, 3)])
def test_singular_values(shape, monkeypatch):
    """Those of numpy's decomposition, to the rounding of squares in double precision, in however many pieces."""
    weight = torch.from_numpy(rng().standard_normal(shape))
    expected = np.linalg.svd(weight.flatten(1).numpy(), compute_uv=False)[::-1]
    for chunk in (2**24, 100):
        monkeypatch.setattr(dead, "_CHUNK", chunk)
        values, rows = compressibility.singular_values(weight, rng())
        assert rows == shape[0]
        np.testing.assert_allclose(values, expected, rtol=1e-7, atol=1e-7)


def test_a_matrix_too_wide_gets_the_spectrum_of_random_rows(monkeypatch):
    monkeypatch.setattr(compressibility, "WIDEST", 8)
    values, rows = compressibility.singular_values(torch.eye(20), rng())
    assert (rows, values.tolist()) == (8, [1.0] * 8)


def test_kappa_of_a_matrix_too_wide_is_that_of_its_random_rows(monkeypatch):
    """No rank can be cut from an identity: of 8 rows of 20, factors hold 8 (8 + 20 + 1) numbers for 160."""
    monkeypatch.setattr(compressibility, "WIDEST", 8)
    kappas = audit.audit({"a.weight": torch.eye(20)}, where="eye", **SETTINGS)["audit_compression"]
    (kappa,) = (row["kappa"] for row in kappas if row["structure"] == "singular_values")
    assert kappa == 8 * 29 / 160


def test_a_null_without_a_profile_is_no_count():
    """Each row holds one weight; with the entries in random order more than half of the rows are zero in some draws."""
    rows = np.diag(1 + rng().random(16)).astype(np.float32)[:8]
    found = list(bands.profiles(rows, rows.ravel()[rows.ravel() != 0], bands.GaussianBands(3, 0), 200, [0]))
    outside = bands.outside(found)
    assert outside["block_lengths"] > 0
    assert (outside["below_shuffled"], outside["gap_shuffled"]) == (None, None)
    assert outside["below_gaussian"] is not None


def test_ranks_of_known_matrices():
    """The identity has full effective rank and needs 90% of its values; a matrix of rank one has 1 of both."""
    of = lambda weight: compressibility.spectrum(*compressibility.singular_values(weight, rng()))  # noqa: E731
    identity, one = of(torch.eye(20)), of(torch.outer(torch.ones(20), torch.arange(1.0, 11.0)))
    assert (identity["rank_90"], one["rank_90"], one["rank_90_share"]) == (18, 1, 0.1)
    assert identity["effective_rank"] == pytest.approx(20)
    assert one["effective_rank"] == pytest.approx(1, abs=1e-4)  # zeros come out as 1e-8 of the largest


@pytest.fixture(scope="module")
def known():
    """A state of stable and Gaussian layers and its audit."""
    draws = {
        "stable.weight": tensor(stable.sample(1.5, (512, 512), rng=rng())),
        "gaussian.weight": tensor(rng(1).standard_normal((512, 512))).bfloat16(),
        "stable_conv.weight": tensor(stable.sample(1.5, (64, 64, 3, 3), rng=rng(2))),
        "zero.weight": torch.zeros(64, 64),
        "broken.weight": torch.full((64, 64), math.inf),
        "norm.weight": torch.ones(8),
    }
    return draws, audit.audit(draws, where="known", **SETTINGS)


def test_stable_and_gaussian_layers_are_read_as_what_they_are(known):
    rows = {row["layer_name"]: row for row in known[1]["audit"]}
    assert rows["stable"]["reading"] == rows["stable_conv"]["reading"] == "stable-like"
    assert rows["gaussian"]["reading"] == "finite-variance-like"
    for name, alpha in (("stable", 1.5), ("stable_conv", 1.5), ("gaussian", 2.0)):
        assert rows[name]["alpha"] == pytest.approx(alpha, abs=0.1)
        assert rows[name]["entries_alpha"] == pytest.approx(alpha, abs=0.05)
    assert rows["stable"]["below_gaussian"] == rows["stable"]["block_lengths"] >= 3
    assert rows["gaussian"]["dtype"] == "bfloat16"
    assert rows["stable_conv"]["observations"] == 64 * 64
    kappa = {(row["layer_name"], row["structure"]): row["kappa"] for row in known[1]["audit_compression"]}
    assert 1 - kappa["gaussian", "entries"] == pytest.approx(plotting.GAUSSIAN, abs=0.005)
    assert 1 - kappa["stable", "entries"] > 0.6
    assert ("stable_conv", "kernels") in kappa


def test_layers_without_estimates_say_why(known):
    rows = {row["layer_name"]: row for row in known[1]["audit"]}
    assert "zero" in rows["zero"]["reason"]
    assert rows["zero"]["alpha"] is None
    assert rows["broken"]["reason"] == "the weights are not all finite"
    assert {rows[name]["reading"] for name in ("zero", "broken")} == {"undecided"}
    assert {row["layer_name"] for row in known[1]["audit_curves"]} == {"stable", "gaussian", "stable_conv"}


def test_curves_start_at_nothing_and_end_at_all(known):
    for name in ("entries", "columns", "singular_values"):
        line = [r["relative_error"] for r in known[1]["audit_curves"] if (r["layer"], r["structure"]) == (0, name)]
        assert len(line) == len(compressibility.CURVE)
        assert (line[0], line[-1]) == (0, pytest.approx(1))
        assert line == sorted(line)


def test_the_same_seed_gives_the_same_rows(known):
    draws = {key: known[0][key] for key in ("stable.weight",)}
    first, again = (audit.audit(draws, where="known", **SETTINGS) for _ in range(2))
    assert first == again


def test_no_matrices():
    with pytest.raises(InputError, match="a.pt holds no matrices among its 1 arrays"):
        audit.audit({"norm": torch.ones(4)}, where="a.pt", **SETTINGS)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["stable-like"] * 3 + ["undecided"] * 2, ("stable-like", 3)),
        (["stable-like"] * 2 + ["undecided"] * 2 + ["finite-variance-like"], ("undecided", 0)),
        (["finite-variance-like"] * 5, ("finite-variance-like", 5)),
    ],
)
def test_a_label_needs_a_majority(labels, expected):
    row = label.majority([{"reading": each, "log_norm_dispersion": 0.1, "reason": None} for each in labels])
    assert (row["reading"], row["votes"]) == expected
    assert row["why"]
    assert (row["decides"] is None) == (expected[0] != "undecided")


# Evaluation functions, named by their dotted paths.
def energy(state):
    return {"energy": float((state["a.weight"].float() ** 2).sum()), "zeros": int((state["a.weight"] == 0).sum())}


def not_a_mapping(state):
    return 0.9


def not_a_number(state):
    return {"accuracy": math.nan}


def failing(state):
    return {"accuracy": state["no such layer"]}


def fickle(state):
    return {"even" if int((state["a.weight"] == 0).sum()) % 2 == 0 else "odd": 1.0}


a_constant = 3.0


def test_accuracy_is_of_pruned_copies():
    """Of -4...-1, 1...4, whose median is 0: removing a share leaves the largest magnitudes, and the state as it was."""
    weight = torch.tensor([[-4.0, -3, -2, -1], [1, 2, 3, 4]])
    state = {"a.weight": weight, "wte.weight": torch.ones(3, 4)}
    rows = list(accuracy.rows(state, f"{__name__}.energy", [0, 0.5, 0.75]))
    values = {(row["ratio"], row["measure"]): row["value"] for row in rows}
    assert [values[ratio, "energy"] for ratio in (0, 0.5, 0.75)] == [60, 50, 32]
    assert [values[ratio, "zeros"] for ratio in (0, 0.5, 0.75)] == [0, 4, 6]
    assert [row["pruned_ratio"] for row in rows] == [0, 0, 0.5, 0.5, 0.75, 0.75]
    assert weight.tolist() == [[-4.0, -3, -2, -1], [1, 2, 3, 4]]


def tied(state):
    return {"tied": float(state["a.weight"].data_ptr() == state["b.weight"].data_ptr())}


def test_tied_weights_stay_tied():
    weight = torch.randn(4, 5)
    rows = list(accuracy.rows({"a.weight": weight, "b.weight": weight}, f"{__name__}.tied", [0.5]))
    assert rows == [{"ratio": 0.5, "pruned_ratio": 0.5, "measure": "tied", "value": 1.0}]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "cannot import"),
        ("a_constant", "must be a function"),
        ("not_a_mapping", "returned 0.9; it must return finite numbers by name"),
        ("not_a_number", "must return finite numbers"),
        ("failing", "test_audit.failing raised KeyError: 'no such layer' .*test_audit.py:[0-9]+"),
        ("fickle", "the same names each time"),
    ],
)
def test_evaluation_functions_that_are_none(name, said):
    state = {"a.weight": torch.tensor([[-4.0, -3, -2, -1], [1, 2, 3, 4]])}
    with pytest.raises((InputError, UserCodeError), match=said):
        list(accuracy.rows(state, f"{__name__}.{name}", [0, 0.125, 0.5]))


def test_the_script_writes_every_table_and_the_figure_is_drawn_from_them(tmp_path, known):
    save_file(known[0], tmp_path / "known.safetensors")
    settings = SETTINGS | {
        "source": str(tmp_path / "known.safetensors"),
        "weights": None,
        "evaluate": None,
        "ratios": [0],
    }
    names = ("audit", "profiles", "curves", "compression", "accuracy")
    files = {name: tmp_path / f"{name}.parquet" for name in names}
    output = type("Output", (dict,), {})(files)
    output.text, output.html, output.plan = (tmp_path / name for name in ("audit.md", "audit.html", "plan.json"))
    params = SimpleNamespace(settings=json.dumps(settings), code="0123")
    smk = SimpleNamespace(wildcards=SimpleNamespace(audit="known"), params=params, output=output, threads=2)
    script("audit").main(smk)
    written = {name: tables.read(file) for name, file in files.items()}
    assert {"audit", *(f"audit_{name}" for name in names[1:])} <= set(audit_schemas.SCHEMAS)
    assert written["audit"].num_rows == 5
    text = (tmp_path / "audit.md").read_text()
    assert "2 stable-like, 1 finite-variance-like, 2 undecided." in text
    assert "the weights are not all finite" in text
    assert '<img src="audit.png"' in (tmp_path / "audit.html").read_text()
    assert json.loads((tmp_path / "plan.json").read_text())["by_error"]["0.1"]
    plotting.render("audit", written, [str(tmp_path / "audit.pdf"), str(tmp_path / "audit.png")])
    assert (tmp_path / "audit.png").read_bytes()[:4] == b"\x89PNG"


def test_a_figure_of_nothing_but_layers_without_estimates():
    rows = audit.audit({"broken.weight": torch.full((8, 8), math.nan)}, where="x", **SETTINGS)
    figure = audit_figures.audit(**as_tables(rows))
    assert len(figure.axes) >= 3 or figure.subfigs
