"""A finished study as one page of HTML that needs nothing beside itself: no network, no other file."""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from sgdtails.claims.verdicts import VERDICTS
from sgdtails.config import validation
from sgdtails.errors import InputError
from sgdtails.io import storage
from sgdtails.report import report_tables

CATEGORIES = {
    "paper": ("The paper's figures", "Rendered from this study's runs, or simulated where the paper's are."),
    "trust": (
        "Trust",
        "How far a tail index can be believed: estimators and readings against data whose truth is known.",
    ),
    "theory": ("Theory", "What the theorems promise, simulated, and a bound against this study's own networks."),
}
_CAPTION = {"title", "category", "shows", "read", "alt"}


def captions(path: str | Path) -> dict[str, dict[str, str]]:
    """Captions by figure, from a YAML file. InputError for one that lacks a text or has an unknown category."""
    read = validation.read_yaml(path, "captions of the report")
    for name, caption in read.items():
        if set(caption) - {"paper"} != _CAPTION or caption["category"] not in CATEGORIES:
            raise InputError(
                f"{path}, {name}: a caption has {', '.join(sorted(_CAPTION))} and may have paper, its category is "
                f"one of {', '.join(CATEGORIES)}; correct it there."
            )
    return read


def figures(files: Iterable[str | Path], texts: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """PNG files with their captions, as data URIs. InputError for a figure without a caption."""
    drawn = []
    for path in map(Path, files):
        if path.stem not in texts:
            raise InputError(f"figure {path.stem} has no caption; add one to workflow/report/captions.yaml.")
        uri, width, height = _embedded(storage.read(path))
        drawn.append({"name": path.stem, "uri": uri, "width": width, "height": height, **texts[path.stem]})
    return drawn


def page(
    study: str,
    *,
    tables: Mapping[str, pa.Table],
    training: Sequence[Mapping[str, Any]],
    averaging: Sequence[Mapping[str, Any]],
    drawn: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    templates: Path,
) -> str:
    """The page as text, of tables ``runs``, ``claims`` and any others, rows of training and averaging, and ``figures``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    runs, claims = tables["runs"].to_pylist(), tables["claims"].to_pylist()
    said = Counter(row["verdict"] for row in claims)
    cost = report_tables.cost(training, averaging)
    sections = [
        {"key": key, "title": title, "about": about, "figures": [f for f in drawn if f["category"] == key]}
        for key, (title, about) in CATEGORIES.items()
    ]
    return environment.get_template("page.html").render(
        study=study,
        status=Counter(row["status"] for row in runs),
        runs=report_tables.runs(runs),
        claims=report_tables.claims(claims),
        verdicts={verdict: said[verdict] for verdict in VERDICTS},
        cost=cost,
        hours=sum(row["seconds"] for row in runs) / 3600,
        paper=report_tables.PAPER,
        provenance=report_tables.provenance(tables),
        sections=[section for section in sections if section["figures"]],
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100),
    )


def _embedded(png: bytes) -> tuple[str, int, int]:
    """A picture as a data URI, in 256 colours, which these figures do not exceed visibly and which is a third of the size."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        flat = Image.new("RGB", picture.size, "white")
        flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
        small = io.BytesIO()
        flat.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}", *flat.size
