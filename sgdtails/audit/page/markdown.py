"""A page as Markdown."""

import re

from sgdtails.audit.page.blocks import Name, Page, Section, Table, Text


def write(page: Page) -> str:
    """Write a page as Markdown, whatever characters its names have.

    Parameters
    ----------
    page : Page
        What it holds.

    Returns
    -------
    str
        Text that ends with a new line.

    Examples
    --------
    >>> print(write(Page(["Audit of ", Name("a|b")], [["One ", Name("__proto__"), "."]])))
    # Audit of `a|b`
    <BLANKLINE>
    One `__proto__`.
    <BLANKLINE>
    """
    parts = [f"# {_text(page.title)}", *(_text(sentence) for sentence in page.answer)]
    parts += [part for section in page.sections for part in _section(section)]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    parts = [f"## {section.title}"]
    if section.table:
        parts.append(_table(section.table))
    if section.note:
        parts.append(_text([section.note]))
    if section.terms:
        parts.append("\n".join(f"- **{term}**: {meaning}" for term, meaning in section.terms))
    return parts


def _table(table: Table) -> str:
    lines = ["| " + " | ".join(_text([title], cell=True) for title, _ in table.columns) + " |"]
    lines.append("|" + "|".join("---:" if number else "---" for _, number in table.columns) + "|")
    lines += ["| " + " | ".join(_text(cell.text, cell=True) for cell in row) + " |" for row in table.rows]
    return "\n".join(lines)


def _text(pieces: Text, *, cell: bool = False) -> str:
    text = "".join(_code(piece) if isinstance(piece, Name) else _plain(piece) for piece in pieces)
    return text.replace("|", "\\|") if cell else text  # in a cell, code too has its bars escaped


def _plain(text: str) -> str:
    """Text that starts no markup."""
    return re.sub(r"([\\`*_<])", r"\\\1", text.replace("\n", " "))


def _code(name: Name) -> str:
    """Write a name between as many backticks as it takes."""
    shown = name.shown
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown.strip() else ""
    return f"{fence}{pad}{shown}{pad}{fence}"
