"""The tables and figures of a study, and the files that its report is made of. No rules."""

import os
import shlex
import sys

TARGETS = ["all", "tables", "figures", "simulations", "report", "audit"]
# The tables that a figure is drawn from, by its file name.
FIGURE_TABLES = {
    "fig01": ("runs", "tails"),
    "fig02": ("histograms",),
    "fig03": ("runs", "tails", "compression"),
    "fig04": ("runs", "pruning"),
    "fig05": ("runs", "pruning"),
    "fig06": ("runs", "pruning"),
    "fig07": ("runs",),
    "fig08": ("synthetic",),
    "fig09": ("runs", "pruning"),
    "fig10": ("runs", "pruning"),
    "fig11": ("theory",),
    "fig12": ("magnitudes",),
    "trajectory": ("runs", "trajectory", "history"),
    "profiles": ("profiles",),
    "laws": ("runs", "laws"),
    "lawfits": ("histograms", "laws"),
    "calibration": ("calibration",),
    "confusion": ("confusion",),
    "labels": ("labels",),
    "kesten": ("kesten",),
    "theorems": ("theorems",),
    "perturbation": ("perturbation",),
    "comparisons": ("compared", "comparisons"),
    "errors": ("runs", "errors"),
    "rows": ("runs", "pruning"),
    "filters": ("runs", "pruning"),
    "channels": ("runs", "pruning"),
}
# The method whose accuracy after pruning a figure shows.
PRUNED_BY = {
    "fig04": "layer_magnitude",
    "fig05": "singular_value",
    "fig06": "kernel",
    "fig09": "global_magnitude",
    "fig10": "node",
    "rows": "row",
    "filters": "filter",
    "channels": "channel",
}
ALL_FIGURES = list(FIGURE_TABLES)
# Figures of convolutional or of fully connected networks, or of one pruning method, exist only in studies that have them.
if not CHAINS or not config["pruning"]["layer_magnitude"]["ratios"]:
    del FIGURE_TABLES["perturbation"]
for figure, method in PRUNED_BY.items():
    if not any(method in methods for methods in METHODS.values()):
        del FIGURE_TABLES[figure]
if not config["snapshots"]:
    del FIGURE_TABLES["trajectory"]
# Tables that only claims that name them read, and those that comparisons name.
CLAIMED = claimed_tables.of_files(CLAIMS)
ASKED = CLAIMED | claimed_tables.of_content(config["compare"])
if not config["compare"]:
    del FIGURE_TABLES["comparisons"]
if "errors" not in ASKED:
    del FIGURE_TABLES["errors"]
# Settings of figures: those that show networks depend on config key index.
FIGURE_SETTINGS = {
    figure: {"index": config["index"]}
    for figure, names in FIGURE_TABLES.items()
    if "runs" in names and figure not in ("errors", "laws")
}
for figure, names in FIGURE_TABLES.items():
    # Names of models and datasets: nothing but figures and the report depends on them.
    if {"runs", "histograms", "profiles", "perturbation"} & set(
        names
    ) and figure != "errors":
        FIGURE_SETTINGS.setdefault(figure, {})["labels"] = study.labels
FIGURE_SETTINGS["fig07"]["weights"] = config["pruning"]["weights"]
for figure in PRUNED_BY.keys() & FIGURE_TABLES.keys() - {"fig09"}:
    # Global pruning has no relative error of each layer.
    FIGURE_SETTINGS[figure]["scheme"] = config["pruning"]["scheme"]

TABLES = [
    *expand(
        TABLE,
        table=sorted(
            {"history"} | {t for names in FIGURE_TABLES.values() for t in names}
        ),
    ),
    *expand(TABLE, table=["readings", "table1", "table2", "bounds"]),
    *expand(TABLE, table=["latency"] if CHAINS else []),
    *expand(TABLE, table=["dependence"] if "dependence" in ASKED else []),
    *expand(TABLE, table=["claims", "verdicts"]),
    *expand(f"{STUDY}/tables/{{text}}.md", text=["claims", "table1", "table2"]),
    *([f"{STUDY}/tables/comparisons.md"] if config["compare"] else []),
]
FIGURES = expand(f"{FIGURE}.{{kind}}", figure=FIGURE_TABLES, kind=["pdf", "png"])


def figure_target(figure):
    """Return the name of a figure as a target: rules of tables have the others."""
    return figure if figure.startswith("fig") else f"figure_{figure}"


