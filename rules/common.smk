"""The run table, where results lie, and what each rule's results depend on. No rules."""

import hashlib
import json
import os
from functools import cache, partial
from pathlib import Path

import sgdtails
import yaml
from sgdtails.audit import checkpoints as audit_sources
from sgdtails.config import (
    architectures,
    batches,
    claimed_tables,
    containers,
    config_schema,
    plugins,
    prunable_layers,
    resources,
    run_ids,
    study_size,
)
from sgdtails.config.study import Study, complete
from sgdtails.data import contents
from sgdtails.digests import code_digest, digest_cache
from sgdtails.errors import InputError, UserCodeError, unknown
from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import DeploymentMethod

BASE = Path(str(workflow.basedir))
if not (BASE / "sgdtails").samefile(Path(sgdtails.__file__).parent):
    raise WorkflowError(
        f"Python has {Path(sgdtails.__file__).parent} in place of {BASE / 'sgdtails'}; start Snakemake by itself."
    )
code_digest.put_first(BASE)
code_digest.beside(
    [Path(file).resolve().parent for file in workflow.config_settings.configfiles], BASE
)


def stop(error):
    """End with one sentence, which names the study's config. Snakemake would add a traceback to an exception."""
    given = [
        min(os.path.relpath(path), str(path), key=len)
        for path in workflow.config_settings.configfiles
    ]
    sys.exit(": ".join(["sgdtails", *filter(None, [", ".join(given)]), f"{error}"]))


if workflow.is_main_process:
    os.environ.pop(code_digest.GIVEN, None)  # of a driver that started this one
CONTAINERS = (
    DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
)
if CONTAINERS:
    containers.bind_driver()

try:
    complete(config, BASE)
    study = Study.read(config, BASE)
    RUNS, USED, METHODS = study.runs, study.models, study.methods
    study.exempt  # a wrong name of a layer is a sentence here
    prunable_layers.check_index(config["index"]["exempt"], USED.values())
    IMAGE = containers.image(config["container"], BASE) if CONTAINERS else None
except InputError as error:
    stop(error)

# The networks that runs start from: one of each model, dataset and seed. Each has a row of the run table that starts from it.
INITIALS = {}
for name, row in RUNS.items():
    INITIALS.setdefault(run_ids.initial_id(name), row)

# Tables of all runs carry a digest of their names: settings do not show that a run was taken out.
RUN_NAMES = hashlib.sha256(" ".join(sorted(RUNS)).encode()).hexdigest()[:16]

STUDY = f"results/{config['study']}"
LOGS = f"{STUDY}/logs"
RUN = f"{STUDY}/runs/{{run}}"
INITIAL = f"{STUDY}/initial/{{initial}}"
DATASET = f"{STUDY}/data/{{dataset}}.safetensors"
TABLE = f"{STUDY}/tables/{{table}}.parquet"
FIGURE = f"{STUDY}/figures/{{figure}}"
CHECKPOINTS = f"{STUDY}/checkpoints"
# Jobs that many others wait for start first, so that no analysis keeps a GPU waiting for a core.
PRIORITY = {"dataset": 4, "initial": 3, "train": 2, "average": 1}  # analyses: 0

OWN_METHODS = {
    name: method["function"] for name, method in config["pruning"]["own"].items()
}
SHAPES = {name: architectures.width_and_depth(model) for name, model in USED.items()}
TRAIN_SIZES = study.train_sizes
CHAINS = [run for run, row in RUNS.items() if "fcn" in config["models"][row["model"]]]


wildcard_constraints:
    run="[A-Za-z0-9][A-Za-z0-9_.+-]*",
    initial="[A-Za-z0-9][A-Za-z0-9_-]*",
    dataset="[A-Za-z0-9][A-Za-z0-9_]*",
    table="[a-z]+[0-9]?",
    figure="[a-z]+[0-9]*",


def per_run(pattern):
    """One file of every run."""
    return expand(pattern, run=RUNS)


def per_initial(pattern):
    """One file of every initial network."""
    return expand(pattern, initial=INITIALS)


def weights_of(kind, pattern):
    """A file of weights of this kind, which Snakemake removes after its last use where they are not to be kept."""
    keep, pruned = config["weights"]["keep"], config["pruning"]["weights"]
    return pattern if study_size.kept(kind, keep, pruned) else temp(pattern)


def known(kind, name, names):
    """Look a run or dataset up by its name. If a target names one that the study does not have, Snakemake ends with one sentence.

    `end_if_missing` says why. If the name is only that of an input, Snakemake goes on without a rule for it.
    """
    if name in names:
        return names[name]
    where = f"the study {config['study']}"
    error = str(unknown(kind, name, where, names))
    if any(name in target for target in workflow.dag_settings.targets):
        sys.exit(f"sgdtails: {error}")
    raise WorkflowError(error)


