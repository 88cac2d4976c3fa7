"""What ``sgdtails audit --compare`` and ``--series`` do with files: read, estimate, print, and write if asked for."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sgdtails
from sgdtails.audit import audit_inputs
from sgdtails.audit.page import html, markdown
from sgdtails.audit.page.blocks import Page
from sgdtails.audit.result import settings
from sgdtails.audit.several import comparison, series
from sgdtails.errors import InputError
from sgdtails.io import storage, tables


def compare(
    sources: Mapping[str, str], output: Path | None = None, *, part: str | None = None, exclude: Sequence[str] = ()
) -> str:
    """Compare two checkpoints of one network.

    Parameters
    ----------
    sources : mapping of str to str
        Two files by name, the base first.
    output : pathlib.Path, optional
        Where a folder ``BASE--and--TUNED`` with ``comparison.md``, ``comparison.html`` and ``comparison.parquet`` is written.
    part : str, optional
        Of files with several networks the one that is asked for.
    exclude : sequence of str
        Patterns of names of arrays that are no layers, beside those of the config.

    Returns
    -------
    str
        The page, as Markdown.

    Raises
    ------
    InputError
        For other than two files, and for two without a layer in common.
    """
    if len(sources) != 2:
        raise InputError(
            f"--compare takes two checkpoints, not {len(sources)}; give the base first, then what was made from it."
        )
    (base, first), (tuned, second) = sources.items()
    chosen = settings(part, exclude)
    states = [audit_inputs.read(source, weights=None, seed=chosen["seed"], part=part) for source in (first, second)]
    found = list(comparison.rows(*states, seed=chosen["seed"], entries=chosen["entries"], exclude=chosen["exclude"]))
    page = comparison.page(first, second, found)  # whole paths: both files may have one name
    if output is not None:
        common = {"base": base, "tuned": tuned}
        rows = [common | row for row in found]
        _write("comparison", rows, page, output / folder(base, tuned), {"settings": chosen, "sources": [first, second]})
    return markdown.write(page)


def folder(base: str, tuned: str) -> str:
    """Name the folder of a comparison.

    >>> folder("a", "b")
    'a--and--b'
    """
    return f"{base}--and--{tuned}"


def follow(
    sources: Mapping[str, str], output: Path | None = None, *, part: str | None = None, exclude: Sequence[str] = ()
) -> str:
    """Follow the tail indices of a network over its checkpoints; progress goes to stderr.

    Parameters
    ----------
    sources : mapping of str to str
        Files by name.
    output : pathlib.Path, optional
        Where a folder ``series`` with ``series.md``, ``series.html``, ``series.parquet``, and the figure is written.
    part : str, optional
        Of files with several networks the one that is asked for.
    exclude : sequence of str
        Patterns of names of arrays that are no layers, beside those of the config.

    Returns
    -------
    str
        The page, as Markdown.

    Raises
    ------
    InputError
        For fewer than two files.
    """
    if len(sources) < 2:
        raise InputError("--series takes two checkpoints or more; give the folder that they are in.")
    chosen, names = settings(part, exclude), {source: name for name, source in sources.items()}
    found: list[dict[str, Any]] = []
    ordered = series.steps(list(names))
    for place, (step, source) in enumerate(ordered):
        state = audit_inputs.read(source, weights=None, seed=chosen["seed"], part=part)
        rows = series.rows(state, seed=chosen["seed"], entries=chosen["entries"], exclude=chosen["exclude"])
        found += [{"checkpoint": names[source], "step": step} | row for row in rows]
        print(f"checkpoint {place + 1} of {len(ordered)}: {names[source]}", file=sys.stderr, flush=True)
    if not found:
        raise InputError("the checkpoints hold no matrices; give state dicts with weights of layers.")
    page = series.page(str(Path(ordered[0][1]).parent), found)
    if output is not None:
        folder = output / "series"
        _write("series", found, page, folder, {"settings": chosen, "sources": list(names)})
        from sgdtails.figures import registry  # slow to import

        drawn = [str(folder / f"series.{kind}") for kind in ("pdf", "png")]
        registry.save("audit_series", {"series": tables.read(folder / "series.parquet")}, drawn)
    return markdown.write(page)


def _write(name: str, rows: Sequence[Mapping[str, Any]], page: Page, folder: Path, provenance: dict[str, Any]) -> None:
    record = provenance | {"version": sgdtails.__version__}
    tables.write(f"audit_{name}", rows, folder / f"{name}.parquet", provenance=record)
    figured = Page(page.title, page.answer, page.sections, "series.png" if name == "series" else None)
    for suffix, text in (("md", markdown.write(page)), ("html", html.write(figured))):
        with storage.atomic(folder / f"{name}.{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")
