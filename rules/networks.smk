"""Runs and their initial networks: what their jobs depend on. No rules.

Parameters of these jobs do not name their run; its id does. So runs of one model, dataset and batch size have equal
parameters, and may share a job today and have one each tomorrow.
"""

# Jobs of one run that a cluster gets as one. Those that use a GPU are apart from those that do not.
ANALYSIS = "analysis_{run}"
PRUNING = ANALYSIS if config["device"] == "cpu" else "pruning_{run}"


def row_of(wildcards):
    """The row of the run table that a job of a run, or of an initial network, is about."""
    if "run" in wildcards.keys():
        return known("run", wildcards.run, RUNS)
    return known("initial network", wildcards.initial, INITIALS)


def dataset_of(wildcards):
    return DATASET.format(dataset=row_of(wildcards)["dataset"])


def initial_of(wildcards):
    """The weights that a run starts from."""
    known("run", wildcards.run, RUNS)
    return f"{INITIAL}/weights.safetensors".format(
        initial=run_ids.initial_id(wildcards.run)
    )


def model_code(wildcards, script, *modules):
    """The digest of a script that builds a model, with the user's own module if it lies in this repository."""
    factory = config["models"][row_of(wildcards)["model"]].get("factory", "")
    return code(script, factory.rpartition(".")[0], *modules)


def initial_settings(wildcards):
    """Return what an initial network depends on, beside its seed."""
    return settings(**study.initial(row_of(wildcards)))


def step_settings(wildcards, stage):
    """Return what training or averaging a run depends on, beside step size and seed."""
    return settings(**study.steps(row_of(wildcards), stage))


def prune_settings(wildcards, **more):
    """Return what pruning a network depends on."""
    return settings(**study.pruning(row_of(wildcards)), **more)


def theory_settings(wildcards, name):
    """Return what the bounds or the perturbation of a run depend on."""
    return settings(**study.analysis(name, RUNS[wildcards.run]["model"]))


def prune_code(wildcards):
    return model_code(wildcards, "prune.py", *own_modules(OWN_METHODS.values()))


def pruned_weights(_):
    """The trained weights that are pruned."""
    return f"{RUN}/{config['pruning']['weights']}.safetensors"


def one_initial_per_panel(_):
    """Initial weights of the first run of each panel."""
    first = {}
    for run, row in RUNS.items():
        panel = (row["dataset"], row["model"], row["variant"])
        first.setdefault(panel, run_ids.initial_id(run))
    return expand(f"{INITIAL}/weights.safetensors", initial=sorted(set(first.values())))
