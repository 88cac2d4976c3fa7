import re

import pandas as pd
import pytest

from sgdtails.report import reference
from sgdtails.schemas import study_schemas as schemas
from sgdtails.tail_index.estimators import ESTIMATORS
from tests.conftest import ROOT


@pytest.mark.parametrize("page", ["tables", "config"])
def test_the_page_is_what_make_docs_writes(page):
    assert (ROOT / f"docs/{page}.md").read_text(encoding="utf-8") == getattr(reference, page)()


def test_every_column_and_every_key_or_its_section_has_a_meaning():
    columns = [line for line in reference.tables().splitlines() if line.startswith("| `")]
    assert len(columns) == sum(len(schema) for schema in schemas.SCHEMAS.values())
    assert not [row for row in columns if row.endswith("|  |")]
    rows = [line.split(" | ") for line in reference.config().splitlines() if line.startswith("| `")]
    meanings = {row[0].strip("| `"): row[-1].strip(" |") for row in rows}
    tops = {"datasets", "datasets.sources.<name>", "models.<name>", "tails", "pruning"}  # their keys say what they hold
    for key, meaning in meanings.items():
        assert meaning or meanings.get(key.rpartition(".")[0]) or key in tops, key


def test_the_column_of_estimators_names_each():
    said = schemas.SCHEMAS["tails"].field("estimator").metadata[b"meaning"].decode()
    assert not [name for name in ESTIMATORS if name not in said]


def test_comments_beside_a_key_or_above_it_are_its_own():
    text = "# Of one.\none: 1\ntwo:  # of two\n  three: 3  # of three\n  four: {a: 1}\nfive: 5\n"
    assert reference.comments(text) == {
        "one": "Of one.",
        "two": "of two",
        "two.three": "of three",
        "two.four": "",
        "five": "",
    }


def test_commands_of_the_pages_end_their_config_files_before_a_target():
    """Snakemake takes any word after --configfile for a further file, up to an option or ``--``."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("studies/*/README.md"), *ROOT.glob("examples/*")]
    texts = [page.read_text(encoding="utf-8") for page in pages if page.is_file()]
    after = [word for text in texts for word in re.findall(r"--configfile [^\s`]+ +([^\s#]+)", text)]
    assert len(after) > 5
    assert not [word for word in after if not word.startswith("-")]


def test_the_overview_lists_every_table():
    assert set(re.findall(r"\(#(\w+)\)", reference.TABLES)) == set(schemas.SCHEMAS)


def test_several_studies_in_one_frame(tmp_path, monkeypatch):
    """The lines of docs/tables.md."""
    for study in ("demo", "mine"):
        folder = tmp_path / f"results/{study}/tables"
        folder.mkdir(parents=True)
        pd.DataFrame({"run": [f"{study}-1"]}).to_parquet(folder / "runs.parquet")
    monkeypatch.chdir(tmp_path)
    blocks = [part.removeprefix("python") for part in reference.TABLES.split("```") if part.startswith("python")]
    (code,) = [block for block in blocks if "concat" in block]
    found: dict = {}
    exec(code, found)
    assert sorted(found["runs"].reset_index()["study"]) == ["demo", "mine"]
