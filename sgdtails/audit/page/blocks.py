"""What a page holds, whatever it is written in: sentences and tables whose cells are text, names or numbers."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

_LONGEST = 60  # characters of a name
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Name(str):
    """A name from a file, which is shown as it is and never as markup."""

    __slots__ = ()

    @property
    def printable(self) -> str:
        """The name with escapes for what would break a line, turn its direction, or is no character."""
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", self)

    @property
    def shown(self) -> str:
        """Its end if it is long, in printable characters.

        >>> len(Name("x" * 300).shown)
        60
        """
        text = self.printable
        return text if len(text) <= _LONGEST else "…" + text[1 - _LONGEST :]


Text = Sequence[str]  # pieces, some of them names, that are written one after the other


class Cell(NamedTuple):
    """Text, the number that it is sorted by, and a word that gives it a colour."""

    text: Text
    value: float | None = None
    mark: str = ""


class Interval(NamedTuple):
    """An estimate and the ends of its interval, as a drawing shows it."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class Table:
    """Rows under headings; a heading says whether its column holds numbers. ``intervals`` are drawn beside the rows where there are any."""

    name: str
    caption: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[Cell]]
    intervals: Sequence[Interval | None] = ()


@dataclass(frozen=True)
class Section:
    """A heading, a table with a note below, and terms."""

    title: str
    table: Table | None = None
    note: str = ""
    terms: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Page:
    """A title, the answer in a few sentences, and sections. ``figure`` names a picture beside the page."""

    title: Text
    answer: Sequence[Text]
    sections: Sequence[Section] = field(default=())
    figure: str | None = None


def number(value: float | None, digits: int = 2) -> str:
    """Write a number; nothing for None.

    >>> number(1.234), number(math.inf), number(None)
    ('1.23', '∞', '')
    """
    return "" if value is None else "∞" if math.isinf(value) else f"{value:.{digits}f}"


def count_of(number: int, word: str) -> str:
    """Write how many there are of something.

    >>> count_of(1, "layer"), count_of(2000, "layer")
    ('1 layer', '2,000 layers')
    """
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def percent(share: float | None) -> str:
    """Write a share as a percentage; small ones keep a digit.

    >>> percent(0.265), percent(0.004), percent(1e-6), percent(None)
    ('26%', '0.4%', 'under 0.1%', '')
    """
    if share is None:
        return ""
    if 0 < share < 0.0005:
        return "under 0.1%"
    return f"{100 * share:.1f}%" if 0 < share < 0.1 or 0.995 <= share < 1 else f"{100 * share:.0f}%"
