"""The page: sentences, tables, and names of any kind, as Markdown and as HTML."""

import copy
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import sgdtails
from sgdtails.audit import layers, result
from sgdtails.audit.formats import nested
from sgdtails.audit.page import answer, html, markdown, sections, verdict
from sgdtails.audit.page.blocks import Cell, Name, Page, Section, Table
from sgdtails.errors import InputError
from sgdtails.stable import sampling as stable

NULLS = {"replicates": 19, "entries": 2**12}
NAMES = [
    "a/b",
    "a b",
    "a\nb",
    "a|b",
    "x" * 300,
    "__proto__",
    "`a``",
    "<script>alert(1)</script>",
    "*a*[b](c)",
    "\ud800",
    "a\\|b",
    "&amp;",
]


@pytest.fixture(scope="module")
def audited():
    rng = np.random.default_rng(0)
    weights = {"light": rng.standard_normal((128, 64)), "heavy": stable.sample(1.3, (128, 64), rng=rng)}
    weights["embed"] = rng.standard_normal((100, 16))
    weights["embed"][:30] = 0
    state = {f"{name}.weight": weight.astype(np.float32) for name, weight in weights.items()}
    return sgdtails.audit(state | {"bias": np.zeros(3, np.float32), "step": 3}, name="mine", nulls=NULLS)


@pytest.mark.parametrize(
    ("laws", "said"),
    [
        ([None], []),
        (["laplace", None], [" The likeliest law of the weights is laplace in 1 layer."]),
        (
            ["stable", "laplace", "stable", "undecided"],
            [
                " The likeliest law of the weights is stable in 2 layers, laplace in 1; two laws are too close to call in 1."
            ],
        ),
        (["undecided", "undecided"], [" Two laws are too close to call in 2 layers."]),
    ],
)
def test_the_laws_of_layers_are_one_sentence(laws, said):
    assert answer.laws([{"law": law} for law in laws]) == said


def test_the_table_names_the_law_its_index_or_both_that_are_close(audited):
    (table,) = (section.table for section in audited.page.sections if section.title == "Layers")
    column = [title for title, _ in table.columns].index("best law")
    shown = ["".join(map(str, line[column].text)) for line in table.rows]
    index = next(row["law_tail_index"] for row in audited.rows["audit"] if row["layer_name"] == "heavy")
    assert shown[:2] == ["gaussian", f"stable ({index:.2f})"]
    close = {"law": "undecided", "law_best": "stable", "law_rival": "student-t", "law_tail_index": 1.9}
    assert sections.law(close) == "stable or student-t"


