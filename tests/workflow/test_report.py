import ast
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests import browser
from tests.conftest import ROOT
from tests.workflow.conftest import TINY

NUMBERS = """[...document.querySelectorAll('#runs tbody tr')].filter(row => !row.hidden)
    .map(row => row.cells[COLUMN].dataset.value ?? null).map(value => value && Number(value))"""
ONLY_REPORT = ("--allowed-rules", "report", "--", "report")


@pytest.fixture(scope="module")
def report(finished):
    result = finished.run(TINY, *ONLY_REPORT)
    assert result.returncode == 0, result.stdout
    return finished.folder / "results/tiny/report.html"


@pytest.fixture(scope="module")
def alone(report, tmp_path_factory):
    """The page away from its study: it must need nothing beside itself."""
    return Path(shutil.copy(report, tmp_path_factory.mktemp("alone")))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if not browser.EXECUTABLE:
        pytest.skip("no Chromium: install Debian's package chromium")
    with browser.page(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page


def column(page, table, title):
    titles = page.evaluate(f"[...document.querySelectorAll('#{table} th')].map(th => th.innerText.trim())")
    return titles.index(title)


def test_the_page_asks_for_nothing_and_complains_of_nothing(page, alone):
    page.open(alone, width=1280, height=900)
    assert page.requests() == [alone.as_uri()]
    assert page.problems() == []


def test_a_request_and_a_complaint_would_be_seen(page, tmp_path):
    (tmp_path / "bad.html").write_text("<img src='missing.png'><script>console.error('no')</script>")
    page.open(tmp_path / "bad.html", width=1280, height=900)
    assert len(page.requests()) == 2
    assert any("no" in problem for problem in page.problems())


@pytest.mark.parametrize("width", [1280, 390])
def test_every_figure_is_visible_and_within_the_page(page, report, alone, width):
    page.open(alone, width=width, height=850)
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


def test_a_table_is_sorted_by_click(page, alone):
    page.open(alone, width=1280, height=900)
    seconds = column(page, "runs", "Seconds") + 1
    script = NUMBERS.replace("COLUMN", str(seconds - 1))
    before = page.evaluate(script)
    for reverse in (False, True):
        page.click(f"#runs th:nth-child({seconds}) button")
        assert page.evaluate(script) == sorted(before, reverse=reverse)
        order = page.evaluate(f"document.querySelector('#runs th:nth-child({seconds})').getAttribute('aria-sort')")
        assert order == ("descending" if reverse else "ascending")


def test_a_table_is_sorted_by_keyboard(page, alone):
    page.open(alone, width=1280, height=900)
    page.evaluate("document.querySelector('.tools[data-for=runs] input').focus()")
    for _ in range(2):  # past the scrolling region to the first heading
        page.press("Tab", 9)
    assert page.evaluate("document.activeElement.closest('th')?.innerText.trim().slice(0, 3)") == "Run"
    names = "[...document.querySelectorAll('#runs tbody tr')].map(row => row.cells[0].innerText)"
    before = page.evaluate(names)
    page.press("Enter", 13, "\r")
    ascending = page.evaluate(names)
    page.press(" ", 32, " ")
    assert sorted(ascending) == sorted(before)
    assert page.evaluate(names) == ascending[::-1] != ascending
    assert page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "descending"


def test_what_is_missing_comes_last_either_way(page, alone):
    page.open(alone, width=1280, height=900)
    average = column(page, "runs", "Test acc., average") + 1
    for _ in range(2):
        page.click(f"#runs th:nth-child({average}) button")
        values = page.evaluate(NUMBERS.replace("COLUMN", str(average - 1)))
        assert None in values
        assert None not in values[: len(values) - values.count(None)]


def test_runs_can_be_filtered_by_status_and_text(page, alone):
    page.open(alone, width=1280, height=900)
    shown = "[...document.querySelectorAll('#runs tbody tr')].filter(row => row.offsetParent).map(row => row.cells[1].innerText)"
    page.evaluate(
        """(select => { select.value = 'diverged'; select.dispatchEvent(new Event('change')) })
           (document.querySelector('.tools[data-for=runs] select'))"""
    )
    assert page.evaluate(shown) == ["diverged"]
    assert page.evaluate("document.querySelector('.tools[data-for=runs] output').textContent") == "1 of 3 rows"
    page.evaluate("document.querySelector('.tools[data-for=runs] input').focus()")
    page.send("Input.insertText", text="no such run")
    assert page.evaluate(shown) == []


def test_text_can_be_read_in_light_and_dark(page, alone):
    """Contrast of text and of every verdict's and status's colour against its ground: WCAG asks for 4.5."""
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
        page.open(alone, width=1280, height=900, dark=dark)
        ratios = page.evaluate(script)
        assert len(ratios) > 100
        assert min(ratios) >= 4.5
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_tables_have_captions_and_headings(page, alone):
    page.open(alone, width=1280, height=900)
    assert page.evaluate("[...document.querySelectorAll('table')].every(t => t.caption.innerText.length > 5)")
    assert page.evaluate("[...document.querySelectorAll('th')].every(th => th.scope === 'col')")
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
    assert page.evaluate("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")


def test_a_report_is_made_once(finished, report):
    assert finished.planned(TINY, *ONLY_REPORT) == {}


def test_without_a_finished_study_one_sentence_says_which_command_makes_it(fresh):
    result = fresh.run(TINY, *ONLY_REPORT)
    assert result.returncode == 1
    assert "the study tiny is not finished" in result.stdout
    assert "`snakemake --cores all --configfile study.yaml`" in result.stdout
    assert "Traceback" not in result.stdout


def test_every_figure_has_a_caption():
    """Those of networks that the tiny study lacks too."""
    source = re.search(r"^FIGURE_TABLES = (\{.*?^\})", (ROOT / "rules/targets.smk").read_text(), re.M | re.S)
    captions = yaml.safe_load((ROOT / "workflow/report/captions.yaml").read_text())
    assert source
    assert set(captions) == set(ast.literal_eval(source[1]))
