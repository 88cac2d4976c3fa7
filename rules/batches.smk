"""Jobs of several small networks: each makes the files of several runs that a rule makes of one.

A network whose files were made by the present settings and code is in no batch; only the rule of single runs could make them
again. Snakemake prefers the rules of batches, which have no wildcards. Their parameters are those of single runs.
"""

from snakemake.io import is_flagged, temp

DONE = batches.Done(Path(STUDY))
OF_RUNS = ("train", "average", *batches.ANALYSES)
OF_INITIALS = (
    "initial",
    *(
        f"initial_{stage}"
        for stage in ("tails", "laws", "compression", "prune", "dependence")
    ),
)
# Environment variable: 1 if the driver has found a GPU. The jobs of a cluster read this file on other machines.
ON_GPUS = "SGDTAILS_ON_GPUS"
if workflow.is_main_process:
    found = config["device"] != "cpu" and devices.gpu_node() is not None
    os.environ[ON_GPUS] = str(int(config["device"] == "cuda" or found))


@cache
def shared(stage, kind, name):
    """Return what the networks of a batch have in common, a text for the batch's name, and the most of them; `name` is one of the kind."""
    one = workflow.get_rule(stage)
    wildcards = fields(one, name)
    row = row_of(Wildcards(fromdict=wildcards))
    model = config["models"][row["model"]]
    text, most = [row["model"], row["dataset"]], batches.analyses_per_job(model)
    if stage in ("train", "average"):
        text += filter(None, [f"b{row['batch_size']}", row["variant"]])
        gpu = os.environ.get(ON_GPUS) == "1"
        most = batches.runs_per_job(config["runs_per_job"], model, gpu=gpu)
    asked = tuple(present_params(one, wildcards).values())
    if stage in ("initial", "train"):
        asked += dataset_settings(row["dataset"]), code("dataset.py")
    return (asked, *text), "_".join(text), most


def groups(stage):
    """``shared`` of each network that a stage is about, by name."""
    rows = INITIALS if stage in OF_INITIALS else RUNS
    first, found = {}, {}
    for name, row in rows.items():
        if stage != "perturbation" or name in CHAINS:
            kind = tuple(row[key] for key in row if key not in ("step_size", "seed"))
            found[name] = shared(stage, kind, first.setdefault(kind, name))
    return found


def left(stage, asked, name):
    """Tell if a network's files of a stage, or any that they are made from, have to be made."""
    before = (each for each, after in batches.AFTER.items() if stage in after)
    one = workflow.get_rule(stage)
    file = for_one(one.output[0], fields(one, name))
    return not Path(file).exists() or any(
        not DONE.has(each, asked[each][name][0][0], name) for each in (stage, *before)
    )


def small_networks():
    """Rule, batch and members of each job of several."""
    stages = [each for each in (*OF_INITIALS, *OF_RUNS) if workflow.is_rule(each)]
    asked = {stage: groups(stage) for stage in stages}
    for stage, of_stage in asked.items():
        for batch, members in batches.split(of_stage, of_stage).items():
            found = [name for name in members if left(stage, asked, name)]
            if len(found) > 1:
                yield workflow.get_rule(stage), f"{stage}_{batch}", found


def fields(one, name):
    """The wildcards of a rule of single networks, for one of them."""
    return dict.fromkeys(one.wildcard_names, name)


def of_all(one, files, members):
    """A rule's files by name, of all members of a batch: lists in their order, or the one file that they share."""
    found = {}
    for name, file in files.items():
        each = [for_one(file, fields(one, member)) for member in members]
        found[name] = each if len(set(each)) > 1 else each[0]
        if is_flagged(file, "temp"):
            found[name] = temp(found[name])
    return found


def for_one(file, wildcards):
    """Return an input or output of a rule for one network."""
    file = file(Wildcards(fromdict=wildcards)) if callable(file) else file
    return strip_wildcard_constraints(file).format(**wildcards)


def make_rule(one, batch, members):
    """The rule of one batch; in a function, since Snakemake looks at `one` when the job runs."""

    rule:
        name:
            batch
        input:
            **of_all(one, one.input, members),
        output:
            **of_all(one, one.output, members),
        log:
            f"{LOGS}/{one.name}/{batch.removeprefix(f'{one.name}_')}.log",
        benchmark:
            f"{LOGS}/{one.name}/{batch.removeprefix(f'{one.name}_')}.tsv"
        priority: one.priority
        conda:
            "../envs/sgdtails.yaml"
        threads: one.ruleinfo.threads or 1
        resources:
            **one.ruleinfo.resources[1],
        params:
            **present_params(one, fields(one, members[0])),
        script:
            f"../workflow/scripts/{one.name.removeprefix('initial_')}.py"


MEMBERS = {}  # by batch: the rule of single networks, and the networks
for one, batch, members in small_networks():
    MEMBERS[batch] = one.name, members
    make_rule(one, batch, members)
