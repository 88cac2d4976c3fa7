"""The report in Debian's Chromium, driven by playwright."""

import ast
import re
import shutil
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import sync_playwright

from sgdtails.io import tables
from tests.conftest import ROOT
from tests.workflow.conftest import TINY

NUMBERS = """[...document.querySelectorAll('#runs tbody tr')].filter(row => !row.hidden)
    .map(row => row.cells[COLUMN].dataset.value ?? null).map(value => value && Number(value))"""
SERIOUS = ("warning", "error", "assert")  # what the console may not say
ONLY_REPORT = ("--allowed-rules", "report", "--", "report")


@pytest.fixture(scope="module")
def report(finished):
    result = finished.run(TINY, *ONLY_REPORT)
    assert result.returncode == 0, result.stdout
    return finished.folder / "results/tiny/report.html"


@pytest.fixture(scope="module")
def alone(report, tmp_path_factory):
    """Copy the page away from its study: it must need no other file."""
    return Path(shutil.copy(report, tmp_path_factory.mktemp("alone")))


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("no Chromium: install Debian's package chromium")
    with sync_playwright() as driver, driver.chromium.launch(executable_path=executable) as browser:
        yield browser


@pytest.fixture
def shown(browser, alone):
    """Return a function that opens a page in a window of CSS pixels, and lists its requests and its complaints."""
    contexts = []

    def show(path=alone, *, width=1280, dark=False):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            is_mobile=width < 600,
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda said: page.complaints.append(said.text) if said.type in SERIOUS else None)
        page.goto(path.resolve().as_uri())
        return page

    yield show
    for context in contexts:
        context.close()


def column(page, table, title):
    titles = page.evaluate(f"[...document.querySelectorAll('#{table} th')].map(th => th.innerText.trim())")
    return titles.index(title)


def test_the_page_asks_for_nothing_and_complains_of_nothing(shown, alone):
    page = shown()
    assert [url for url in page.asked if not url.startswith("data:")] == [alone.as_uri()]
    assert page.complaints == []


def test_a_request_and_a_complaint_would_be_seen(shown, tmp_path):
    (tmp_path / "bad.html").write_text("<img src='missing.png'><script>console.error('no'); missing()</script>")
    page = shown(tmp_path / "bad.html")
    assert len(page.asked) == 2
    for complaint in ("no", "missing is not defined", "Failed to load"):
        assert any(complaint in said for said in page.complaints), page.complaints


@pytest.mark.parametrize("width", [1280, 390])
def test_every_figure_is_visible_and_within_the_page(shown, report, width):
    page = shown(width=width)
    found = page.evaluate(
        """[...document.images].map(image => {
            image.scrollIntoView(); const box = image.parentElement.getBoundingClientRect();
            return {name: image.closest('figure').id, natural: image.naturalWidth, width: image.width, height: image.height,
                    left: box.left, right: box.right, shown: image.checkVisibility(), alt: image.alt.length,
                    hit: document.elementFromPoint((Math.max(box.left, 0) + box.right) / 2, box.top + 150) === image}})"""
    )
    figures = {path.stem for path in (report.parent / "figures").glob("*.png")}
    assert {image["name"] for image in found} == figures
    for image in found:
        assert image["shown"], image
        assert image["natural"] > 900, image
        assert min(image["width"], image["height"]) > 100, image
        assert 0 <= image["left"] < image["right"] <= width, image
        assert image["alt"] > 40, image
        assert image["hit"], image
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_table_is_sorted_by_click(shown):
    page = shown()
    seconds = column(page, "runs", "Seconds") + 1
    script = NUMBERS.replace("COLUMN", str(seconds - 1))
    before = page.evaluate(script)
    for reverse in (False, True):
        page.click(f"#runs th:nth-child({seconds}) button")
        assert page.evaluate(script) == sorted(before, reverse=reverse)
        order = page.evaluate(f"document.querySelector('#runs th:nth-child({seconds})').getAttribute('aria-sort')")
        assert order == ("descending" if reverse else "ascending")


def test_a_table_is_sorted_by_keyboard(shown):
    page = shown()
    page.focus(".tools[data-for=runs] input")
    for _ in range(2):  # past the scrolling region to the first heading
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('th')?.innerText.trim().slice(0, 3)") == "Run"
    names = "[...document.querySelectorAll('#runs tbody tr')].map(row => row.cells[0].innerText)"
    before = page.evaluate(names)
    page.keyboard.press("Enter")
    ascending = page.evaluate(names)
    page.keyboard.press(" ")
    assert sorted(ascending) == sorted(before)
    assert page.evaluate(names) == ascending[::-1] != ascending
    assert page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "descending"


