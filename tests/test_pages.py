"""Pages for people: what README.md says follows from the studies' tables, and every page can be found, linked to and read."""

import argparse
import re
import shutil
import subprocess

import numpy as np
import pytest
import yaml
from scipy.stats import spearmanr

import sgdtails
from benchmarks import grid_cost, iterations
from sgdtails import cli
from sgdtails.io import tables
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    page
    for pattern in ("README.md", "CONTRIBUTING.md", "config/README.md", "docs/*.md", "studies/*/README.md")
    for page in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\((?!http)([^)#\s]+)")
CLAIMS = {
    "a larger η/b gives heavier tails": "heavier_tails",
    "heavier-tailed layers can be pruned more at a fixed error": "layers_prune",
    "heavier-tailed networks keep more accuracy: magnitude pruning by layer": "prunable_layer_magnitude",
    "... global magnitude pruning": "prunable_global_magnitude",
    "... singular-value pruning": "prunable_singular_value",
    "heavier-tailed networks have a higher test accuracy": "generalises",
    "... up to a point only": "up_to_a_point",
    "heavier-tailed networks have a smaller generalisation gap": "smaller_gap",
}


def rows(study, table):
    return tables.read(ROOT / study / f"tables/{table}.parquet").to_pylist()


WIDEST = {"studies/mnist-width": "2048"}  # the panel that stands in the table


def matrix():
    """Return the columns of README's table: the folder of a study, and its verdicts by claim."""
    head, _, *lines = [line.strip("| ").split(" | ") for line in README.splitlines() if line.startswith("|")][:10]
    studies = [re.search(r"\((studies/[\w-]+)/README\.md\)", cell)[1] for cell in head[1:]]
    return {study: {line[0]: line[column] for line in lines} for column, study in enumerate(studies, 1)}


@pytest.mark.parametrize("study", matrix())
def test_the_table_of_readme_has_the_verdicts_of_the_studies(study):
    verdicts = {row["claim"]: row["verdict"] for row in rows(study, "claims") if WIDEST.get(study, "") in row["panel"]}
    assert {text: cell.rstrip("*") for text, cell in matrix()[study].items()} == {
        text: verdicts[claim] for text, claim in CLAIMS.items()
    }


def test_the_tables_of_the_paper_s_grid_follow_from_the_studies(config):
    """Laws of iterations, and the costs that docs/performance.md computes from them for an H200's peaks."""
    laws = iterations.laws(iterations.read())
    assert sorted(laws) == ["cnn", "fcn4", "fcn6"]
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert "`--flops 67e12 --bandwidth 4.3e12`" in page
    costs = grid_cost.table(config, grid_cost.How(peaks=(67e12, 4.3e12), laws=laws))
    for lines in (iterations.report(laws), costs):
        assert "\n".join(lines) in page


def test_what_readme_says_of_width():
    claims = rows("studies/mnist-width", "claims")
    alpha = {row["verdict"] for row in claims if row["claim"] == "width_alpha"}
    kept = {row["verdict"] for row in claims if row["claim"].startswith("width_accuracy_")}
    errors = [row["verdict"] for row in claims if row["claim"].startswith("width_errors_")]
    assert "contradicted" not in alpha
    assert kept == {"supported"}
    assert errors.count("contradicted") == len(errors) - 1
    runs = [row for row in rows("studies/mnist-width", "runs") if row["status"] == "converged"]
    means = [
        np.mean([run["alpha"] for run in runs if (run["width"], run["step_size"]) == setting])
        for setting in {(run["width"], run["step_size"]) for run in runs}
    ]
    assert (f"{min(means):.2f}", f"{max(means):.2f}") == re.search(
        r"between\s+(1\.\d\d) and (1\.\d\d)", README
    ).groups()


def test_what_the_page_of_claims_says_of_laws():
    found = {row["claim"]: row for row in rows("studies/control-full-batch", "claims")}
    entries, of_rows = (found[f"nearer_to_stable_{name}"] for name in ("entries", "rows"))
    assert (entries["verdict"], of_rows["verdict"]) == ("supported", "contradicted")
    assert 4e-4 < entries["effect"] < 6e-4
    narrow = [row for row in rows("studies/mnist-narrow", "claims") if row["claim"].startswith("nearer_to_stable")]
    assert [row["verdict"] for row in narrow] == ["contradicted", "contradicted"]


def test_what_readme_says_of_labels():
    labels = [row["reading"] for row in rows("studies/mnist-narrow", "readings") if row["weights"] == "average"]
    counts = [labels.count(label) for label in ("scale-mixture-like", "stable-like", "undecided")]
    found = re.search(r"Of (\d+) layers .*?, (\d+) have .*?, (\d+) look .*?\s(\d+) are\s+undecided", README, re.S)
    assert [int(number) for number in found.groups()] == [len(labels), *counts]


def test_what_readme_says_of_step_sizes():
    """Pairs of rho with the step size and with the ratio, for the three networks in the order of the table."""
    pairs = []
    for study in ("mnist-narrow", "mnist-narrow-fcn6", "mnist-narrow-cnn"):
        runs = [row for row in rows(f"studies/{study}", "runs") if row["status"] == "converged"]
        alpha = [run["alpha"] for run in runs]
        pairs += [spearmanr([run[key] for run in runs], alpha).statistic for key in ("step_size", "eta_over_b")]
    part = README.partition("Spearman's")[2].partition("**Does width")[0]
    assert re.findall(r"\N{MINUS SIGN}\d\.\d\d", part) == [f"\N{MINUS SIGN}{-rho:.2f}" for rho in pairs]


def test_python_of_readme(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((128, 64), np.float32)
    state_dict = {"fc.weight": weights, "head.weight": rng.standard_normal((10, 128), np.float32)}
    np.savez(tmp_path / "my.npz", **state_dict)
    (tmp_path / "my.npz").rename(tmp_path / "my.safetensors")  # the first bytes of a file say what it is
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    named = {"weights": weights, "state_dict": state_dict}
    exec(code, named)
    assert len(named["page"].table().to_pandas()) == 2
    assert named["found"].label in ("finite-variance-like", "undecided")
    assert (named["small"]["fc.weight"] != weights).mean() == pytest.approx(0.9, abs=0.01)
    assert sgdtails.InputError


def test_readme_is_short():
    prose = re.sub(r"^(```.*?^```|\|.*?)$", "", README, flags=re.M | re.S)
    assert len(prose.split()) < 480


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lists_and_tables_are_seen_as_such_on_the_site(page):
    """Python's Markdown, other than GitHub's, wants an empty line before a list, and tables at the margin."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        assert not re.match(r" +\|", line), line
        assert not (line.startswith("- ") and before and not re.match(r"- |\s|\||#", before)), line


def nav(entries):
    """List the pages of a part of the navigation."""
    for entry in entries:
        value = entry if isinstance(entry, str) else next(iter(entry.values()))
        yield from [value] if isinstance(value, str) else nav(value)


def test_every_page_is_in_the_navigation_and_in_the_list_of_pages():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(nav(yaml.safe_load(text[text.index("\nnav:") :])["nav"]))
    assert listed == {page.relative_to(ROOT).as_posix() for page in PAGES} | {"CHANGELOG.md"}
    index = ROOT / "docs/README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text(encoding="utf-8"))}
    assert linked >= set(PAGES) - {index, ROOT / "README.md"}


def test_the_page_of_commands_lists_every_command_and_option():
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    (commands,) = [action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert set(re.findall(r"`sgdtails (\w+)", page)) == set(commands.choices)
    options = {
        option
        for command in commands.choices.values()
        for action in command._actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }
    sgdtails_part = page.partition("## `snakemake`")[0]
    assert set(re.findall(r"--[a-z]+", sgdtails_part)) == options


def test_targets_of_make_on_the_page_of_commands_exist():
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(), re.M)[1].split())
    named = set(re.findall(r"`make ([\w-]+)", page))
    assert {target for target in named if not re.fullmatch(r"fig\d\d", target)} <= targets  # a figure's is a pattern


@pytest.mark.slow("builds the site and opens every page in a browser")
@pytest.mark.parametrize("width", [1400, 390])
def test_the_site_needs_no_network_and_fits_the_window(tmp_path, width):
    playwright = pytest.importorskip("playwright.sync_api")
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("no Chromium: install Debian's package chromium")
    site = tmp_path / "site"
    subprocess.run(["mkdocs", "build", "--strict", "--site-dir", site], cwd=ROOT, check=True)
    asked, complaints, too_wide = [], [], []
    with playwright.sync_playwright() as driver, driver.chromium.launch(executable_path=executable) as browser:
        page = browser.new_context(viewport={"width": width, "height": 900}, is_mobile=width < 600).new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        for file in sorted(site.rglob("*.html")):
            if file.name != "404.html":  # its links begin at a server's root
                page.goto(file.as_uri())
                if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    too_wide.append(file.name)
                if file == site / "index.html":  # its table of verdicts is seen whole
                    cut = "table => table.getBoundingClientRect().right > innerWidth"
                    too_wide += ["table"] * page.evaluate(
                        f"[...document.querySelectorAll('table')].filter({cut}).length"
                    )
    assert (complaints, too_wide) == ([], [])
    assert not [url for url in asked if url.startswith("http")]
    assert len(asked) > 100


@pytest.mark.slow("builds the site")
def test_a_dead_link_or_anchor_ends_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("config", "docs", "studies", "examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder, dirs_exist_ok=True)
    with (tmp_path / "docs/glossary.md").open("a", encoding="utf-8") as page:
        page.write("[one](nothing.md) [two](tables.md#nowhere)\n")
    command = (ROOT / "Makefile").read_text().partition("\ndocs-site:")[2].splitlines()[1].split()
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert built.returncode == 1
    assert "nothing.md" in built.stderr
    assert "#nowhere" in built.stderr
