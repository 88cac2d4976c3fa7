"""The reference pages docs/tables.md and docs/config.md, from the declared schemas and the commented config.

``python -m sgdtails.report.reference`` (`make docs`) writes both.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sgdtails.schemas import study_schemas as schemas

BASE = Path(__file__).parents[2]
_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_WIDEST = 40  # characters of a default
_NO_LIMIT = 10**9  # of integers: what the schema says so that none overflows

TABLES = """# The tables

`make docs` makes this page from `sgdtails/schemas/study_schemas.py`. Each column's unit and meaning is in the Parquet file as well:
`pyarrow.parquet.read_schema(path).field("alpha").metadata`. Missing values are null, not NaN.

A table of a study is `results/<study>/tables/<table>.parquet`:

```python
import pandas

tails = pandas.read_parquet("results/demo/tables/tails.parquet")
```

A file's metadata names the config, the code digest and the library versions that made it.

## All tables

| table | one row per | holds |
|---|---|---|
| [runs](#runs) | run | settings, status (`converged`, `diverged`, `budget`), accuracies, NLLs, tail index, seconds |
| [history](#history) | run × gate, every 50th | NLL and accuracy on training and test set |
| [trajectory](#trajectory) | run × iteration × layer × K1 | α̂ with an interval, the published value and κ of weights while they are trained |
| [tails](#tails) | run × weights × layer × estimator × K1 | α̂ with an interval, the published value, other estimators; exponent of the spectrum |
| [readings](#readings) | run × weights × layer | label of the profile, and the slopes behind it |
| [laws](#laws) | run × weights × layer × law | laws of entries and rows by maximum likelihood, and the layer's law |
| [profiles](#profiles) | layer × K1 × null | α̂ against K1 beside three nulls, one run per panel |
| [histograms](#histograms) | bin | densities of figure 2 |
| [compression](#compression) | run × weights × layer × structure × p × ε | κ, the smallest kept fraction at relative error ε; stable rank and PQ index |
| [pruning](#pruning) | run × weights × method × ratio or ε | parameters left, multiply-adds, relative errors, NLL and accuracy |
| [latency](#latency) | run × ratio | time that node pruning saves when its columns are removed |
| [dependence](#dependence) | run × weights × layer × measure | how far weights are from independent; made if a claim or comparison names it |
| [errors](#errors) | run × weights × layer × structure × κ | errors of Theorems 2 to 4, measured and simulated; made if a claim or comparison names it |
| [compared](#compared) | comparison × run | the points of config key `compare` |
| [comparisons](#comparisons) (also `comparisons.md`) | comparison × colour × value | their paired differences, with intervals |
| [claims](#claims) (also `claims.md`) | claim × panel | effect, interval, p-values, verdict |
| [bounds](#bounds) | run × statement | Theorems 5 and 7, Corollary 1 |
| [perturbation](#perturbation) | run × ratio | Lemma 1 against measured outputs |
| [table1](#table1), [table2](#table2) (also `.md`) | panel | the paper's tables |

These need no training:

| table | one row per | holds |
|---|---|---|
| [synthetic](#synthetic) | draw | compressibility of stable matrices: figure 8 |
| [theory](#theory) | grid point | p_ε(κ) and its bound: figure 11 |
| [magnitudes](#magnitudes) | bin | absolute values of stable draws: figure 12 |
| [calibration](#calibration) | estimator × law × shape × K1 | bias, spread and coverage of estimates |
| [confusion](#confusion) | law × shape × label | readings of layers whose law is known |
| [labels](#labels) | law × shape × label | laws found for such layers |
| [kesten](#kesten) | SGD on regression × estimator × K1 | α̂ beside the exact tail index |
| [theorems](#theorems) | theorem × α × κ × size | simulated errors |
| [verdicts](#verdicts) | rule × design × truth | how often the rule of verdicts is wrong |

`audit` writes [audit](#audit), [audit_profiles](#audit_profiles), [audit_curves](#audit_curves), [audit_compression](#audit_compression), [audit_laws](#audit_laws),
[audit_skipped](#audit_skipped), [audit_accuracy](#audit_accuracy), [audit_comparison](#audit_comparison) and [audit_series](#audit_series), without
`audit_` in the names of files ([audit.md](audit.md)). [training](#training), [averaging](#averaging) and [pruned](#pruned) are parts of a run's folder,
`results/<study>/runs/<run>/`, from which `runs` and `pruning` are made.

## Several studies in one frame

```python
from pathlib import Path

import pandas

runs = pandas.concat(
    {path.parts[-3]: pandas.read_parquet(path) for path in Path("results").glob("*/tables/runs.parquet")},
    names=["study"],
)
```

In DuckDB: `SELECT * FROM read_parquet('results/*/tables/tails.parquet', filename = true, union_by_name = true)`.
"""

_CONFIG = """# The config

`make docs` makes this page from `config/config.yaml` and `config/config.schema.yaml`. A file given with `--configfile` needs only the keys that differ.
Unknown keys are refused, with the nearest known one. `<name>` stands for a name of your own.

| key | what it may be | default | meaning |
|---|---|---|---|
"""


def tables() -> str:
    """Write docs/tables.md.

    Returns
    -------
    str
        Markdown: a section per table, a row per column.

    Examples
    --------
    >>> tables() == (BASE / "docs/tables.md").read_text(encoding="utf-8")
    True
    """
    parts = [TABLES]
    for name, schema in sorted(schemas.SCHEMAS.items()):
        parts.append(f"\n## {name}\n\n| column | type | unit | meaning |\n|---|---|---|---|\n")
        for field in schema:
            unit, meaning = (field.metadata[key].decode().replace("|", "\\|") for key in (b"unit", b"meaning"))
            parts.append(f"| `{field.name}` | {field.type} | {'' if unit == '1' else unit} | {meaning} |\n")
    return "".join(parts)


def comments(text: str) -> dict[str, str]:
    r"""Collect the comments of a YAML file.

    Parameters
    ----------
    text : str
        The file, whose comments stand beside a key or in the lines above it.

    Returns
    -------
    dict
        Comments by dotted path of the key.

    Examples
    --------
    >>> comments("# Of one.\none: 1\ntwo:  # of two\n  three: 3")
    {'one': 'Of one.', 'two': 'of two', 'two.three': ''}
    """
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    above: list[str] = []
    for line in text.splitlines():
        if remark := re.fullmatch(r"\s*# (.*)", line):
            above.append(remark[1].strip())
            continue
        if entry := re.match(r"(\s*)([a-z_0-9]+):", line):
            depth = len(entry[1])
            path = [pair for pair in path if pair[0] < depth] + [(depth, entry[2])]
            beside = re.search(r"\s# (.*)", line)
            words = [*above, beside[1].strip()] if beside else above
            found[".".join(name for _, name in path)] = " ".join(words)
        above = []
    return found


def keys(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """List the keys of a JSON schema.

    Parameters
    ----------
    schema : dict
        The schema of a mapping.
    definitions : dict
        The definitions that it refers to.
    path : str
        What the paths begin with.

    Yields
    ------
    (str, dict)
        Dotted path and schema of each key; a section comes before its keys.

    Examples
    --------
    >>> schema = {"properties": {"a": {"properties": {"b": {"type": "string"}}}}}
    >>> [path for path, _ in keys(schema, {})]
    ['a', 'a.b']
    """
    inner = dict(schema.get("properties", {}))
    if isinstance(schema.get("additionalProperties"), dict):
        inner["<name>"] = schema["additionalProperties"]
    for name, part in inner.items():
        whole = definitions.get(str(part.get("$ref", "")).rpartition("/")[2], {}) | part
        yield f"{path}{name}", whole
        yield from keys(whole, definitions, f"{path}{name}.")


def kind(part: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Describe a value of the config: type, choices, limits.

    Parameters
    ----------
    part : dict
        Its schema.
    definitions : dict
        The definitions that it refers to.

    Returns
    -------
    str
        The description; empty for a section.

    Examples
    --------
    >>> kind({"type": "integer", "minimum": 1}, {})
    'integer, ≥ 1'
    """
    part = definitions.get(str(part.get("$ref", "")).rpartition("/")[2], part)
    if "enum" in part:
        return ", ".join(map(str, part["enum"]))
    if "const" in part:
        return str(part["const"])
    if "anyOf" in part:
        return " or ".join(kind(each, definitions) or "mapping" for each in part["anyOf"])
    types = [part["type"]] if isinstance(part["type"], str) else part["type"]
    if types == ["object"]:
        return "" if part.keys() & {"properties", "additionalProperties"} else "mapping"
    name = " or ".join({"array": "list", "object": "mapping"}.get(type_, type_) for type_ in types)
    if types == ["array"]:
        return f"list of {kind(part['items'], definitions) or 'blocks'}"
    bounds = [f"{sign} {part[key]:,}" for key, sign in _LIMITS.items() if key in part and part[key] != _NO_LIMIT]
    return ", ".join([name, *bounds])


def config() -> str:
    """Write docs/config.md.

    Returns
    -------
    str
        Markdown: a row per key.

    Examples
    --------
    >>> config() == (BASE / "docs/config.md").read_text(encoding="utf-8")
    True
    """
    text = (BASE / "config/config.yaml").read_text(encoding="utf-8")
    schema = yaml.safe_load((BASE / "config/config.schema.yaml").read_text(encoding="utf-8"))
    defaults, definitions, remarks = yaml.safe_load(text), schema["$defs"], comments(text)
    rows = [_CONFIG]
    for path, part in keys(schema, definitions):
        value: Any = defaults
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        section = isinstance(value, dict) and "anyOf" not in part
        shown = "" if value is None or section else json.dumps(value)
        shown = f"`{shown}`" if 0 < len(shown) <= _WIDEST else "" if not shown else f"`{shown[: _WIDEST - 4]} …`"
        meaning = remarks.get(path) or part.get("description", "")
        cells = [f"`{path}`", kind(part, definitions), shown, meaning]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(rows)


def main() -> None:
    """Write both pages into docs."""
    for name, page in (("tables", tables()), ("config", config())):
        (BASE / f"docs/{name}.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
