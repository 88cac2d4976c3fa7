"""What a start prints: the plan on one screen, then a line of progress now and then. No rules.

With `--quiet host`, or any other `--quiet`, and with `--verbose` the terminal shows Snakemake's own messages instead.
"""

import atexit
import logging
import signal
import time

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

EVERY = 15  # seconds between two lines
# Of each start or job: nothing that a person needs to know.
UNSAID = {
    LogEvent.WORKFLOW_STARTED,
    LogEvent.JOB_INFO,
    LogEvent.JOB_STARTED,
    LogEvent.JOB_FINISHED,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_ERROR,
    LogEvent.PROGRESS,
    LogEvent.RESOURCES_INFO,
}
UNSAID_WORDS = (
    "Config file",
    "Assuming unrestricted shared filesystem",
    "Select jobs to execute",
    "Using shell",
    "Building DAG",
    "Conda environments",
    "Reasons:",
    "This was a dry-run",
    "RuleException",
)


def networks(job):
    """Return stage and networks of one of Snakemake's jobs; no networks if it is about something else."""
    if job.rule.name in MEMBERS:
        return MEMBERS[job.rule.name]
    network = job.wildcards_dict.get("run", job.wildcards_dict.get("initial"))
    known = network in RUNS or network in INITIALS
    return job.rule.name, [network] if known else []


def as_job(job):
    """Return stage, subject and number of networks of one of Snakemake's jobs."""
    from sgdtails.report.pace import Job

    stage, members = networks(job)
    if members:
        return Job(stage, shared_text(stage, members[0]), len(members))
    return Job(stage, "_".join(map(str, job.wildcards_dict.values())))


def to_train(jobs):
    """Return by stage the runs that these jobs train or average."""
    from sgdtails.report.pace import TRAINING

    runs = {stage: set() for stage in TRAINING}
    for stage, members in map(networks, jobs):
        if stage in runs:
            runs[stage].update(members)
    return runs


def shared_text(stage, network):
    """Return model and dataset of a run or initial network, and batch size and variant where it is trained or averaged."""
    row = RUNS.get(network) or INITIALS[network]
    trained = (
        [f"b{row['batch_size']}", row["variant"]]
        if stage in ("train", "average")
        else []
    )
    return "_".join([row["model"], row["dataset"], *filter(None, trained)])


def copied(job):
    """Tell if a job will copy its table, as far as the driver knows: a container or conda environment has its own libraries."""
    from sgdtails.io import shared  # imports numpy

    if (
        job.rule.name not in (*SIMULATION, "calibration_sample")
        or workflow.deployment_settings.deployment_method
    ):
        return False
    return shared.place(job.output[0], job.params).is_file()


def trained():
    """Say how many networks are trained; nothing if all are. Before a job of training ends, no time can be told, but this can."""
    from sgdtails.report.status_overview import overview

    try:
        found = overview(config)
    except (InputError, OSError):
        return ""
    ended, runs = len(found.ended["train"]), len(found.runs)
    return f", {ended:,} of {runs:,} networks trained" if ended < runs else ""


class Screen(logging.Filter):
    """Says on the terminal what Snakemake says of jobs, in fewer words; Snakemake's log file stays as it is."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal, self.pace, self.said, self.line = terminal, None, 0.0, ""
        self.training = self.ended = False
        self.interrupted, self.go_on = False, signal.getsignal(signal.SIGINT)
        if callable(self.go_on):
            signal.signal(signal.SIGINT, self.interrupt)

    def interrupt(self, number, frame):
        """Note that a person has pressed Ctrl-C, and let Snakemake end."""
        self.interrupted = True
        atexit.register(self.end)  # if Snakemake says nothing more
        self.go_on(number, frame)

    def filter(self, record):
        event, now = getattr(record, "event", None), time.monotonic()
        if self.interrupted and self.pace:  # jobs end, and none of them has failed
            return self.end()
        if event == LogEvent.RUN_INFO and hasattr(record, "stats"):
            if not self.pace:  # a dry run would say it twice
                self.plan()
            return False
        if event == LogEvent.PROGRESS and self.pace:
            self.progress(record, now)
        elif event == LogEvent.JOB_INFO and self.pace:
            self.pace.start(record.jobid, now)
        elif event == LogEvent.JOB_FINISHED and self.pace:
            self.pace.finish(record.job_id, now)
        elif event == LogEvent.JOB_ERROR:
            self.say(
                f"The job {record.rule_name} failed. Its log: {', '.join(record.log)}"
            )
        return event not in UNSAID and not str(record.msg).startswith(UNSAID_WORDS)

    def end(self):
        """Say once that the start was interrupted, in place of what Snakemake says of jobs that did not end."""
        if self.pace and not self.ended:
            self.ended = True
            done = self.pace.line(time.monotonic()).partition(",")[0]
            self.say(f"Interrupted: {done}. The same command goes on from there.")
        return False

    def say(self, text):
        """Print a line or lines of this filter's own."""
        self.terminal.emit(logging.LogRecord("", logging.INFO, "", 0, text, (), None))

    def plan(self):
        """Say what is to be done, once it is planned."""
        from sgdtails.report import pace, plan

        planned = [job for job in workflow.dag.needrun_jobs() if job.output]
        jobs = {workflow.dag.jobid(job): as_job(job) for job in planned}
        self.pace = pace.Pace(jobs)
        lines = plan.lines(jobs.values())
        runs = to_train(planned)
        self.training = any(runs.values())
        if self.training:
            lines += plan.time(config, runs)
        if number := sum(map(copied, planned)):
            lines.append(
                f"Simulations that were computed before with the same settings, so that their tables are copied: {number}"
            )
        self.say("\n".join(lines))

    def progress(self, record, now):
        """Say how far the work is, unless that was said a moment ago."""
        if now - self.said >= EVERY or record.done == record.total:
            line = self.pace.line(now)
            if "," not in line and self.training:
                line += trained()
            if (
                line != self.line
            ):  # the job of a target makes no file, and does not count
                self.say(line)
            self.said, self.line = now, line


if (
    workflow.is_main_process
    and not workflow.output_settings.quiet
    and not workflow.output_settings.verbose
):
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.filters.insert(0, Screen(handler))
