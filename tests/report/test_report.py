from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from sgdtails.errors import InputError
from sgdtails.io import tables
from sgdtails.labels import Labels
from sgdtails.report import page, page_tables, page_words
from sgdtails.schemas import run_schemas
from tests.conftest import PLAIN, ROOT

TEMPLATES = ROOT / "workflow/report"
CAPTION = page.Caption(title="x", category="trust", shows="x", read="x", alt="x")


MISSING = (
    *(name for name, *_ in run_schemas.AVERAGES),
    "kind",
    "width",
    "depth",
    "effective_step_size",
    "train_size",
    "alpha",
    "mean_alpha",
    "mean_alpha_published",
)
RUN = {
    "run": "a", "dataset": "digits", "model": "fcn4", "batch_size": 10, "step_size": 0.1, "eta_over_b": 0.01, "seed": 0,
    "status": "converged", "iterations": 100, "train_nll": 0.1, "train_accuracy": 1.0, "test_nll": 0.1, "test_accuracy": 0.9,
    "seconds": 3600.0, "device": "cpu", "precision": "fp32",
}  # fmt: skip
CLAIM = {
    "claim": "c", "panel": "FCN4, DIGITS", "statement": "a < b", "source": "figure 1", "supports": "negative",
    "quantities": "eta/b", "effect_name": "spearman_rho", "effect": -0.5, "effect_low": -1.0, "effect_high": 0.0,
    "slope": None, "p": 0.1, "p_holm": 0.2, "n": 5, "seeds": 1, "excluded": 0, "excluded_why": None,
    "verdict": "undecided", "reason": "p is large",
}  # fmt: skip


def run(name, **values):
    return RUN | PLAIN | dict.fromkeys(MISSING) | {"run": name} | values


def written(folder, name, rows):
    tables.write(name, rows, folder / f"{name}.parquet", provenance={"code": "abcdef"})
    return tables.read(folder / f"{name}.parquet")


def test_the_cost_is_the_sum_of_its_panels():
    rows = [run("a"), run("b", seconds=1800.0), run("c", model="cnn", seconds=7200.0, device="H100")]
    averaging = [{"run": name, "seconds": 360.0} for name in "abc"]
    cost = page_tables.cost(rows, averaging)
    hours = {line[0].text: [cell.value for cell in line[3:7]] for line in (*cost.rows, cost.total)}
    assert hours == {
        "FCN4, digits": pytest.approx([1.5, 0.2, 1.7, 0.85]),
        "CNN, digits": pytest.approx([2.0, 0.1, 2.1, 2.1]),
        "All": pytest.approx([3.5, 0.3, 3.8, 3.8 / 3]),
    }
    assert cost.total[-1].text == "H100, fp32, cpu, fp32"


def test_a_claim_without_an_effect_has_empty_cells():
    bare = dict.fromkeys(("effect", "effect_low", "effect_high", "p", "p_holm"))
    [row] = page_tables.claims([CLAIM | bare]).rows
    assert [cell.text for cell in row[3:6]] == ["", "", ""]
    assert [cell.value for cell in row[3:6]] == [None, None, None]


def test_text_cannot_become_part_of_the_page(tmp_path):
    hostile = "<script>alert(1)</script>"
    html = page.page(
        hostile,
        tables={
            "runs": written(tmp_path, "runs", [run("r")]),
            "claims": written(tmp_path, "claims", [CLAIM | {"statement": hostile}]),
        },
        training=[run("r")],
        averaging=[{"run": "r", "seconds": 1.0}],
        drawn=[page.Picture("f", replace(CAPTION, alt='" onload="x'), "data:,", width=1, height=1)],
        config={"study": hostile},
        templates=TEMPLATES,
    )
    assert hostile not in html
    assert '" onload="' not in html
    assert html.count("<script>") == 1
    assert "abcdef" in html  # the digest of the code


def test_a_page_of_nothing_but_trained_runs_names_what_is_missing():
    missing = page.Missing(figures=["fig05"], tables=["runs", "claims"], runs=2, command="snakemake --cores all --")
    rest = {"drawn": [], "config": {}, "templates": TEMPLATES}
    html = page.page("s", tables={}, training=[run("r")], averaging=[], missing=missing, **rest)
    for said in ("1 of 3", "2 runs, 2 tables, 1 figure to", "all -- fig05<", "results/s/tables/runs.parquet<"):
        assert said in html
    assert html.count(". .venv/bin/activate") == 1
    assert "<dt>Verdicts</dt><dd>not computed</dd>" in html
    assert (
        html.count("all -- results/s/tables/claims.parquet<") == 2
    )  # on the first screen, and where the claims would be
    assert (
        "Not computed" not in page.page("s", tables={}, training=[run("r")], averaging=[], **rest).split("<h2>Runs")[1]
    )


def test_pictures_are_embedded_in_their_size(tmp_path):
    Image.new("RGBA", (30, 20), (0, 0, 255, 255)).save(tmp_path / "fig01.png")
    [picture] = page.pictures([tmp_path / "fig01.png"], {"fig01": CAPTION})
    assert (picture.width, picture.height) == (30, 20)
    assert picture.uri.startswith("data:image/png;base64,")


def test_captions_are_plain_text():
    captions = page.captions(TEMPLATES / "captions.yaml").values()
    assert captions
    for text in (text for caption in captions for text in asdict(caption).values()):
        assert not set(text) & set("`*<>"), text


def test_panels_of_claims_have_the_names_that_figures_have():
    runs = [run("a", kind="fcn"), run("b", kind="fcn", model="fcn6", variant="m0.9")]
    claims = [
        {"panel": panel}
        for panel in ("FCN4, DIGITS", "FCN6, DIGITS, m0.9", "FCN, DIGITS", "DIGITS, FCN, eta = 1", "all")
    ]
    found = page_words.panel_titles(claims, runs, Labels({"fcn4": "FCN4, width 8"}))
    assert list(found.values()) == [
        "FCN4, width 8, digits",
        "FCN6, digits, momentum 0.9",
        "every FCN, digits",
        "digits, every FCN, η = 1",
        "all",
    ]


def test_a_figure_without_a_caption_is_an_error(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "own.png")
    with pytest.raises(InputError, match="own has no caption; add one"):
        page.pictures([tmp_path / "own.png"], {})


@pytest.mark.parametrize("change", [{"category": "art"}, {"more": "x"}])
def test_a_caption_that_says_too_much_or_the_wrong_thing_is_an_error(tmp_path, change):
    path = Path(tmp_path / "captions.yaml")
    path.write_text(yaml.safe_dump({"own": asdict(CAPTION) | change}))
    with pytest.raises(InputError, match="own: a caption has alt, category, read, shows, title"):
        page.captions(path)
