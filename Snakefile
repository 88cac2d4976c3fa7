"""The paper's study, or the one given with --configfile: from a run table to tables and figures.

Targets: all (default), tables, figures, simulations (what needs no training run), report,
audit (of given checkpoints).
"""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")
if not (Path(str(workflow.basedir)) / "sgdtails").is_dir():
    raise WorkflowError(
        f"{workflow.basedir} has no folder sgdtails: as a module this workflow lacks its library; clone it whole, "
        "and start it with snakemake -s PATH/Snakefile (config/README.md)."
    )
sys.path.insert(0, str(workflow.basedir))


include: "rules/progress.smk"


configfile: workflow.source_path("config/config.yaml")


include: "rules/common.smk"
include: "rules/targets.smk"
include: "rules/checks.smk"
include: "rules/networks.smk"


container: IMAGE  # of every rule, with --sdm apptainer


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/tails.smk"
include: "rules/prune.smk"
include: "rules/simulations.smk"
include: "rules/theory.smk"
include: "rules/claims.smk"
include: "rules/compare.smk"
include: "rules/figures.smk"
include: "rules/audit.smk"
include: "rules/report.smk"
include: "rules/batches.smk"
include: "rules/checkpoints.smk"


rule all:
    default_target: True
    input:
        TABLES,
        FIGURES,


rule tables:
    input:
        TABLES,


rule figures:
    input:
        lambda _: drawable(),


rule simulations:
    input:
        SIMULATIONS,


onstart:
    check_sources()
    check_machine()
