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
    "rows": ("runs", "tails", "pruning"),
    "filters": ("runs", "tails", "pruning"),
    "channels": ("runs", "tails", "pruning"),
}
# Whose accuracy after pruning a figure shows.
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
# A study without convolutional, or without fully connected networks has no such figure, nor one of a method that is not run.
if not CHAINS or not config["pruning"]["layer_magnitude"]["ratios"]:
    del FIGURE_TABLES["perturbation"]
for figure, method in PRUNED_BY.items():
    if not any(method in methods for methods in METHODS.values()):
        del FIGURE_TABLES[figure]
# Global pruning has no relative error of each layer.
FIGURE_SETTINGS = {
    figure: {"scheme": config["pruning"]["scheme"]}
    for figure in PRUNED_BY
    if figure != "fig09"
}

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
    """Files of one kind; where nothing but the report may be made, the end of Snakemake with one sentence if any are missing.

    An exception would come with a traceback, and Snakemake's own error with a list of all of them.
    """
    files = [file for files in REPORT.values() for file in files]
    missing = [file for file in files if not Path(file).exists()]
    if missing and "report" in (workflow.dag_settings.allowed_rules or ()):
        given = [os.path.relpath(path) for path in workflow.config_settings.configfiles]
        options = ["--configfile", *given] if given else []
        command = " ".join(["snakemake --cores all", *options])
        sys.exit(
            f"sgdtails: the study {config['study']} is not finished: {len(missing):,} of its files are missing, such as "
            f"{missing[0]}; finish it with `{command}`, then make the report."
        )
    return REPORT[part]
