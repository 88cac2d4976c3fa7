"""All figures by name: of a study as plots, of a checkpoint as pages; and the files of the workflow."""

import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import matplotlib
import pyarrow as pa
from matplotlib.figure import Figure

from sgdtails.figures import (
    audit_figures,
    comparisons,
    histograms,
    kesten,
    laws,
    layers,
    networks,
    pruning,
    theory,
    trajectory,
    trust,
)
from sgdtails.figures.plot import Plot
from sgdtails.figures.theme import STYLE
from sgdtails.io.storage import atomic
from sgdtails.labels import Labels
from sgdtails.tail_index.network_index import Index

FIGURES: dict[str, Callable[..., Plot]] = {
    "fig01": networks.tail_indices,
    "fig02": histograms.layers,
    "fig03": layers.compressibility,
    "fig04": partial(pruning.accuracy, method="layer_magnitude"),
    "fig05": partial(pruning.accuracy, method="singular_value"),
    "fig06": partial(pruning.accuracy, method="kernel"),
    "fig07": networks.accuracies,
    "fig08": layers.samples,
    "fig09": partial(pruning.accuracy, method="global_magnitude"),
    "fig10": partial(pruning.accuracy, method="node"),
    "fig11": theory.factor,
    "fig12": histograms.magnitudes,
    "trajectory": trajectory.trajectory,
    "profiles": trust.profiles,
    "calibration": trust.calibration,
    "confusion": trust.confusion,
    "laws": laws.shares,
    "lawfits": laws.fits,
    "labels": laws.labels,
    "kesten": kesten.kesten,
    "theorems": theory.theorems,
    "perturbation": theory.perturbation,
    "comparisons": comparisons.comparisons,
    "errors": comparisons.errors,
    "rows": partial(pruning.accuracy, method="row"),
    "filters": partial(pruning.accuracy, method="filter"),
    "channels": partial(pruning.accuracy, method="channel"),
}
PAGES: dict[str, Callable[..., Figure]] = {
    "audit": audit_figures.audit,
    "audit_series": audit_figures.series,
}


class Settings(TypedDict, total=False):
    """What a figure may need besides tables.

    Attributes
    ----------
    index : Index
        The definition of a network's tail index.
    weights : {"last", "average", "converged"}
        The weights whose accuracy figure 7 shows.
    scheme : {"ratio", "error"}
        The pruned networks that are shown: all layers at one ratio, or at one relative error.
    labels : Labels
        What models and datasets are called.
    """

    index: Index
    weights: str
    scheme: str
    labels: Labels


def tables_of(name: str) -> tuple[str, ...]:
    """List the tables that a figure is drawn from.

    Parameters
    ----------
    name : str
        A key of ``FIGURES``.

    Returns
    -------
    tuple of str
        Names of tables.

    Examples
    --------
    >>> tables_of("fig03")
    ('runs', 'tails', 'compression')
    """
    return tuple(name for name, kind in _parameters(name).items() if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)


def settings_of(name: str) -> tuple[str, ...]:
    """List the settings that a figure has.

    Parameters
    ----------
    name : str
        A key of ``FIGURES``.

    Returns
    -------
    tuple of str
        Keys of ``Settings``.

    Examples
    --------
    >>> settings_of("fig04"), settings_of("fig12")
    (('scheme', 'index', 'labels'), ())
    """
    known = Settings.__annotations__
    found = _parameters(name).items()
    return tuple(key for key, kind in found if key in known and kind is inspect.Parameter.KEYWORD_ONLY)


def _parameters(name: str) -> dict[str, object]:
    return {key: part.kind for key, part in inspect.signature(FIGURES[name]).parameters.items()}


def save(name: str, tables: Mapping[str, pa.Table], outputs: Sequence[str], **settings: Unpack[Settings]) -> None:
    r"""Draw a figure in the workflow's own style, and save it with no time stamp inside.

    Parameters
    ----------
    name : str
        A key of ``FIGURES`` or ``PAGES``.
    tables : mapping
        The tables that it is drawn from, by name.
    outputs : sequence of str
        Files to write; their extensions are formats.
    **settings
        Settings that the figure has.

    Examples
    --------
    >>> import tempfile
    >>> from sgdtails.io.tables import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "fig12.png")
    ...     save("fig12", {"magnitudes": read("studies/mnist-narrow/tables/magnitudes.parquet")}, [str(file)])
    ...     file.read_bytes()[:4]
    b'\x89PNG'
    """
    with matplotlib.rc_context(STYLE):
        page = PAGES[name](**tables) if name in PAGES else FIGURES[name](**tables, **settings).figure()
        for path in sorted(outputs, key=lambda path: Path(path).suffix == ".pdf"):  # with a PDF's 72 dots per inch last
            kind, drawn = Path(path).suffix[1:], io.BytesIO()  # the writer of PDFs hides that a disk is full
            page.savefig(drawn, format=kind, metadata={"CreationDate": None} if kind == "pdf" else None)
            with atomic(path) as temporary:
                Path(temporary).write_bytes(drawn.getbuffer())
            page.set_layout_engine("none")  # the layout of the first file is that of all
