"""A run's id, such as ``fcn4-digits-b50-lr0.1-s0``: it names everything in which runs of one panel and batch size differ."""

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = r"[0-9.]+(?:e[-+]?[0-9]+)?"
_ID = re.compile(rf"(?P<model>\w+)-(?P<dataset>\w+)-b\d+-lr(?P<step_size>{_NUMBER})(?:-.+)?-s\d+")


def run_id(run: Mapping[str, Any]) -> str:
    """Name a row of the run table by a short, stable id.

    Parameters
    ----------
    run
        A row.

    Examples
    --------
    >>> run_id({"model": "cnn", "dataset": "mnist", "batch_size": 50, "step_size": 0.1, "variant": "m0.9", "seed": 2})
    'cnn-mnist-b50-lr0.1-m0.9-s2'
    """
    parts = (run["model"], run["dataset"], f"b{run['batch_size']}", f"lr{run['step_size']:.12g}", run["variant"])
    return "-".join(filter(None, (*parts, f"s{run['seed']}")))


def steps(run: str) -> dict[str, Any]:
    """Read from a run's id in what it differs from the other runs of its job.

    Returns
    -------
    dict
        ``step_size`` and ``seed``.

    Examples
    --------
    >>> steps("fcn4-digits-b50-lr1e-05-m0.9-s3")
    {'step_size': 1e-05, 'seed': 3}
    """
    found = _ID.fullmatch(run)
    assert found is not None, run
    return {"step_size": float(found["step_size"]), "seed": seed(run)}


def seed(name: str) -> int:
    """Read the seed of a run or an initial network from its id.

    Examples
    --------
    >>> seed("fcn4-digits-s3")
    3
    """
    return int(name.rpartition("-s")[2])


def initial_id(run: str) -> str:
    """Name the initial network that a run starts from: runs of one model, dataset and seed share it.

    Examples
    --------
    >>> initial_id("fcn4-digits-b50-lr0.1-s3")
    'fcn4-digits-s3'
    """
    found = _ID.fullmatch(run)
    assert found is not None, run
    return f"{found['model']}-{found['dataset']}-s{seed(run)}"