class Reader(HTMLParser):
    """The cells of every table, and tags that are open at the end."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.open, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("meta", "link", "img", "line", "circle"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open:
            self.cells[-1] += data


def test_the_answer_comes_first(audited):
    text = audited.markdown()
    lines = [line for line in text.splitlines() if line]
    assert lines[0] == "# Audit of `mine`"
    assert lines[1].startswith(
        "1 of 3 layers looks like a heavy-tailed law: `heavy`; of the others 2 are undecided. How sure: "
    )
    assert " Pruning is easier than for Gaussian weights: " in lines[1]
    assert lines[2].startswith("`state_dict`: 3 layers with 17,984 weights, of 4 arrays: ")
    assert lines[3].startswith(
        "Compared with Gaussian layers of the same shape, 1 of 3 layers has rows of a lower tail index: "
    )
    assert re.search(r": `heavy` \(1\.\d\d where Gaussian layers have (1\.9|2\.0)\d\)\.", lines[3])
    assert re.search(
        r"\d+% of all entries can go at a relative error of 1% and \d+% at .* 10%; of Gaussian ones 5\.8% and 27%\.",
        lines[4],
    )
    assert "480 weights are zero (2.7%), and dead are 30 rows or kernels of `embed`." in lines[4]
    assert [line for line in lines if line.startswith("## ")] == [
        "## Layers",
        "## Zeros and dead rows",
        "## How to read this page",
    ]


def test_an_interval_that_may_be_too_short_is_marked(audited):
    assert not [line for line in audited.markdown().splitlines() if "\\*" in line]
    marked = copy.deepcopy(audited)
    marked.rows["audit"][0]["interval_holds"] = False
    lines = [line for line in marked.markdown().splitlines() if "\\*" in line]
    assert [bool(re.match(r"\| 0 \| `light` \| .*?\]\\\* \|", lines[0])), *lines[1:]] == [True, f"\\{sections.NOTE}"]
    assert f"<p>{sections.NOTE}</p>" in marked.html()


def test_every_cell_has_its_heading_for_a_phone(audited):
    text = audited.html()
    for body in re.findall(r'<table id="\w+" class="rows">.*?</table>', text, re.S):
        heads = re.findall(r'<th scope="col"[^>]*><button type="button">(.*?)<', body)
        for line in re.findall("<tr><td.*?</tr>", body):
            assert re.findall('<td[^>]* data-label="(.*?)"', line) == heads


def test_every_undecided_layer_says_why_and_what_would_decide(audited):
    for line in audited.markdown().splitlines():
        if "| undecided" in line:
            assert re.search(r"undecided: .+; would be decided by .+ \|", line)


def test_what_was_left_out_is_one_line():
    skipped = [
        {"name": name, "shape": "3", "dtype": "float32", "reason": why}
        for name, why in (("m", "a mask"), ("n", "a mask"), ("c", "a cache"))
    ]
    said = "Left out: 2 as a mask, 1 as a cache"
    assert "".join(sections._skipped(skipped, with_files=True)) == f"{said}; table skipped names them."
    assert "".join(sections._skipped(skipped, with_files=False)) == f"{said}."


def test_a_page_names_files_only_where_they_are_written(audited, tmp_path):
    words = ("plan.json", "parquet", "table skipped")
    for page in (audited.markdown(), audited.html(), audited._repr_html_(), audited._repr_markdown_()):
        assert not any(word in page for word in words)
    paths = {kind: tmp_path / kind for kind in ("text", "html", "plan")}
    audited.write(**paths)
    for kind, named in (("text", ("plan.json", "table skipped")), ("html", words)):
        text = paths[kind].read_text()
        assert all(word in text for word in named), kind


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind(name):
    table = Table("layers", "Names", [("name", False), ("number", True)], [[Cell([Name(name)]), Cell(["1"], 1.0)]])
    page = Page(["Audit of ", Name(name)], [["About ", Name(name), "."]], [Section("Layers", table=table)])
    lines = markdown.write(page).splitlines()
    (line,) = [line for line in lines if line.endswith("| 1 |")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 3  # bars that end cells
    assert len(lines) == 9
    text = html.write(page)
    text.encode()
    reader = Reader(text)
    assert reader.open == []
    assert reader.tags.count("script") == 1
    assert reader.cells == [Name(name).shown, "1"]
    assert len(Name(name).shown) <= 60


def test_layers_of_any_name_are_audited():
    state = {
        f"{name}.weight": np.random.default_rng(n).standard_normal((16, 8)).astype(np.float32)
        for n, name in enumerate(NAMES)
    }
    found = sgdtails.audit(state, nulls=NULLS)
    names = [name.replace("\ud800", "?") for name in NAMES]  # no table could hold half a character
    assert [row["layer_name"] for row in found.rows["audit"]] == found.table()["layer_name"].to_pylist() == names
    assert Reader(found.html()).open == []
    assert len([line for line in found.markdown().splitlines() if line.startswith("| ")]) == 1 + len(NAMES)
    assert len(found.plan()["by_error"]["0.1"]) == len(NAMES)


def test_keys_and_names_in_sentences_are_printable():
    """The key that leads to a network, and names within the reasons why arrays are left out."""
    weight = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    state = nested.weights({"model_\n## \u202e\ud800": {"a\n\u202e.weight": weight, "b.weight": weight}}, where="it")
    rows = layers.audit(state, where="it", seed=0, entries=2**20, nulls=NULLS, epsilon=[0.1])
    page = sections.page("mine", "mine.pt", rows, arrays=2, read_as=state.read_as)
    for text in (markdown.write(page), html.write(page)):
        assert r"its model" in text
        assert "the same weights as a" in text
        assert not {"\u202e", "\ud800"} & {*text}
        assert "\n##  " not in text


def test_a_notebook_shows_the_page(audited):
    assert audited._repr_markdown_() == audited.markdown()
    shown = audited._repr_html_()
    assert Reader(shown).open == []
    assert "<script" not in shown
    assert "<h1>" not in shown
    assert audited.table().num_rows == 3
    assert audited.table("audit_profiles").num_rows > 10


def test_settings_that_are_none():
    with pytest.raises(InputError, match="unknown setting 'epsilons'.*did you mean 'epsilon'"):
        sgdtails.audit({"a": np.ones((3, 3))}, epsilons=[0.1])
    assert result.settings()["entries"] == 2**24


def test_a_file_that_is_not_there_is_named_without_a_config():
    with pytest.raises(InputError, match=r"^checkpoint no\.pt: cannot read 'no\.pt'"):
        sgdtails.audit("no.pt")


def test_the_numbers_are_those_of_an_array():
    """Where no row is dead or left out: index, interval and label of ``tail_index.estimate``."""
    rng = np.random.default_rng(1)
    state = {
        name: stable.sample(1.8, shape, rng=rng).astype(np.float32)
        for name, shape in (("a", (100, 64)), ("b", (10, 100)))
    }
    found = sgdtails.audit(state, nulls=NULLS)
    for row, head in zip(found.rows["audit"], (False, True), strict=True):
        weights = state[row["layer_name"]]
        rows = sgdtails.tail_index.estimate(weights, head=head)
        assert (row["alpha"], row["alpha_low"], row["alpha_high"], row["reading"]) == (
            rows.alpha,
            rows.low,
            rows.high,
            rows.label,
        )
        entries = sgdtails.tail_index.estimate((weights.T if head else weights).ravel())
        assert (row["entries_alpha"], row["entries_alpha_low"]) == (entries.alpha, entries.low)


def test_shares_of_gaussian_layers():
    """The squares of the smallest share of a Gaussian sample add up to the square of the error."""
    squares = np.sort(np.random.default_rng(0).standard_normal(10**6) ** 2)
    held = np.cumsum(squares) / squares.sum()
    for level, share in verdict.GAUSSIAN_SHARES.items():
        assert np.searchsorted(held, level**2) / 10**6 == pytest.approx(share, abs=0.002)


def test_a_page_of_layers_without_numbers():
    page = sgdtails.audit({"a.weight": np.zeros((0, 3), np.float32)}, nulls=NULLS).markdown()
    assert "No weight is zero, and no row is dead." in page


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (1, "Nothing can be said of what can be removed.\n"),
        (2, " Of the 1 layer that can be counted, no weight is zero, and no row"),
    ],
)
def test_a_page_counts_no_zeros_of_weights_that_are_not_finite(layers, said):
    state = {name: np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32) for name in "ab"[:layers]}
    state["a"][:32], state["a"][40] = 0, np.nan
    page = sgdtails.audit({f"{name}.weight": weight for name, weight in state.items()}, nulls=NULLS).markdown()
    assert said in page
    assert "No weight is zero" not in page


def test_a_page_counts_one_layer_and_one_zero_in_the_singular():
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    weight[0, 0] = 0
    page = sgdtails.audit({"a.weight": weight}, nulls=NULLS).markdown()
    assert " 1 weight is zero (under 0.1%), and no row is dead." in page
    assert "no layer of 1 has rows of a lower tail index" in page