def no_figure(figure):
    """Say why the study has no such figure."""
    if figure in PRUNED_BY:
        return f"no network of it is pruned by {PRUNED_BY[figure]}"
    if figure == "perturbation":
        return "it has no fully connected networks, or prunes no layer by magnitude"
    if figure == "comparisons":
        return "its config key compare is empty"
    return f"none of its claims or comparisons reads table {figure}"


def check_targets():
    """End Snakemake with one sentence if a target is a figure that the study does not have, or no target at all."""
    for target in workflow.dag_settings.targets:
        for figure in set(ALL_FIGURES) - set(FIGURE_TABLES):
            files = [
                f"{FIGURE.format(figure=figure)}.{kind}" for kind in ("png", "pdf")
            ]
            if target in (figure_target(figure), *files):
                sys.exit(
                    f"sgdtails: the study {config['study']} has no figure {figure}: {no_figure(figure)}."
                )
        if not workflow.is_rule(target) and target.isidentifier():
            targets = [*TARGETS, *map(figure_target, FIGURE_TABLES)]
            sys.exit(f"sgdtails: {unknown('target', target, 'the workflow', targets)}")


SIMULATED = ["calibration", "confusion", "labels", "kesten", "theorems"]
SIMULATIONS = [
    *expand(TABLE, table=[*SIMULATED, "verdicts", "synthetic", "magnitudes", "theory"]),
    *expand(
        f"{FIGURE}.{{kind}}",
        figure=[*SIMULATED, "fig08", "fig11", "fig12"],
        kind=["pdf", "png"],
    ),
]

# What the report is made of.
REPORT = {
    "tables": [table for table in TABLES if table.endswith(".parquet")],
    "figures": [figure for figure in FIGURES if figure.endswith(".png")],
    "training": per_run(f"{RUN}/training.parquet"),
    "averaging": per_run(f"{RUN}/averaging.parquet"),
}


def only(rule):
    """Tell if this rule may run and those that it needs may not, as `make report` asks."""
    return rule in (workflow.dag_settings.allowed_rules or ())


def there(files):
    """Files of these that exist."""
    return [file for file in files if os.path.exists(file)]


def reported(part):
    """Files of one kind that the report is made of: all, or those that are there where nothing else may run."""
    if not only("report"):
        return REPORT[part]
    if not any(map(there, REPORT.values())):
        sys.exit(
            f"sgdtails: the study {config['study']} has no results yet; run `{command()}`."
        )
    return there(REPORT[part])


def unreported():
    """What the report lacks, as JSON; nothing if it lacks nothing."""
    names = {
        part: [Path(file).stem for file in REPORT[part] if file not in reported(part)]
        for part in ("figures", "tables")
    }
    runs = len(RUNS) - len(reported("training"))
    if not any(names.values()) and not runs:
        return ""
    return json.dumps(names | {"runs": runs, "command": f"{command()} --"})


def drawable():
    """Figures to draw: all, or those whose tables are there where nothing else may run."""
    if not only("figure"):
        return FIGURES
    found = [
        figure
        for figure, names in FIGURE_TABLES.items()
        if all(map(os.path.exists, expand(TABLE, table=names)))
    ]
    if left := [figure for figure in FIGURE_TABLES if figure not in found]:
        said = f"{', '.join(left)}: tables are not computed; run `{command()} -- {' '.join(map(figure_target, left))}`."
        if not found:
            sys.exit(f"sgdtails: not drawn: {said}")
        print(f"Not drawn: {said}", file=sys.stderr)
    return expand(f"{FIGURE}.{{kind}}", figure=found, kind=["pdf", "png"])


def command():
    """Return the command that was typed, without its targets and options of its own: the study as a whole."""
    given = [os.path.relpath(path) for path in workflow.config_settings.configfiles]
    options = [] if BASE.samefile(Path.cwd()) else ["-s", str(BASE / "Snakefile")]
    options += ["--configfile", *given] if given else []
    return shlex.join(["snakemake", "--cores", "all", *options])


def tables_of(figure):
    """The tables that a figure is drawn from."""
    tables = expand(TABLE, table=FIGURE_TABLES[figure])
    end_if_missing("figure", tables)
    return tables


def end_if_missing(rule, files):
    """If only this rule may run and files are missing, end Snakemake with one sentence.

    An exception would come with a traceback, and Snakemake's own error would list all missing files. Without either, Snakemake
    would take figures and pages that are there for up to date.
    """
    missing = [file for file in files if not Path(file).exists()]
    if missing and only(rule):
        sys.exit(
            f"sgdtails: {len(missing):,} of the files that the {rule} is made of are missing, such as {missing[0]}; "
            f"make them with `{command()}`, then the {rule}."
        )
