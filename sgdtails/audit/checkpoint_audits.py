"""Audits of given checkpoints without Snakemake: the page, and if asked for the files that the workflow writes."""

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import sgdtails
from sgdtails.audit import audit_inputs, audit_report, checkpoints
from sgdtails.audit import layer_audit as layers_audit
from sgdtails.config import resources, validation
from sgdtails.io import storage, tables

TABLES = ("audit", "audit_profiles", "audit_curves", "audit_compression", "audit_skipped", "audit_accuracy")


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
        Where a folder ``name`` with ``audit.md``, ``audit.pdf``, ``audit.png`` and Parquet tables is written.
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
    settings = _settings() | {"source": source, "part": part}
    settings["exclude"] = [*settings["exclude"], *exclude]
    state = audit_inputs.read(source, weights=None, seed=settings["seed"], part=part)
    with redirect_stdout(sys.stderr):
        arguments = {key: settings[key] for key in ("seed", "entries", "nulls", "epsilon", "exclude")}
        rows = layers_audit.audit(state, where=source, **arguments)
    rows["audit_accuracy"] = []  # of a function of the user's: the workflow's config names it
    page = audit_report.markdown(
        name, source, rows, arrays=len(state), read_as=state.read_as, epsilon=settings["epsilon"]
    )
    if output is not None:
        _write(name, rows, page, output / name, {"settings": settings, "version": sgdtails.__version__})
    return page


def _settings() -> dict[str, Any]:
    shipped: dict[str, Any] = validation.read_yaml(resources.base() / "config/config.yaml", "config")["audit"]
    return shipped | {"evaluate": None, "weights": None}


def _write(name: str, rows: layers_audit.Rows, page: str, folder: Path, provenance: dict[str, Any]) -> None:
    from sgdtails.figures import registry  # slow to import

    found = {}
    for table in TABLES:
        short = table.removeprefix("audit_")
        file = folder / f"{short}.parquet"
        tables.write(table, [{"checkpoint": name} | row for row in rows[table]], file, provenance=provenance)
        if table != "audit_skipped":  # nothing is drawn of it
            found[short] = tables.read(file)
    registry.save("audit", found, [str(folder / f"audit.{kind}") for kind in ("pdf", "png")])
    with storage.atomic(folder / "audit.md") as temporary:
        temporary.write_text(page, encoding="utf-8")
