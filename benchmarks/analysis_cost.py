"""Measure what the analyses of one wide network cost, now and at another revision.

    python -m benchmarks.analysis_cost REVISION --root FOLDER [--model fcn4] [--pruning]

A network of the paper's width is trained for one gate and averaged for two iterations, then analysed and pruned by the
workflow, one kind after the other: CPU seconds of all processes, seconds on all cores, and the peak memory of one. ``--root``
holds MNIST's files. Pruning is measured at this revision only, unless ``--pruning`` is given: at the other one it may take ten
minutes. A table is printed and written to results/benchmarks/analysis_cost.json.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.demo_cost import BASE, OUT, measure, workplace, worktree

RUN = "{model}-mnist-b50-lr0.1-s0"
ANALYSES = ("tails", "compression", "perturbation", "bounds")
KINDS = (*ANALYSES, "pruned")


def study(model: str, root: str) -> dict[str, Any]:
    """Return the config of one run that meets the stop rule at its first gate."""
    return {
        "study": "cost",
        "runs": [{"dataset": "mnist", "model": model, "batch_size": 50, "step_size": 0.1, "seed": 0}],
        "datasets": {"root": str(Path(root).resolve()), "download": False},
        "stop": {"train_nll": 1e6, "train_accuracy": 0.0},
        "average": {"burn_in": 200, "length": 2},
        "device": "cpu",
    }


def costs(tree: Path, folder: Path, config: Path, model: str, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Measure each kind of analysis, after the training that they need."""
    place = f"results/cost/runs/{RUN.format(model=model)}"
    return {kind: measure(tree, folder, config, f"{place}/{kind}.parquet") for kind in ("averaging", *kinds)}


def markdown(before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> str:
    """Return a table with a row per kind, and one for all analyses but pruning."""
    heading = "| | CPU seconds before | now | ratio | seconds now | peak GiB now |\n|---|---|---|---|---|---|"
    lines = [_row(kind, before.get(kind), now[kind]) for kind in KINDS]
    sums = [
        {
            key: reduce(cost[kind][key] for kind in ANALYSES)
            for key, reduce in (("cpu_seconds", sum), ("seconds", sum), ("peak_gib", max))
        }
        for cost in (before, now)
    ]
    return "\n".join([heading, *lines, _row("all but pruning", *sums)])


def _row(name: str, before: dict[str, Any] | None, now: dict[str, Any]) -> str:
    cpu = now["cpu_seconds"]
    both = (
        f"{before['cpu_seconds']:.1f} | {cpu:.1f} | {cpu / before['cpu_seconds']:.2f}" if before else f" | {cpu:.1f} | "
    )
    return f"| {name} | {both} | {now['seconds']:.1f} | {now['peak_gib']:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="what to compare with: a commit, branch or tag")
    parser.add_argument("--root", required=True, help="the folder with MNIST's files")
    parser.add_argument("--model", default="fcn4")
    parser.add_argument("--pruning", action="store_true", help="measure what pruning cost before, too")
    given = parser.parse_args()
    with workplace("analysis_cost") as folder:
        config = folder / "study.yaml"
        config.write_text(yaml.safe_dump(study(given.model, given.root)), encoding="utf-8")
        with worktree(given.revision, folder / "tree") as tree:
            before = costs(tree, folder / "before", config, given.model, KINDS if given.pruning else ANALYSES)
        now = costs(BASE, folder / "now", config, given.model, KINDS)
    said = {"revision": given.revision, "model": given.model, "before": before, "now": now}
    (OUT / "analysis_cost.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    print(markdown(before, now))


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"analysis_cost: {error}")