CODE_STATE = digest_cache.state(BASE)


@cache
def code(script, *modules):
    """Digest of a rule's script, of `modules` given by name, and of what they import in this repository; jobs check it."""
    return code_digest.of_rule(
        f"workflow/scripts/{script}", modules, BASE, state=CODE_STATE
    )


def own_modules(functions):
    """Modules of functions given by their dotted paths."""
    return sorted({path.rpartition(".")[0] for path in functions})


def settings(**values):
    """A rule's settings as one string: Snakemake compares parameters without their names."""
    return json.dumps(values, sort_keys=True)


def known_dataset(wildcards):
    """No file; a sentence about a dataset that the study does not have."""
    known("dataset", wildcards.dataset, config["datasets"]["sources"])
    return []


UNMADE = {}  # for each dataset that could not be made again now: the reason


@cache
def source_contents(dataset):
    """Digest the contents of a dataset's path: other contents make it and its runs again, wherever they lie."""
    starts = workflow.is_main_process
    prepared = Path(DATASET.format(dataset=dataset))
    try:
        found = contents.current(
            dataset,
            study.source(dataset),
            root=config["datasets"]["root"],
            prepared=prepared,
            code=code("dataset.py"),
            keep=starts and not workflow.output_settings.dryrun,
            say=partial(print, file=sys.stderr) if starts else lambda _: None,
        )
    except InputError as error:  # for check_sources: Snakemake would add a traceback
        UNMADE[dataset] = f"{error}"
        if starts and workflow.output_settings.dryrun:
            print(error, file=sys.stderr)
        return ""
    if found.away and prepared.exists():
        UNMADE[dataset] = f"{contents.needed(dataset, found.away, prepared)}"
    return found.digest


def dataset_settings(dataset):
    """What a prepared dataset depends on."""
    return settings(
        name=dataset,
        source=study.source(dataset),
        contents=source_contents(dataset),
    )


# In the working directory, else beside the Snakefile.
CLAIMS = [str(path) for path in claimed_tables.paths(config["claims"]["path"], BASE)]


def check_claims():
    """Refuse a missing or wrong file of claims, and names in the config that do not exist, even if nothing is left to be done."""
    from sgdtails.claims import comparisons, definitions  # import numpy

    try:
        computed = config_schema.computed(config)
        columns = comparisons.known_columns(RUNS, SHAPES, TRAIN_SIZES)
        comparisons.check(config["compare"], computed, columns)
        definitions.check_train_sizes(
            definitions.read(CLAIMS, computed),
            {name: study.source(name) for name in TRAIN_SIZES},
        )
        definitions.check_names(
            config["index"], "config key index", definitions.names(computed)
        )
        for run in config["histograms"]["runs"]:
            if run not in RUNS:
                raise unknown("run", run, "config key histograms.runs", RUNS)
    except InputError as error:
        stop(error)


def check_own():
    """Import all functions of the user's own that the config names, so that a mistake is said before anything runs."""
    named = {
        f"config key tails.own.{name}": path
        for name, path in config["tails"]["own"].items()
    }
    named |= {
        f"config key pruning.own.{name}": path for name, path in OWN_METHODS.items()
    }
    named |= {
        f"config key models.{name}": model["factory"]
        for name, model in USED.items()
        if "factory" in model
    }
    try:
        for where, path in named.items():
            plugins.load(path, where)
    except (InputError, UserCodeError) as error:
        stop(error)


if workflow.is_main_process:
    check_claims()
    if not CONTAINERS:  # whose image may have what this machine lacks
        check_own()


@cache
def checkpoints():
    """Files or a torchvision model by name."""
    try:
        found = audit_sources.sources(config["checkpoint"], config["audit"]["weights"])
        if CONTAINERS:
            audit_sources.bind(
                file
                for file in [*found.values(), config["audit"]["weights"]]
                if file and not file.startswith(audit_sources.TORCHVISION)
            )
        return found
    except InputError as error:
        stop(error)


def checkpoint_files(wildcards):
    """The files that an audit reads: none of a randomly initialised torchvision model."""
    source = checkpoints().get(wildcards.audit)
    if source is None:
        raise WorkflowError(
            f"config key checkpoint names no {wildcards.audit}; it has: {', '.join(checkpoints())}."
        )
    if not source.startswith(audit_sources.TORCHVISION):
        return audit_sources.files(source)
    return [config["audit"]["weights"]] if config["audit"]["weights"] else []


def retried(amount):
    """A resource that doubles with each attempt at a job."""
    return lambda wildcards, attempt: amount * 2 ** (attempt - 1)
