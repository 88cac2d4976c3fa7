"""Measure what checkpoints cost, and how soon a job ends after SIGTERM.

    python -m benchmarks.checkpoints [--root FOLDER] [--model fcn4] [--output FILE]

The code of a training job trains an FCN4 of width 2048 in its own process and gets SIGTERM at several moments, one of
them in the full pass before the first step. ``--root`` is where torchvision finds MNIST; without it,
random images of that size are used. The benchmark prints the seconds from SIGTERM to the end of the process, the seconds
of a checkpoint in training and in averaging, and their share of the time at the config's ``checkpoint_minutes``.
"""

import argparse
import itertools
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import yaml

from benchmarks.study_plan import Files
from sgdtails.config import run_table
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.errors import Interrupted
from sgdtails.io import storage
from sgdtails.models import building as models
from sgdtails.training import resume, train_job
from sgdtails.training.checkpointer import FileCheckpointer
from sgdtails.training.checkpoints import CheckpointStore
from sgdtails.training.settings import RunSettings, Stop

BASE = Path(__file__).parent.parent
MOMENTS = (1, 4, 9, 16, 23, 30)  # seconds after the job is ready for signals


def job(folder: Path, config: dict[str, Any], model: str) -> None:
    """Train one run as a job of rule ``train`` does, until a signal asks it to end."""
    block = {"dataset": "mnist", "model": model, "batch_size": 50, "step_size": 0.01, "seed": 0}
    ((name, run),) = run_table.read_runs([block], datasets=["mnist"], models=[model]).items()
    settings = RunSettings(
        {"run": name, **run}, config["models"][model], "cpu", precision="fp32", threads=1, stop=Stop(**config["stop"])
    )
    dataset, initial = str(folder / "mnist.safetensors"), str(folder / f"{model}.safetensors")
    if not Path(initial).exists():
        read = data.read(dataset)
        network = models.build(model, read.shape, len(read.classes), config["models"], seed=0)
        storage.save_arrays(initial, models.state(network), {})
    outputs = Files(row=str(folder / "runs" / name / "training.parquet"))
    smk = SimpleNamespace(input=Files(), output=outputs, params=SimpleNamespace(code="c"))
    stores = resume.checkpoint_stores("train", {name: settings}, smk, {name: dataset})

    class ReadyCheckpointer(FileCheckpointer):
        """Creates a file when it is ready for signals."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            (folder / "begun").touch()

    minutes = config["checkpoint_minutes"]
    with mock.patch.object(resume, "FileCheckpointer", ReadyCheckpointer):
        try:
            train_job.train(
                {name: settings}, stores, initial={name: initial}, dataset=dataset, slots=1, minutes=minutes
            )
        except Interrupted:
            assert stores[name].load() is not None


def ended_after(folder: Path, model: str, moment: float) -> float:
    """Send SIGTERM ``moment`` seconds after the job's start; return the seconds until it has saved and ended."""
    (folder / "begun").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.checkpoints", "--model", model, "--job", str(folder)], cwd=BASE
    )
    while process.poll() is None and not (folder / "begun").exists():
        time.sleep(0.01)
    time.sleep(moment)
    begin = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    if process.wait() != 0:
        raise SystemExit(f"the job ended with {process.returncode}, not with a checkpoint")
    return time.perf_counter() - begin


def saving(folder: Path, config: dict[str, Any], model: str) -> dict[str, float]:
    """Return the median seconds of a checkpoint in training (weights) and in averaging (weights, and sums in float64)."""
    shape, rng = config["models"][model]["fcn"], np.random.default_rng(0)
    widths = [784, *shape, 10]
    pairs = itertools.pairwise(widths)
    weights = {f"state/{i}": rng.random((out, into), dtype=np.float32) for i, (into, out) in enumerate(pairs)}
    sums = {name.replace("state", "sums"): weight.astype(np.float64) for name, weight in weights.items()}
    seconds = {}
    for stage, arrays in (("training", weights), ("averaging", weights | sums)):
        store, times = CheckpointStore(folder, stage, "a", depends={}), []
        for _ in range(7):
            begin = time.perf_counter()
            store.save(arrays, {})
            times.append(time.perf_counter() - begin)
        seconds[stage] = statistics.median(times)
    return seconds


def images(root: str | None, config: dict[str, Any]) -> data.Dataset:
    if root:
        return loaders.load("mnist", config["datasets"]["sources"]["mnist"], root=root, download=False)
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 1, 28, 28), dtype=np.uint8) for n in (60_000, 10_000))
    labels = [rng.integers(0, 10, len(split)) for split in (train, test)]
    return data.Dataset(train, labels[0], test, labels[1], tuple("0123456789"), (0.5,), (0.29,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root")
    parser.add_argument("--model", default="fcn4")
    parser.add_argument("--output", default=str(BASE / "results/benchmarks/checkpoints.json"))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    config = yaml.safe_load((BASE / "config/config.yaml").read_text())
    if arguments.job:
        job(Path(arguments.job), config, arguments.model)
        return
    Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=Path(arguments.output).parent) as name:
        folder = Path(name)
        seconds = saving(folder, config, arguments.model)
        interval = 60 * config["checkpoint_minutes"]
        for stage, value in seconds.items():
            print(
                f"{stage}: a checkpoint takes {value:.2f} s, {value / (interval + value):.2%} of the time", flush=True
            )
        data.write(images(arguments.root, config), folder / "mnist.safetensors")
        ends = [ended_after(folder, arguments.model, moment) for moment in MOMENTS]
    print("seconds from SIGTERM to the end of the job: " + ", ".join(f"{end:.2f}" for end in ends))
    with storage.atomic(arguments.output) as temporary:
        temporary.write_text(json.dumps({"checkpoint": seconds, "sigterm": ends}), encoding="utf-8")


if __name__ == "__main__":
    main()
