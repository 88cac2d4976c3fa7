"""A study, finished or not, as one page of HTML that opens without a network and without other files."""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from sgdtails import labels
from sgdtails.claims.verdicts import VERDICTS
from sgdtails.config import validation
from sgdtails.errors import InputError
from sgdtails.io import storage
from sgdtails.io.tables import panel_title
from sgdtails.labels import Labels
from sgdtails.report import page_tables, page_verdicts, page_words
from sgdtails.report.page_words import Row

CATEGORIES = {
    "paper": ("The paper's figures", "Drawn from this study's runs; simulated where the paper's figures are."),
    "trust": (
        "Trust",
        "How far a tail index can be believed: estimators and readings on data whose truth is known.",
    ),
    "theory": ("Theory", "Simulations of what the theorems promise, and a bound checked on this study's own networks."),
}


@dataclass(frozen=True)
class Caption:
    """The texts beside a figure.

    Attributes
    ----------
    title : str
        A few words.
    category : str
        The section of the page: a key of ``CATEGORIES``.
    shows : str
        What is drawn.
    read : str
        How to read it.
    alt : str
        Description for readers who do not see the picture.
    paper : str
        The figure of the paper that it renders; empty if there is none.
    """

    title: str
    category: str
    shows: str
    read: str
    alt: str
    paper: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure within the page.

    Attributes
    ----------
    name : str
        Name of the figure.
    caption : Caption
        Its texts.
    uri : str
        The picture as a data URI; empty if the figure is not computed.
    width, height : int
        Its size in pixels.
    command : str
        What makes it, if it is not computed.
    """

    name: str
    caption: Caption
    uri: str
    width: int = 0
    height: int = 0
    command: str = ""


@dataclass(frozen=True)
class Missing:
    """What of a study is not computed.

    Attributes
    ----------
    figures, tables : sequence of str
        Their names.
    runs : int
        Runs that are not trained.
    command : str
        The command that computes a target, which is appended to it.
    """

    figures: Sequence[str] = ()
    tables: Sequence[str] = ()
    runs: int = 0
    command: str = "snakemake --cores all --"

    def __str__(self) -> str:
        """How much it is."""
        parts = {"run": self.runs, "table": len(self.tables), "figure": len(self.figures)}
        return ", ".join(f"{count:,} {word}{'s' * (count > 1)}" for word, count in parts.items() if count)

    def __bool__(self) -> bool:
        """Tell if anything is missing."""
        return bool(self.runs or self.tables or self.figures)


def captions(path: str | Path) -> dict[str, Caption]:
    """Read the captions of all figures.

    Parameters
    ----------
    path : str or pathlib.Path
        A YAML file of captions by figure.

    Returns
    -------
    dict
        ``Caption`` by figure.

    Raises
    ------
    InputError
        If a caption lacks a text, has one too many, or has an unknown category.

    Examples
    --------
    >>> captions("workflow/report/captions.yaml")["fig01"].paper
    'Figure 1'
    """
    wanted = set(Caption.__annotations__) - {"paper"}
    found: dict[str, Caption] = {}
    for name, texts in validation.read_yaml(path, "captions of the report").items():
        if set(texts) - {"paper"} != wanted or texts["category"] not in CATEGORIES:
            raise InputError(
                f"{path}, {name}: a caption has {', '.join(sorted(wanted))} and may have paper, its category is "
                f"one of {', '.join(CATEGORIES)}; correct it there."
            )
        found[name] = Caption(**texts)
    return found


def pictures(files: Iterable[str | Path], texts: Mapping[str, Caption]) -> list[Picture]:
    """Embed figures.

    Parameters
    ----------
    files : iterable of str or pathlib.Path
        PNG files, each named after its figure.
    texts : mapping
        ``Caption`` by figure.

    Returns
    -------
    list of Picture
        The figures in the same order.

    Raises
    ------
    InputError
        If a figure has no caption.

    Examples
    --------
    >>> texts = captions("workflow/report/captions.yaml")
    >>> picture = pictures(["studies/mnist-narrow/figures/fig01.png"], texts)[0]
    >>> picture.name, picture.uri[:22]
    ('fig01', 'data:image/png;base64,')
    """
    found = []
    for path in map(Path, files):
        if path.stem not in texts:
            raise InputError(f"figure {path.stem} has no caption; add one to workflow/report/captions.yaml.")
        uri, width, height = _embedded(storage.read(path))
        found.append(Picture(path.stem, texts[path.stem], uri, width, height))
    return found


def page(
    study: str,
    *,
    tables: Mapping[str, pa.Table],
    training: Sequence[Row],
    averaging: Sequence[Row],
    drawn: Sequence[Picture],
    config: Mapping[str, Any],
    templates: Path,
    missing: Missing | None = None,
) -> str:
    """Write the page.

    Parameters
    ----------
    study : str
        The study's name.
    tables : mapping
        Tables by name: ``runs``, ``claims``, and any others whose provenance is listed; those that are not computed are left out.
    training, averaging : sequence of mapping
        Rows of the tables of these names, for the cost.
    drawn : sequence of Picture
        The figures.
    config : mapping
        The study's settings, which are printed; models and datasets have the labels in it.
    templates : pathlib.Path
        The folder of ``page.html``.
    missing : Missing, optional
        What is not computed. The page names the commands that do.

    Returns
    -------
    str
        HTML.

    Examples
    --------
    >>> from sgdtails.io.tables import read
    >>> named = {name: read(f"studies/mnist-narrow/tables/{name}.parquet") for name in ("runs", "claims")}
    >>> html = page("demo", tables=named, training=[], averaging=[], drawn=[], config={}, templates=Path("workflow/report"))
    >>> "<title>demo: heavy tails and compressibility</title>" in html
    True
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    gone = missing or Missing()
    runs, claims = (tables[name].to_pylist() if name in tables else [] for name in ("runs", "claims"))
    names = Labels(**labels.of_study(config, [*training, *runs])) if "models" in config else Labels()
    titles = page_words.panel_titles(claims, [*training, *runs], names)
    groups = set(titles) - {panel_title(row) for row in (*training, *runs)}
    shown, more = page_verdicts.matrices(claims, titles, groups)
    said = Counter(row["verdict"] for row in claims)
    texts = captions(templates / "captions.yaml")
    absent = [Picture(name, texts[name], "", command=f"{gone.command} {figure_target(name)}") for name in gone.figures]
    place = {name: number for number, name in enumerate(texts)}
    drawn = sorted([*drawn, *absent], key=lambda figure: place.get(figure.name, len(place)))
    sections = [
        {"key": key, "title": title, "about": about, "figures": [f for f in drawn if f.caption.category == key]}
        for key, (title, about) in CATEGORIES.items()
    ]
    return environment.get_template("page.html").render(
        study=study,
        status=Counter(row["status"] for row in training),
        trained=len(training),
        missing=gone,
        shown=shown,
        more=more,
        first=next((figure for figure in drawn if figure.name == "fig01"), None),
        runs=page_tables.runs(runs, names),
        claims=page_tables.claims(claims, titles),
        claims_command=f"{gone.command} results/{study}/tables/claims.parquet",
        verdicts={verdict: said[verdict] for verdict in VERDICTS},
        cost=page_tables.cost(training, averaging, names),
        hours=sum(row["seconds"] for row in (*training, *averaging)) / 3600,
        paper=page_tables.PAPER,
        provenance=page_tables.provenance(tables),
        sections=[section for section in sections if section["figures"]],
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100),
    )


def figure_target(name: str) -> str:
    """Return what Snakemake calls a figure as a target, as ``rules/targets.smk`` does.

    Examples
    --------
    >>> figure_target("fig01"), figure_target("profiles")
    ('fig01', 'figure_profiles')
    """
    return name if name.startswith("fig") else f"figure_{name}"


def _embedded(png: bytes) -> tuple[str, int, int]:
    """Convert a picture to a data URI in 256 colours: a third of the size, and no difference that can be seen here."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        flat = Image.new("RGB", picture.size, "white")
        flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
        small = io.BytesIO()
        flat.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}", *flat.size
