"""Which tables and figures a study has, and what its report is made of. No rules."""

import os

# Which tables a figure is drawn from, by its file name.
FIGURE_TABLES = {
    "fig01": ("runs", "tails"),
    "fig02": ("histograms",),
    "fig03": ("runs", "tails", "compression"),
    "fig04": ("runs", "tails", "pruning"),
    "fig05": ("runs", "tails", "pruning"),
    "fig06": ("runs", "tails", "pruning"),
    "fig07": ("runs", "tails"),
    "fig08": ("synthetic",),
    "fig09": ("runs", "tails", "pruning"),
    "fig10": ("runs", "tails", "pruning"),
    "fig11": ("theory",),
    "fig12": ("magnitudes",),
    "profiles": ("profiles",),
    "calibration": ("calibration",),
    "confusion": ("confusion",),
    "kesten": ("kesten",),
    "theorems": ("theorems",),
    "perturbation": ("perturbation",),
}
# A study without convolutional, or without fully connected networks has no such figure.
if not CHAINS:
    del FIGURE_TABLES["perturbation"]
for figure, method in {"fig06": "kernel", "fig10": "node"}.items():
    if not any(method in methods for methods in METHODS.values()):
        del FIGURE_TABLES[figure]

TABLES = [
    *expand(
        TABLE, table=sorted({t for names in FIGURE_TABLES.values() for t in names})
    ),
    *expand(TABLE, table=["history", "readings", "table1", "table2", "bounds"]),
    *expand(TABLE, table=["latency"] if CHAINS else []),
    *expand(TABLE, table=["claims", "verdicts"]),
    *expand(f"{STUDY}/tables/{{text}}.md", text=["claims", "table1", "table2"]),
]
FIGURES = expand(f"{FIGURE}.{{kind}}", figure=FIGURE_TABLES, kind=["pdf", "png"])

SIMULATED = ["calibration", "confusion", "kesten", "theorems"]
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
    """Where no rule but this one may run and files are missing, the end of Snakemake with one sentence.

    An exception would come with a traceback, and Snakemake's own error with a list of all of them; figures and pages that
    are there it would take for up to date.
    """
    missing = [file for file in files if not Path(file).exists()]
    if missing and only in (workflow.dag_settings.allowed_rules or ()):
        given = [os.path.relpath(path) for path in workflow.config_settings.configfiles]
        options = ["--configfile", *given] if given else []
        command = " ".join(["snakemake --cores all", *options])
        sys.exit(
            f"sgdtails: the study {config['study']} is not finished: {len(missing):,} of the files that the {only} is made "
            f"of are missing, such as {missing[0]}; finish it with `{command}`, then make the {only}."
        )
