import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sgdtails.audit import accuracy
from sgdtails.audit import layers as audit
from sgdtails.audit.layer import bands, compressibility, dead, estimates, label
from sgdtails.errors import InputError, UserCodeError
from sgdtails.figures import audit_figures, registry, theme
from sgdtails.io import tables
from sgdtails.schemas import audit_schemas
from sgdtails.stable import sampling as stable
from tests.conftest import script

SETTINGS = {"seed": 0, "entries": 2**20, "nulls": {"replicates": 2, "entries": 2**14}, "epsilon": [0.1]}


def rng(seed=0):
    return np.random.default_rng(seed)


def tensor(values):
    return torch.from_numpy(np.asarray(values, np.float32))


def as_tables(found):
    """What the figure of an audit is drawn from."""
    return {
        name.removeprefix("audit_"): tables.pa.Table.from_pylist(
            [{"checkpoint": "x"} | row for row in found.get(name, [])], schema=schema
        )
        for name, schema in audit_schemas.SCHEMAS.items()
        if name not in ("audit_comparison", "audit_series", "audit_skipped", "audit_laws")
    }


def test_half_precision_is_read_as_it_is():
    weight = torch.randn(64, 32)
    for dtype in (torch.bfloat16, torch.float16):
        sample = estimates.as_numpy(weight.to(dtype), slice(None))
        assert sample.dtype == np.float32
        assert np.array_equal(sample, weight.to(dtype).float().numpy())


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
    assert 1 - kappa["gaussian", "entries"] == pytest.approx(theme.GAUSSIAN, abs=0.005)
    assert 1 - kappa["stable", "entries"] > 0.6
    assert ("stable_conv", "kernels") in kappa


def test_laws_are_those_the_layers_were_drawn_from(known):
    rows = {row["layer_name"]: row for row in known[1]["audit"]}
    assert [rows[name]["law"] for name in ("stable", "stable_conv", "gaussian")] == ["stable", "stable", "gaussian"]
    assert rows["stable"]["law_tail_index"] == pytest.approx(1.5, abs=0.02)
    assert rows["gaussian"]["law_tail_index"] == math.inf
    assert rows["gaussian"]["law_margin"] > 1e-4
    assert {rows[name]["law"] for name in ("zero", "broken")} == {None}
    fitted = [row for row in known[1]["audit_laws"] if row["layer_name"] == "stable"]
    assert {row["observed"] for row in fitted} == {"entries", "rows"}
    assert max(fitted, key=lambda row: row["log_likelihood"])["law"] == "stable"


def test_laws_leave_dead_rows_and_zeros_out():
    weights = rng().laplace(size=(256, 128)).astype(np.float32)
    weights[:64] *= 1e-6
    sparse = np.where(rng(1).random((256, 128)) < 0.3, 0, weights)
    rows = audit.audit(
        {"dead.weight": tensor(weights[:, :64]), "sparse.weight": tensor(sparse)}, where="laws", **SETTINGS
    )
    assert [row["law"] for row in rows["audit"]] == ["laplace", "laplace"]
    observations = {(row["layer_name"], row["observed"]): row["observations"] for row in rows["audit_laws"]}
    assert observations["dead", "rows"] == 192
    assert ("sparse", "rows") not in observations


def test_layers_without_estimates_say_why(known):
    rows = {row["layer_name"]: row for row in known[1]["audit"]}
    assert "zero" in rows["zero"]["reason"]
    assert rows["zero"]["alpha"] is None
    assert rows["broken"]["reason"] == "the weights are not all finite, or exceed 1e30"
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
    with pytest.raises(InputError, match=r"a.pt holds no matrices among its 1 array \(1 left out as a vector\)"):
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
        "part": None,
        "exclude": [],
        "ratios": [0],
    }
    names = ("audit", "profiles", "curves", "compression", "laws", "skipped", "accuracy")
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
    assert "stable" in written.pop("laws").column("law").to_pylist()
    assert written.pop("skipped").column("reason").to_pylist() == ["a vector"]
    assert "read as a safetensors file: 5 layers" in text
    assert "Left out: 1 as a vector;" in text
    assert audit_figures.audit(**written).get_suptitle().startswith("known.safetensors: 5 layers, ")
    registry.save("audit", written, [str(tmp_path / "audit.pdf"), str(tmp_path / "audit.png")])
    assert (tmp_path / "audit.png").read_bytes()[:4] == b"\x89PNG"


def test_a_figure_of_nothing_but_layers_without_estimates():
    rows = audit.audit({"broken.weight": torch.full((8, 8), math.nan)}, where="x", **SETTINGS)
    figure = audit_figures.audit(**as_tables(rows))
    assert len(figure.axes) >= 3 or figure.subfigs
