"""What is looked at before any job starts. No rules."""

from sgdtails import cluster, devices, leases, limits
from snakemake.persistence import MetadataRecord


def check_results():
    """Remove results that are not what was written, before Snakemake plans with them: they are made again.

    While another run is under way in this folder its results are left alone. Weights are checked by the jobs that read them.
    """
    from sgdtails import integrity  # imports numpy

    notes = Path(".snakemake")
    if integrity.locked(notes):
        return
    try:
        folders = (Path(STUDY), Path("results", integrity.AUDITS))
        if workflow.output_settings.dryrun:
            found = [
                why
                for folder in folders
                for _, why in integrity.damaged(folder, weights=False)
            ]
        else:
            integrity.check_room(Path(STUDY))
            found = [why for folder in folders for why in integrity.repair(folder)]
            found += integrity.repair_notes(notes, MetadataRecord.model_validate)
    except OSError as error:
        raise WorkflowError(
            f"{error.filename}: {error.strerror}; make room or grant access, then run again."
        ) from None
    print(*found, sep="\n", end="\n" * bool(found), file=sys.stderr)


if workflow.is_main_process:
    check_results()


def check_sources():
    """One sentence about a dataset that would be made and cannot be, before Snakemake removes what was made of it."""
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "dataset" and job.wildcards.dataset in UNMADE:
            raise WorkflowError(UNMADE[job.wildcards.dataset])


def check_machine():
    """One sentence about GPUs, partitions or cores that are asked for and do not exist, before any job starts."""
    threads = config["resources"]["threads"]
    if workflow.local_exec and threads > (cores := devices.cores(workflow.cores)):
        print(
            f"config key resources.threads is {threads}, but there are {cores} cores: jobs use {cores}.",
            file=sys.stderr,
        )
    gpus = workflow.global_resources.get("gpu")
    partitions = getattr(workflow.executor_settings, "partition_config", None)
    try:
        if workflow.local_exec and any(
            job.rule.name.startswith(("train", "average"))
            for job in workflow.dag.needrun_jobs()
        ):
            limits.check_address_space()
        if workflow.local_exec and gpus:
            leases.check_request(gpus.value)
        elif partitions:
            file = Path(partitions)
            names = yaml.safe_load(file.read_text())["partitions"]
            cluster.check_partitions(names, str(file))
    except InputError as error:
        raise WorkflowError(f"{error}") from None