def test_what_is_missing_comes_last_either_way(shown):
    page = shown()
    average = column(page, "runs", "Test acc., average") + 1
    for _ in range(2):
        page.click(f"#runs th:nth-child({average}) button")
        values = page.evaluate(NUMBERS.replace("COLUMN", str(average - 1)))
        assert None in values
        assert None not in values[: len(values) - values.count(None)]


def test_runs_can_be_filtered_by_status_and_text(shown):
    page = shown()
    found = "[...document.querySelectorAll('#runs tbody tr')].filter(row => row.offsetParent).map(row => row.cells[1].innerText)"
    status, panel = (f".tools[data-for=runs] select[data-column='{column}']" for column in (1, 2))
    page.select_option(status, "diverged")
    assert page.evaluate(found) == ["diverged"]
    assert page.evaluate("document.querySelector('.tools[data-for=runs] output').textContent") == "1 of 3 rows"
    page.focus(".tools[data-for=runs] input")
    page.keyboard.insert_text("no such run")
    assert page.evaluate(found) == []
    page.fill(".tools[data-for=runs] input", "")
    page.select_option(status, "")
    page.select_option(panel, index=1)
    wanted = page.evaluate(f'document.querySelector("{panel}").value')
    panels = page.evaluate(found.replace("cells[1]", "cells[2]"))
    assert panels
    assert set(panels) == {wanted}


def test_text_can_be_read_in_light_and_dark(shown):
    """WCAG asks for a contrast of 4.5, of text and of the colours of verdicts and statuses."""
    script = """(() => {
        const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
        const parse = colour => colour.match(/[\\d.]+/g).map(Number);
        const ground = element => { const c = parse(getComputedStyle(element).backgroundColor);
            return c.length === 4 && c[3] === 0 ? ground(element.parentElement) : c };
        return [...document.querySelectorAll('p, td, th button, .mark, a:not(.skip), caption, dd, dt')].map(element => {
            const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
            return (a + .05) / (b + .05) }) })()"""
    grounds = []
    for dark in (False, True):
        page = shown(dark=dark)
        ratios = page.evaluate(script)
        assert len(ratios) > 100
        assert min(ratios) >= 4.5
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_tables_have_captions_and_headings(shown):
    page = shown()
    assert page.evaluate("[...document.querySelectorAll('table')].every(t => t.caption.textContent.trim().length > 5)")
    assert page.evaluate("[...document.querySelectorAll('th')].every(th => ['col', 'row'].includes(th.scope))")
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
    assert page.evaluate("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")


def test_a_report_is_made_once(finished, report):
    assert finished.planned(TINY, *ONLY_REPORT) == {}


