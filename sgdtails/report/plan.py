"""What a start of the workflow will do, on one screen: jobs and networks by stage."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from sgdtails.config.types import Config
from sgdtails.report import similar_runs, status
from sgdtails.report.pace import Job
from sgdtails.report.status_overview import overview

_OF_NETWORKS = {
    "initial networks": ("initial",),
    "training": ("train",),
    "averages": ("average",),
    "tail indices": ("tails", "initial_tails"),
    "laws": ("laws", "initial_laws"),
    "compression": ("compression", "initial_compression"),
    "pruning": ("prune", "initial_prune"),
    "perturbation, bounds": ("perturbation", "bounds"),
    "dependence, errors": ("dependence", "initial_dependence", "errors"),
}
# Stages in their order; the first word of a rule's name decides, and what is in none is a table of the study.
_STAGES = {
    "datasets": ("dataset",),
    **_OF_NETWORKS,
    "simulations": (
        "calibration_sample",
        "confusion",
        "labels",
        "kesten",
        "synthetic",
        "magnitudes",
        "theory",
        "theorems",
        "verdicts",
    ),
    "audits": ("audit",),
    "tables": (),
    "figures": ("figure",),
}


def lines(jobs: Iterable[Job]) -> list[str]:
    """Count jobs and networks by stage.

    Parameters
    ----------
    jobs
        Those that are to run.

    Returns
    -------
    list of str
        A line for each stage that has jobs, and a last one for all.

    Examples
    --------
    >>> lines([Job("train", networks=8), Job("figure")])[1]
    'training                   1         8'
    """
    label = {stage: label for label, stages in _STAGES.items() for stage in stages}
    count, networks = Counter[str](), Counter[str]()
    for job in jobs:
        stage = label.get(job.stage, "tables")
        count[stage] += 1
        networks[stage] += job.networks
    rows = [
        (stage, count[stage], f"{networks[stage]:10,}" * (stage in _OF_NETWORKS)) for stage in _STAGES if count[stage]
    ]
    said = [f"{stage:20}{number:8,}{of}" for stage, number, of in rows]
    return [f"{'stage':20}{'jobs':>8}{'networks':>10}", *said, f"{'total':20}{count.total():8,}"]


def time(config: Config, planned: Mapping[str, Collection[str]], results: Path = Path("results")) -> Iterator[str]:
    """Yield lines about the time that training and averaging will take, by this study's runs and those of others.

    Parameters
    ----------
    config
        The study's whole config.
    planned
        By stage, ``train`` or ``average``, the runs of the jobs that are to run.
    results
        The folder that holds studies.

    Raises
    ------
    InputError
        The run table cannot be used.
    """
    found = overview(config, results, planned=planned)
    similar_runs.complete(found, config, results)
    yield from status.left(found)
