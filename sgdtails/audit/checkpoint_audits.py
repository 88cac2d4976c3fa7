"""Audits of given checkpoints without Snakemake: the page, and if asked for the files that the workflow writes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sgdtails
from sgdtails.audit import audit_inputs, checkpoints, layers
from sgdtails.audit.result import Audit, settings
from sgdtails.io import tables

TABLES = (*layers.TABLES, "audit_skipped", "audit_accuracy")


def sources(given: Iterable[str]) -> dict[str, str]:
    """Name checkpoints as the workflow does.

    Parameters
    ----------
    given : iterable of str
        Files, folders, or torchvision models such as ``torchvision:resnet18``.

    Returns
    -------
    dict of str to str
        Files and models by the name of their folder of results.

    Raises
    ------
    InputError
        For what is not there, and for a folder without checkpoints.
    """
    return {name: source for each in given for name, source in checkpoints.sources(each).items()}


def audit(
    name: str, source: str, output: Path | None = None, *, part: str | None = None, exclude: Iterable[str] = ()
) -> str:
    """Audit one checkpoint with the settings of ``config/config.yaml``, key ``audit``; progress goes to stderr.

    Parameters
    ----------
    name, source : str
        As ``sources`` has them.
    output : pathlib.Path, optional
        Where a folder ``name`` with the page (``audit.md``, ``audit.html``), the figure, ``plan.json`` and Parquet tables is written.
    part : str, optional
        Of a file with several networks the one that is asked for.
    exclude : iterable of str, optional
        Patterns of names of arrays that are no layers, beside those of the config.

    Returns
    -------
    str
        The page, as Markdown.

    Raises
    ------
    InputError
        For a file that cannot be read, or has no matrices.
    """
    chosen = settings(part, exclude) | {"source": source}
    state = audit_inputs.read(source, weights=None, seed=chosen["seed"], part=part)
    arguments = {key: chosen[key] for key in ("seed", "entries", "nulls", "epsilon", "exclude")}
    rows = layers.audit(state, where=source, **arguments)
    rows["audit_accuracy"] = []  # of a function of the user's: the workflow's config names it
    found = Audit(name, source, rows, len(state), state.read_as, checkpoints.title(source))
    if output is not None:
        _write(found, output / name, {"settings": chosen, "version": sgdtails.__version__})
    return found.markdown(with_files=output is not None)


def _write(found: Audit, folder: Path, provenance: dict[str, Any]) -> None:
    from sgdtails.figures import registry  # slow to import

    written = {}
    for table in TABLES:
        short = table.removeprefix("audit_")
        file = folder / f"{short}.parquet"
        rows = [{"checkpoint": found.name} | row for row in found.rows[table]]
        tables.write(table, rows, file, provenance=provenance)
        if table not in ("audit_skipped", "audit_laws"):  # nothing is drawn of them
            written[short] = tables.read(file)
    registry.save("audit", written, [str(folder / f"audit.{kind}") for kind in ("pdf", "png")])
    found.write(text=folder / "audit.md", html=folder / "audit.html", plan=folder / "plan.json")