@pytest.mark.parametrize("width", [1400, 390])
def test_no_column_is_cut(shown, width):
    page = shown(width=width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = page.evaluate(
        """[...document.querySelectorAll('table')].map(table => {
            const room = table.parentElement.getBoundingClientRect();
            return [table.id, table.parentElement.scrollWidth - table.parentElement.clientWidth,
                    Math.max(...[...table.querySelectorAll('td, th')].map(cell => cell.getBoundingClientRect().right)) - room.right]})"""
    )
    assert {name for name, *_ in found} == {"matrix", "more", "claims", "runs", "cost", "provenance"}
    for name, hidden, beyond in found:
        assert (name, hidden, max(beyond, 0)) == (name, 0, 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_screen_has_the_verdicts_and_figure_1(shown, report):
    page = shown(width=1400)
    claims = tables.read(report.parent / "tables/claims.parquet").to_pylist()
    statements = dict.fromkeys(row["statement"] for row in claims)
    said = page.evaluate(
        "[...document.querySelectorAll('#matrix th[scope=row], #more th[scope=row]')].map(th => th.textContent)"
    )
    assert len(said) == len(statements)
    for statement in statements:
        assert sum(text.startswith(f"{statement}. ") for text in said) == 1
    tops = page.evaluate(
        "['#matrix', '#fig01 img'].map(each => document.querySelector(each).getBoundingClientRect().top)"
    )
    assert tops[1] < 400
    assert tops[0] < 750
    [heavier] = [row for row in claims if row["claim"] == "heavier_tails"]
    assert page.evaluate("document.querySelector('#matrix td, #more td').textContent.trim()") == heavier["verdict"]


def test_on_a_phone_cells_are_wide_and_pictures_as_large_as_on_paper(shown):
    page = shown(width=390)
    cells = page.evaluate(
        """[...document.querySelectorAll('.rows td')].filter(td => td.textContent).map(td => {
            const text = document.createRange(); text.selectNodeContents(td);
            const lines = text.getBoundingClientRect().height / parseFloat(getComputedStyle(td).lineHeight);
            return [td.textContent, td.textContent.length / lines]})"""
    )
    assert cells
    for text, letters_a_line in cells:
        assert letters_a_line > min(12, len(text)) / 2, text
    sizes = page.evaluate("[...document.images].map(image => [image.naturalWidth, image.width])")
    for natural, width in sizes:
        assert width >= natural / 300 * 90, (natural, width)  # a hundred dots to the inch or so


def test_every_column_of_a_matrix_has_a_verdict(shown):
    page = shown()
    found = page.evaluate(
        """[...document.querySelectorAll('.matrix')].map(table => [...table.tHead.rows[0].cells].slice(1).map((_, place) =>
            [...table.tBodies[0].rows].some(row => row.cells[place + 1]?.querySelector('.mark'))))"""
    )
    assert found
    assert all(all(columns) for columns in found)


@pytest.fixture(scope="module")
def unfinished(finished, tmp_path_factory):
    """A copy of the finished study without one run's average and some tables and figures."""
    workflow = finished.copied(tmp_path_factory.mktemp("copy") / "unfinished")
    study = workflow.folder / "results/tiny"
    for file in ("tables/claims.parquet", "tables/histograms.parquet", "figures/fig02.png", "figures/profiles.png"):
        (study / file).unlink()
    shutil.rmtree(study / "runs/fcn4-digits-b50-lr0.1-s0")
    return workflow


def test_a_report_of_what_is_there_says_how_to_make_the_rest(unfinished, shown):
    result = unfinished.run(TINY, *ONLY_REPORT)
    assert result.returncode == 0, result.stdout
    page = shown(unfinished.folder / "results/tiny/report.html")
    notes = page.evaluate("[...document.querySelectorAll('.absent')].map(note => note.innerText)")
    command = "snakemake --cores all --configfile study.yaml"
    assert "not finished: 1 run, 2 tables, 2 figures to compute" in notes[0]
    assert f"To finish it, run {command}\n" in notes[0]
    assert notes[0].endswith("after . .venv/bin/activate")
    for target in ("fig02", "figure_profiles", "results/tiny/tables/claims.parquet"):
        assert f"Not computed: run {command} -- {target}" in notes
    assert page.evaluate("document.querySelectorAll('#runs tbody tr').length") == 3  # the table is there
    assert page.evaluate("document.querySelectorAll('#cost tbody tr').length") == 1
    assert page.complaints == []
    assert unfinished.planned(TINY, *ONLY_REPORT) == {}


def test_figures_without_tables_are_named_and_the_others_are_drawn(unfinished):
    result = unfinished.run(
        TINY, "--dry-run", "--forcerun", "figure", "--allowed-rules", "figure", "figures", "--", "figures"
    )
    assert result.returncode == 0, result.stdout
    command = "snakemake --cores all --configfile study.yaml"
    said = f"Not drawn: fig02, lawfits: tables are not computed; run `{command} -- fig02 figure_lawfits`."
    assert said in result.stdout
    drawn = len(list((unfinished.folder / "results/tiny/figures").glob("*.pdf"))) - 2  # fig02 and lawfits
    assert re.search(rf"^figures +{drawn}$", result.stdout, re.M), result.stdout


def test_without_any_results_one_sentence_says_which_command_makes_them(fresh):
    result = fresh.run(TINY, *ONLY_REPORT)
    assert result.returncode == 1
    assert "the study tiny has no results yet" in result.stdout
    assert "`snakemake --cores all --configfile study.yaml`" in result.stdout
    assert "Traceback" not in result.stdout


def test_every_figure_has_a_caption():
    """Figures of networks that the tiny study lacks have one too."""
    source = re.search(r"^FIGURE_TABLES = (\{.*?^\})", (ROOT / "rules/targets.smk").read_text(), re.M | re.S)
    captions = yaml.safe_load((ROOT / "workflow/report/captions.yaml").read_text())
    assert source
    assert set(captions) == set(ast.literal_eval(source[1]))
