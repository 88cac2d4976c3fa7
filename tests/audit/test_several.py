"""Two checkpoints compared, and a series of them."""

import numpy as np
import pytest
import torch

from sgdtails import cli
from sgdtails.audit.several import comparison, series
from sgdtails.errors import InputError
from sgdtails.figures import audit_figures
from sgdtails.io import tables
from sgdtails.stable import sampling as stable
from tests.audit.helpers import normal


def compared(base, tuned):
    return {row["layer_name"]: row for row in comparison.rows(base, tuned, seed=0, entries=2**20)}


def test_what_has_changed():
    """A layer that is shrunk, one turned by a change of rank one, one left, one that is not finite, and others that cannot be paired."""
    weight = normal(128, 96)
    across = np.outer(normal(128, seed=1), normal(96, seed=2)).astype(np.float32)
    base = {
        "shrunk": weight,
        "turned": weight,
        "left": weight,
        "wide": weight,
        "gone": weight,
        "broken": weight,
        "heavy": weight,
    }
    heavy = stable.sample(1.4, weight.shape, rng=np.random.default_rng(0))
    tuned = {
        "shrunk": 0.75 * weight,
        "turned": weight + across,
        "left": weight.copy(),
        "wide": normal(128, 64),
        "new": weight,
        "broken": np.full_like(weight, np.nan),
        "heavy": weight + 0.01 * heavy,
    }
    base = {name: each.copy() for name, each in base.items()}  # one array with several names would be tied weights
    found = compared(base, {name: each.astype(np.float32) for name, each in tuned.items()})
    assert {name: row["status"] for name, row in found.items()} == {
        "shrunk": "changed",
        "turned": "changed",
        "left": "unchanged",
        "wide": "other shape: 128 x 64",
        "gone": "in the first only",
        "broken": "not finite",
        "heavy": "changed",
        "new": "in the second only",
    }
    assert (found["shrunk"]["change_norm"], found["shrunk"]["change_cosine"]) == (
        pytest.approx(0.25),
        pytest.approx(-1),
    )
    size = np.linalg.norm(across) / np.linalg.norm(weight)
    assert found["turned"]["change_norm"] == pytest.approx(size, rel=1e-5)
    assert found["turned"]["change_effective_rank_share"] < 0.02
    assert found["shrunk"]["change_effective_rank_share"] > 0.8
    assert found["heavy"]["base_alpha"] == pytest.approx(2, abs=0.05)
    assert found["heavy"]["change_alpha"] == pytest.approx(1.4, abs=0.15)
    assert found["heavy"]["change_reading"] == "stable-like"


def test_two_of_other_networks():
    with pytest.raises(InputError, match="no layer of one name and shape"):
        compared({"a.weight": normal(4, 5)}, {"b.weight": normal(4, 5)})


def test_numbers_in_names_are_steps():
    assert series.steps(["e/10.pt", "e/9.pt"]) == [(9, "e/9.pt"), (10, "e/10.pt")]
    assert series.steps(["run2/a.pt", "run2/b.pt"]) == [(0, "run2/a.pt"), (1, "run2/b.pt")]
    assert series.steps(["s1/m.pt", "s10/m.pt", "s2/m.pt"]) == [(1, "s1/m.pt"), (2, "s2/m.pt"), (10, "s10/m.pt")]
    assert series.steps(["best.pt", "step_3.pt"]) == [(0, "best.pt"), (1, "step_3.pt")]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "epoch={}-val_loss=0.9{}.ckpt",
            "epoch=1-step={}-v1.ckpt",
            "val_acc=0.5{1}-epoch={0}.ckpt",
            "iter_000{}_v2.pt",
        ),
        *("resnet50.{}.pt", "step1.{}.pt"),
        *("global_step{}/a.pt", "Iteration-{}-of-90.pt", "0.1{1}_epochs{0}.pt", "run2-{}_0.5{}.pt"),
    ],
)
def test_steps_are_known_by_their_word_and_are_no_fractions(name):
    names = [name.format(step, other) for step, other in ((9, 1), (10, 0), (8, 2))]
    assert series.steps(names) == [(8, names[2]), (9, names[0]), (10, names[1])]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    rng = np.random.default_rng(0)
    for step, alpha in ((0, 2.0), (100, 1.7), (20, 1.9)):
        weights = {f"{name}.weight": stable.sample(alpha, (64, 32), rng=rng).astype(np.float32) for name in "ab"}
        torch.save({name: torch.from_numpy(weight) for name, weight in weights.items()}, f"run/step_{step}.pt")
    return tmp_path


def test_a_series(folder, capsys):
    assert cli.main(["audit", "run", "--series", "--output", "out"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == "checkpoint 3 of 3: run--step_100.pt"
    assert "3 checkpoints from step 0 to 100" in said.out
    table = tables.read(folder / "out/series/series.parquet")
    assert table["step"].to_pylist() == [0, 0, 20, 20, 100, 100]
    assert (folder / "out/series/series.md").read_text() + "\nPage: out/series/series.html\n" == said.out
    for kind in ("html", "pdf", "png"):
        assert (folder / f"out/series/series.{kind}").stat().st_size > 1000
    (axes,) = audit_figures.series(table).axes
    assert [
        line.get_xdata().tolist() if hasattr(line.get_xdata(), "tolist") else list(line.get_xdata())
        for line in axes.lines[:2]
    ] == [[0, 20, 100]] * 2
    assert axes.get_legend() is None  # it stands above


def test_a_folder_of_folders(folder, capsys):
    for step in (1, 12):
        (folder / f"hub/checkpoint-{step}").mkdir(parents=True)
        torch.save(
            {"a.weight": torch.from_numpy(normal(32, 16, seed=step))}, folder / f"hub/checkpoint-{step}/model.pt"
        )
    assert cli.main(["audit", "hub", "--series"]) == 0
    assert "2 checkpoints from step 1 to 12" in capsys.readouterr().out


def test_a_comparison(folder, capsys):
    assert cli.main(["audit", "run/step_0.pt", "run/step_20.pt", "--compare", "--output", "out"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# Comparison of `run/step_0.pt` and `run/step_20.pt`")
    at = folder / "out/run--step_0.pt--and--run--step_20.pt"
    assert tables.read(at / "comparison.parquet")["status"].to_pylist() == ["changed", "changed"]
    where = f"Page: {(at / 'comparison.html').relative_to(folder)}"
    assert (at / "comparison.md").read_text() + f"\n{where}\n" == text
    assert (folder / where.removeprefix("Page: ")).is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--compare"], "takes two checkpoints, not 3"),
        (["run/step_0.pt", "--series"], "two checkpoints or more"),
    ],
)
def test_too_many_or_too_few(folder, words, said, capsys):
    assert cli.main(["audit", *words]) == 1
    assert said in capsys.readouterr().err


def test_many_layers_have_a_scale_of_colours():
    rows = [
        {"step": step, "layer": n, "layer_name": f"l{n}", "alpha": 1.5 + n / 40, "alpha_low": 1.4, "alpha_high": 2.2}
        for n in range(12)
        for step in (0, 10)
    ]
    import pyarrow as pa

    assert len(audit_figures.series(pa.Table.from_pylist(rows)).axes) == 2
