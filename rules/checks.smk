"""Checks before any job starts. No rules."""

import os

from sgdtails.runtime import devices, gpu_locks, limits, slurm
from sgdtails.io import manifest
from snakemake.io import strip_wildcard_constraints
from snakemake.iocontainers import Wildcards
from snakemake.logging import logger
from snakemake.persistence import MetadataRecord, RECORD_FORMAT_VERSION
from snakemake.persistence.file import FilePersistence

NOTES = Path(".snakemake").absolute()


def results():
    """Yield rule, wildcards and files of each job of this study and of its audits."""
    names, of_networks, others = {"run": RUNS, "initial": INITIALS}, [], []
    for maker in workflow.rules:
        patterns = [strip_wildcard_constraints(pattern) for pattern in maker.output]
        of_one = len(maker.wildcard_names) == 1 and maker.wildcard_names <= set(names)
        (of_networks if of_one else others).append((maker, patterns))
    for maker, patterns in of_networks:
        (kind,) = maker.wildcard_names
        for name in names[kind]:
            fields = {kind: name}
            yield maker, fields, [each.format(**fields) for each in patterns]
    seen = set()
    for file in other_results():
        for maker, patterns in others:
            if patterns and file not in seen and maker.is_producer(file):
                wildcards = maker.get_wildcards(file)
                files = [pattern.format(**wildcards) for pattern in patterns]
                seen.update(files)
                yield maker, wildcards, files


def other_results():
    """List the results that do not belong to one run."""
    datasets = sorted({row["dataset"] for row in RUNS.values()})
    audits = checkpoints() if config["checkpoint"] else []
    return [
        *expand(DATASET, dataset=datasets),
        *workflow.get_rule("calibration").input,
        *TABLES,
        *FIGURES,
        f"{STUDY}/report.html",
        *expand(f"{AUDIT}/{{file}}", audit=audits, file=AUDIT_PAGES),
    ]


def by_folder(files):
    """Group files by the folder of their study or audit."""
    audits, found = f"results/{manifest.AUDITS}/", {}
    for file in files:
        if file.startswith(audits):
            folder = audits + file.removeprefix(audits).partition("/")[0]
        else:
            folder = STUDY
        found.setdefault(folder, []).append(file)
    return found


def check_results(dry):
    """Move damaged results aside before Snakemake plans with them, so that they are made again.

    Nothing is touched while another run is under way in this folder. The jobs that read weights check them.
    """
    from sgdtails.io import integrity  # imports numpy

    if integrity.locked(NOTES):
        return
    try:
        jobs = list(results())
        folders = {
            Path(folder): list(map(Path, files))
            for folder, files in by_folder(
                file for *_, files in jobs for file in files
            ).items()
        }
        if dry:
            found = [
                str(error)
                for files in folders.values()
                for _, error in integrity.damaged(files, weights=False)
            ]
        else:
            integrity.check_room(Path(STUDY))
            manifest.forget(Path(STUDY), study_size.passing(config, RUNS))
            found = [
                said
                for folder, files in folders.items()
                for said in integrity.repair(folder, files)
            ]
        restore_notes(jobs)
        found.append(str(study_size.measure(config, RUNS, Path(STUDY))))
    except OSError as error:
        raise refused(error) from None
    print(*found, sep="\n", end="\n" * bool(found), file=sys.stderr)


def restore_notes(jobs):
    """Give Snakemake back the notes that are missing or damaged, as after `make clean`, from what results say of themselves.

    Without a note Snakemake takes a result for up to date, whatever made it. With one it compares settings and code.
    """
    from sgdtails.io import integrity

    notes = FilePersistence(path=NOTES)
    for maker, wildcards, files in jobs:
        lost = [file for file in files if os.path.exists(file) and no_note(notes, file)]
        if lost:
            said = integrity.made_by(map(Path, files))
            params = present_params(maker, wildcards) | {"code": said.get("code")}
            if "settings" in said:
                params["settings"] = json.dumps(said["settings"], sort_keys=True)
            note = {
                "rule": maker.name,
                "params": sorted(map(repr, params.values())),
                "record_format_version": RECORD_FORMAT_VERSION,
                "incomplete": False,
            }
            for file in lost:
                notes._write_record(file, MetadataRecord(**note))


def no_note(notes, file):
    """Tell if Snakemake has no readable note on a file."""
    try:
        return notes._read_record(file) is None
    except ValueError:  # Snakemake would break off with this
        return True


def present_params(maker, wildcards):
    """Return the present parameters of a rule for one job, by name."""
    wildcards = Wildcards(fromdict=wildcards)
    return {
        name: value(wildcards) if callable(value) else value
        for name, value in maker.params.items()
    }


def list_results():
    """Write down which files the study has, for `make verify`, when a start has ended well."""
    made = [str(file) for job in workflow.dag.jobs for file in job.output]
    known = by_folder(file for *_, files in results() for file in files)
    for folder, files in by_folder(filter(os.path.exists, made)).items():
        names = [
            {file.removeprefix(f"{folder}/") for file in some}
            for some in (files, known.get(folder, []))
        ]
        try:
            passing = study_size.passing(config, RUNS) if folder == STUDY else ()
            said = manifest.write(Path(folder), *names, passing=passing)
        except OSError as error:
            raise refused(error) from None
        print(said, end="\n" * bool(said), file=sys.stderr)


def say_where():
    """Say where the page or the figures are that were asked for by name."""
    named = {"report": f"{STUDY}/report.html"}
    for figure in FIGURE_TABLES:
        named[figure_target(figure)] = f"{FIGURE.format(figure=figure)}.png"
    for target in workflow.dag_settings.targets:
        if target in named:
            print(named[target], file=sys.stderr)


def refused(error):
    """Make the sentence on a file or folder that cannot be read or written."""
    return WorkflowError(
        f"{error.filename}: {error.strerror}; make room or grant access, or see to its disk, then run again."
    )


def guarded(execute):
    """Wrap Snakemake's own function that plans and runs: results are checked before it, and listed after it.

    Snakemake's listings (--list, --summary, --dag, --unlock, --report and others) do not call it, so they check nothing.
    """

    def execute_checked(*arguments, executor_plugin, **options):
        check_targets()
        common = executor_plugin.common_settings
        if common.local_exec:
            # Each look at waiting jobs would start a timer for the next one, and each job that ends another.
            workflow.scheduling_settings.max_jobs_per_timespan = None
        real = not (common.touch_exec or common.dryrun_exec)
        if not common.touch_exec:
            check_results(dry=common.dryrun_exec)
        if real:
            logger.addHandler(Recorded())
        execute(*arguments, executor_plugin=executor_plugin, **options)
        if workflow.dag is not None and real:
            forget_ended()
            list_results()
            say_where()

    return execute_checked


if workflow.is_main_process:
    workflow.execute = guarded(workflow.execute)


def check_sources():
    """Refuse to make a dataset that cannot be made, before Snakemake removes the results that were made of it."""
    for job in workflow.dag.needrun_jobs():
        if job.rule.name == "dataset" and job.wildcards.dataset in UNMADE:
            raise WorkflowError(UNMADE[job.wildcards.dataset])


def check_machine():
    """Refuse requests for GPUs or partitions that do not exist, and say how many cores there are."""
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
            gpu_locks.check_request(gpus.value)
        elif partitions:
            file = Path(partitions)
            names = yaml.safe_load(file.read_text())["partitions"]
            slurm.check_partitions(names, str(file))
    except InputError as error:
        stop(error)
