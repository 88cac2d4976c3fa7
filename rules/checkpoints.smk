"""Removes checkpoints of runs whose files Snakemake has recorded. No rules.

A job leaves the last checkpoint of each of its runs: if Snakemake removes the files of a job whose end it did not see, or could
not record, the next start writes them again from there.
"""

import logging
from contextlib import suppress

from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent


class Recorded(logging.Handler):
    """Hears of jobs that are recorded. With `--quiet progress` Snakemake says nothing of them: then the next start removes all."""

    def __init__(self):
        super().__init__()
        self.jobs = {}  # those that train or average, by number

    def emit(self, record):
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO and not workflow.dryrun:
            self.list_jobs()
            for job in self.jobs.values():
                if not workflow.dag.needrun(
                    job
                ):  # an earlier start ended before it had removed them
                    self.forget(*networks(job), ended=True)
        elif event == LogEvent.JOB_FINISHED and record.job_id in self.jobs:
            self.forget(*networks(self.jobs[record.job_id]))

    def list_jobs(self):
        from sgdtails.report.pace import TRAINING

        for job in workflow.dag.jobs:
            if networks(job)[0] in TRAINING:
                self.jobs[workflow.dag.jobid(job)] = job

    @staticmethod
    def forget(stage, runs, **how):
        """Remove the checkpoints of runs that a job has trained or averaged."""
        from sgdtails.training import checkpoints  # imports numpy

        for run in runs:
            with suppress(OSError):  # they take room, and the next start tries again
                checkpoints.remove(Path(CHECKPOINTS, stage, run), **how)


if workflow.is_main_process:
    logger.addHandler(Recorded())
