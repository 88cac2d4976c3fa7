"""The tables and figures of a study, and the files that its report is made of. No rules."""

import os
import shlex

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
# Figures of convolutional or of fully connected networks, or of one pruning method, exist only in studies that have them.
if not CHAINS or not config["pruning"]["layer_magnitude"]["ratios"]:
    del FIGURE_TABLES["perturbation"]
for figure, method in PRUNED_BY.items():
    if not any(method in methods for methods in METHODS.values()):
        del FIGURE_TABLES[figure]
# Tables of ON_DEMAND that claims name, and those that comparisons name.
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
        TABLE, table=sorted({t for names in FIGURE_TABLES.values() for t in names})
    ),
    *expand(TABLE, table=["history", "readings", "table1", "table2", "bounds"]),
    *expand(TABLE, table=["latency"] if CHAINS else []),
    *expand(TABLE, table=["dependence"] if "dependence" in ASKED else []),
    *expand(TABLE, table=["claims", "verdicts"]),
    *expand(f"{STUDY}/tables/{{text}}.md", text=["claims", "table1", "table2"]),
]
FIGURES = expand(f"{FIGURE}.{{kind}}", figure=FIGURE_TABLES, kind=["pdf", "png"])

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


def finished(part):
    """Files of one kind that the report is made of."""
    end_if_missing("report", [file for files in REPORT.values() for file in files])
    return REPORT[part]


def tables_of(figure):
    """The tables that a figure is drawn from."""
    tables = expand(TABLE, table=FIGURE_TABLES[figure])
    end_if_missing("figure", tables)
    return tables


def end_if_missing(only, files):
    """If only this rule may run and files are missing, end Snakemake with one sentence.

    An exception would come with a traceback, and Snakemake's own error would list all missing files. Without either, Snakemake
    would take figures and pages that are there for up to date.
    """
    missing = [file for file in files if not Path(file).exists()]
    if missing and only in (workflow.dag_settings.allowed_rules or ()):
        given = [os.path.relpath(path) for path in workflow.config_settings.configfiles]
        options = ["--configfile", *given] if given else []
        command = shlex.join(["snakemake", "--cores", "all", *options])
        sys.exit(
            f"sgdtails: the study {config['study']} is not finished: {len(missing):,} of the files that the {only} is made "
            f"of are missing, such as {missing[0]}; finish it with `{command}`, then make the {only}."
        )
