"""The run table, where results lie, and what each rule's results depend on. No rules."""

import hashlib
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import yaml
from sgdtails import audit_inputs, containers, grid, provenance
from sgdtails.errors import InputError
from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import DeploymentMethod

BASE = Path(str(workflow.basedir))
CONTAINERS = (
    DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
)
if CONTAINERS:
    containers.bind_driver()

try:
    grid.validate(
        config, yaml.safe_load((BASE / "config/config.schema.yaml").read_text())
    )
    RUNS = grid.read_runs(
        config["runs"],
        datasets=config["datasets"]["sources"],
        models=config["models"],
        base=BASE,
    )
    IMAGE = containers.image(config["container"], BASE) if CONTAINERS else None
except InputError as error:
    raise WorkflowError(f"{error}") from None

# Which runs a table is made of stands in the table too.
RUN_NAMES = hashlib.sha256(" ".join(sorted(RUNS)).encode()).hexdigest()[:16]

STUDY = f"results/{config['study']}"
LOGS = f"{STUDY}/logs"
RUN = f"{STUDY}/runs/{{run}}"
DATASET = f"{STUDY}/data/{{dataset}}.safetensors"
TABLE = f"{STUDY}/tables/{{table}}.parquet"
FIGURE = f"{STUDY}/figures/{{figure}}"
CHECKPOINTS = f"{STUDY}/checkpoints"
# What much else waits for begins first, and no analysis keeps a GPU waiting for a core.
PRIORITY = {"dataset": 3, "train": 2, "average": 1}  # analyses: 0

# On a GPU the number of slots decides which kernels compute a step, to the last bit.
SLOTS = (
    {}
    if config["device"] == "cpu"
    else {"slots": min(config["slots"], config["runs_per_job"])}
)

# Jobs of one run that a cluster gets as one; those that use a GPU apart from those that do not.
ANALYSIS = "analysis_{run}"
PRUNING = ANALYSIS if config["device"] == "cpu" else "pruning_{run}"

METHODS = {
    run: grid.pruning_methods(config["models"][row["model"]])
    for run, row in RUNS.items()
}
OWN_METHODS = {
    name: method["function"] for name, method in config["pruning"]["own"].items()
}
CHAINS = [run for run, row in RUNS.items() if "fcn" in config["models"][row["model"]]]


wildcard_constraints:
    run="[A-Za-z0-9][A-Za-z0-9_.+-]*",
    dataset="[A-Za-z0-9][A-Za-z0-9_]*",
    table="[a-z]+[0-9]?",
    figure="[a-z]+[0-9]*",


def per_run(pattern):
    """One file of every run."""
    return expand(pattern, run=RUNS)


def dataset_of(wildcards):
    return DATASET.format(dataset=RUNS[wildcards.run]["dataset"])


@cache
def code(script, *modules):
    """Digest of a rule's script, of `modules` given by name, and of what they import in this repository."""
    files = [BASE / "workflow/scripts" / script]
    files += [file for name in modules for file in provenance.module_files(name, BASE)]
    return provenance.code_digest(files, BASE)


def own_modules(functions):
    """Modules of functions given by their dotted paths."""
    return sorted({path.rpartition(".")[0] for path in functions})


def model_code(wildcards, script, *modules):
    """The digest of a script that builds a model, with the user's own module if it lies in this repository."""
    factory = config["models"][RUNS[wildcards.run]["model"]].get("factory", "")
    return code(script, factory.rpartition(".")[0], *modules)


def settings(**values):
    """A rule's settings as one string: Snakemake compares parameters without their names."""
    return json.dumps(values, sort_keys=True)


def run_settings(wildcards, **more):
    """What a run's network and its arithmetic depend on."""
    run = RUNS[wildcards.run]
    return settings(
        run={"run": wildcards.run, **run},
        model=config["models"][run["model"]],
        device=config["device"],
        precision=config["precision"],
        threads=config["resources"]["threads"],
        **more,
    )


def pruned_weights(_):
    """The trained weights that are pruned."""
    return f"{RUN}/{config['pruning']['weights']}.safetensors"


def one_run_per_panel(_):
    """Initial weights of the first run of each panel."""
    first = {}
    for run, row in RUNS.items():
        first.setdefault((row["dataset"], row["model"], row["variant"]), run)
    return expand(f"{RUN}/initial.safetensors", run=first.values())


def stage_settings(stage, run):
    """The settings of a run's training or averaging job."""
    run = SimpleNamespace(run=run)
    if stage == "train":
        return run_settings(run, stop=config["stop"], **SLOTS)
    return run_settings(run, average=config["average"], **SLOTS)


def stage_code(stage, run):
    """The digest of what computes it."""
    return model_code(SimpleNamespace(run=run), f"{stage}.py")


def fleet_mark(stage, run):
    """An empty file that says that a fleet has brought the run to the end of a stage; named after what that depends on."""
    source = config["datasets"]["sources"][RUNS[run]["dataset"]]
    before = ("train",) if stage == "train" else ("train", "average")
    parts = [settings(**source), code("dataset.py")]
    parts += [
        part(each, run) for each in before for part in (stage_settings, stage_code)
    ]
    key = " ".join(parts)
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"{STUDY}/fleets/{stage}/{run}-{digest}"


def fleet_marks(stage):
    """The input of a training or averaging job that has to wait for a fleet."""
    if config["runs_per_job"] == 1:
        return []
    return lambda wildcards: fleet_mark(stage, wildcards.run)


def fleets():
    """Stage, name and runs of jobs that bring several runs through a stage: only those that no fleet has finished.

    So a new row of the run table trains alone. The name is the same whatever is finished: a cluster's job reads this anew.
    """
    if config["runs_per_job"] == 1:
        return
    for stage in ("train", "average"):
        for name, runs in grid.fleets(RUNS, config["runs_per_job"]).items():
            if left := [r for r in runs if not Path(fleet_mark(stage, r)).exists()]:
                yield stage, name, sorted(left)


def source_files(wildcards):
    """The file of a dataset described by a path, so that replacing it is noticed; a missing one is the job's to report."""
    path = config["datasets"]["sources"][wildcards.dataset].get("path")
    file = Path(config["datasets"]["root"], path) if path else None
    return [str(file)] if file and file.is_file() else []


def claims_file(_):
    """The file of claims: in the working directory, else beside the Snakefile."""
    path = Path(config["claims"]["path"])
    return str(path if path.exists() else BASE / path)


@cache
def checkpoints():
    """Files or a torchvision model by name."""
    try:
        return audit_inputs.sources(config["checkpoint"], config["audit"]["weights"])
    except InputError as error:
        raise WorkflowError(f"{error}") from None


def checkpoint_files(wildcards):
    """The files that an audit reads: none of a randomly initialised torchvision model."""
    source = checkpoints().get(wildcards.audit)
    if source is None:
        raise WorkflowError(
            f"config key checkpoint names no {wildcards.audit}; it has: {', '.join(checkpoints())}."
        )
    if not source.startswith(audit_inputs.TORCHVISION):
        return source
    return [config["audit"]["weights"]] if config["audit"]["weights"] else []


def retried(amount):
    """A resource that doubles with each attempt at a job."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)
