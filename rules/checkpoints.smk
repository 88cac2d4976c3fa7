"""Removes checkpoints of runs whose files Snakemake has recorded. No rules.

A job leaves the last checkpoint of each of its runs: if Snakemake removes the files of a job whose end it did not see, or could
not record, the next start writes them again from there.
"""

import logging
from contextlib import suppress
from functools import cached_property

from snakemake_interface_logger_plugins.common import LogEvent


class Recorded(logging.Handler):
    """Hears of jobs that are recorded, unless `--quiet progress` is given: then their checkpoints stay until the start ends."""

    @cached_property
    def jobs(self):
        """Those that train or average, by number."""
        return {workflow.dag.jobid(job): job for job in training_jobs()}

    def emit(self, record):
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_FINISHED and record.job_id in self.jobs:
            forget(self.jobs[record.job_id])


def training_jobs():
    """List the jobs that train or average, those that have nothing to do too."""
    from sgdtails.report.pace import TRAINING

    return [job for job in workflow.dag.jobs if networks(job)[0] in TRAINING]


def forget(job, **how):
    """Remove the checkpoints of a job's runs."""
    from sgdtails.training import checkpoints  # imports numpy

    stage, runs = networks(job)
    for run in runs:
        with suppress(OSError):  # they take room, and the next start tries again
            checkpoints.remove(Path(CHECKPOINTS, stage, run), **how)


def forget_ended():
    """Remove what nothing needs any more once a start has ended well: an earlier one may have ended before it did so."""
    if os.path.exists(CHECKPOINTS):
        for job in training_jobs():
            forget(job, ended=True)
