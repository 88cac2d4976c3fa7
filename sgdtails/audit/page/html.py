"""A page as HTML in the look of the report: one file, with no script or picture from elsewhere but its own figure."""

import math
from html import escape

from sgdtails.audit.page.blocks import Cell, Interval, Name, Page, Section, Table, Text
from sgdtails.config import resources

_LEFT, _RIGHT, _WIDTH = 1.0, 2.2, 120  # of the axis of tail indices, and its width in pixels
_MARKS = {"stable": "diverged", "finite-variance": "supported", "scale-mixture": "budget", "undecided": "undecided"}
_AXIS = "α̂ from 1 to 2.2"
_STYLE = """
td svg { display: block; }
td code { overflow-wrap: anywhere; }
dt { font-weight: 600; margin-top: .6rem; }
dd { margin: 0; }
dl div { break-inside: avoid; }
p { max-width: 60rem; }
.answer > p { font-size: 1.2rem; max-width: 72rem; margin-bottom: .8rem; }
.rows .why { min-width: 24rem; }
#layers td:nth-child(2) { min-width: 8rem; }
.facts p { break-inside: avoid; }
#layers td:nth-child(3) { white-space: nowrap; }
@media (min-width: 60rem) { dl { columns: 2; column-gap: 2.5rem; } .answer .facts { columns: 2; column-gap: 2.5rem; } .facts p:first-child { margin-top: 0; } }
@media (max-width: 40rem) { .rows td.why { display: block; min-width: 0; text-align: left; } .rows td.why::before { display: block; } }
"""


def write(page: Page) -> str:
    """Write a page as HTML, whatever characters its names have.

    Parameters
    ----------
    page : Page
        What it holds.

    Returns
    -------
    str
        A whole document.

    Examples
    --------
    >>> "<h1>Audit of <code>&lt;b&gt;</code></h1>" in write(Page(["Audit of ", Name("<b>")], [["One."]]))
    True
    """
    look = resources.base() / "workflow/report"
    title = escape("".join(piece.shown if isinstance(piece, Name) else piece for piece in page.title))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{(look / "page.css").read_text(encoding="utf-8")}{_STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header><h1>{_text(page.title)}</h1></header>
<main id="main">
{fragment(page)}
</main>
<script>
{(look / "page.js").read_text(encoding="utf-8")}</script>
</body>
</html>
"""


def fragment(page: Page) -> str:
    """Write what is inside a page, less its title, for a notebook.

    Parameters
    ----------
    page : Page
        What it holds.

    Returns
    -------
    str
        Sections of HTML.

    Examples
    --------
    >>> print(fragment(Page(["Audit"], [["One."]])))
    <section class="answer">
    <p>One.</p>
    </section>
    """
    first, *facts = (f"<p>{_text(sentence)}</p>" for sentence in page.answer)
    rest = ['<div class="facts">', *facts, "</div>"] if facts else []
    parts = ["\n".join(['<section class="answer">', first, *rest, "</section>"])]
    parts += map(_section, page.sections[:1])
    if page.figure:
        alt = "Tail indices, shares that can go, and ranks of every layer"
        parts.append(
            f'<figure><div class="scroll"><img src="{escape(page.figure)}" alt="{alt}" style="--natural: 2100"></div></figure>'
        )
    return "\n".join([*parts, *map(_section, page.sections[1:])])


def _section(section: Section) -> str:
    parts = [f"<section>\n<h2>{escape(section.title)}</h2>"]
    if section.table:
        parts.append(_table(section.table))
    if section.note:
        parts.append(f"<p>{escape(section.note)}</p>")
    if section.terms:
        terms = "\n".join(
            f"<div><dt>{escape(term)}</dt><dd>{escape(meaning)}</dd></div>" for term, meaning in section.terms
        )
        parts.append(f"<dl>\n{terms}\n</dl>")
    return "\n".join([*parts, "</section>"])


def _table(table: Table) -> str:
    at = next((n for n, (title, _) in enumerate(table.columns) if table.intervals and "α̂" in title), None)
    columns = list(table.columns)
    rows = [[_cell(cell, *columns[n]) for n, cell in enumerate(row)] for row in table.rows]
    caption = table.caption
    if at is not None:
        columns.insert(at + 1, (_AXIS, False))
        caption += (
            ". Drawn: α̂ and its interval on an axis from 1 to 2.2, with a dotted line at 2, the value of light tails"
        )
        for row, interval in zip(rows, table.intervals, strict=True):
            row.insert(at + 1, f'<td data-label="{_AXIS}">{_drawing(interval)}</td>')
    heads = "".join(
        f'<th scope="col"{_class(number)}><button type="button">{escape(title)}<span aria-hidden="true"></span></button></th>'
        for title, number in columns
    )
    lines = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="tools" data-for="{table.name}"></div>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(table.caption)}">\n'
        f'<table id="{table.name}" class="rows">\n<caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{lines}\n</tbody>\n</table>\n</div>"
    )


def _class(number: bool) -> str:
    return ' class="number"' if number else ""


def _cell(cell: Cell, title: str, number: bool) -> str:
    label = f' data-label="{escape(title)}"'
    value = f' data-value="{cell.value}"' if cell.value is not None and math.isfinite(cell.value) else ""
    if not cell.mark:
        return f"<td{_class(number)}{label}{value}>{_text(cell.text)}</td>"
    word, *others = cell.text
    mark = f'<span class="mark {_MARKS.get(cell.mark, "")}">{escape(word)}</span>'
    return f'<td class="why"{label}{value}>{mark}{_text(others)}</td>'


def _text(pieces: Text) -> str:
    return "".join(
        f"<code{_whole(piece)}>{escape(piece.shown)}</code>" if isinstance(piece, Name) else escape(piece)
        for piece in pieces
    )


def _whole(name: Name) -> str:
    """Give the whole of a name that is shortened, for a pointer over it."""
    return "" if name.shown == name.printable else f' title="{escape(name.printable)}"'


def _drawing(interval: Interval | None) -> str:
    """Draw an interval on an axis from 1 to 2.2 with a line at 2; what lies beyond is drawn at its ends."""
    if interval is None:
        return ""
    low, value, high, gaussian = (
        round((min(max(x, _LEFT), _RIGHT) - _LEFT) / (_RIGHT - _LEFT) * (_WIDTH - 8) + 4, 1) for x in (*interval, 2.0)
    )
    return (
        f'<svg width="{_WIDTH}" height="16" aria-hidden="true" stroke="currentColor">'
        f'<line x1="{gaussian}" x2="{gaussian}" y1="0" y2="16" stroke-dasharray="2 2" opacity=".5"/>'
        f'<line x1="{low}" x2="{high}" y1="8" y2="8" stroke-width="2"/>'
        f'<circle cx="{value}" cy="8" r="3.5" fill="currentColor"/></svg>'
    )
