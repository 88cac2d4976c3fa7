"""Prune one FCN4 by every method and published ratio, with this library and with what a user would write instead.

    python -m benchmarks.pruning [--width 2048] [--threads 2] [--device cpu] [--root FOLDER] [--output FILE]

The plain way: at each ratio a full sort, or the full product of a decomposition, and the test set through a loader that
transforms image by image. Each method and way runs in a process of its own, one after the other; both give the same
accuracies but for rounding. Seconds start with everything loaded and imported; core-seconds are those of all threads, user and
system; memory is the whole process's peak. Ours evaluate the network before pruning in each method; a job does it once for all.
``--root`` is where torchvision finds MNIST; without it, images of noise take its place.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sgdtails import layers
from sgdtails.config import architectures
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.io import storage
from sgdtails.pruning import evaluate
from sgdtails.runtime import devices

BASE = Path(__file__).parent.parent
METHODS = ("layer_magnitude", "global_magnitude", "singular_value", "node")


def ours(weights: dict[str, Any], dataset: data.Dataset, method: str, ratios: list[float], device: Any) -> list[float]:
    """Return test accuracies at each ratio from ``evaluate.pruning_rows``, called as in the workflow's job."""
    _, test = data.splits(dataset, device)
    measure = evaluate.fully_connected({"test": test})
    rows = evaluate.pruning_rows(layers.placed(weights, device), measure, evaluate.Sweep(method, ratios), positions={})
    return [row["test_accuracy"] for row in rows]


def plain(weights: dict[str, Any], dataset: data.Dataset, method: str, ratios: list[float], device: Any) -> list[float]:
    """Return the same accuracies with torch and torchvision, in the shortest way."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms

    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)])
    images = [transforms.functional.to_pil_image(torch.from_numpy(image)) for image in dataset.test_images]

    class Images(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int) -> Any:
            return normalise(images[index]), int(dataset.test_labels[index])

    loader = DataLoader(Images(), batch_size=100)
    *hidden, head = (torch.from_numpy(weight).to(device) for weight in weights.values())
    decomposed = [_decomposed(weight) for weight in hidden] if method == "singular_value" else []
    accuracies = []
    for ratio in ratios:
        pruned = _plainly_pruned(hidden, decomposed, method, ratio)
        correct = 0
        with torch.no_grad():
            for inputs, labels in loader:
                x = inputs.to(device).flatten(1)
                for weight in pruned:
                    x = torch.relu(x @ weight.T)
                correct += int(((x @ head.T).argmax(1).cpu() == labels).sum())
        accuracies.append(correct / len(images))
    return accuracies


def _decomposed(weight: Any) -> Any:
    import torch

    median = weight.quantile(0.5, dim=0)
    return *torch.linalg.svd(weight - median, full_matrices=False), median


def _plainly_pruned(hidden: list[Any], decomposed: list[Any], method: str, ratio: float) -> list[Any]:
    import torch

    if method == "singular_value":
        result = []
        for u, s, v, median in decomposed:
            kept = s.clone()
            kept[_left(ratio, len(s)) :] = 0
            result.append((u * kept) @ v + median)
        return result
    if method == "node":
        return [_masked(weight, weight.quantile(0.5, dim=1, keepdim=True), ratio, columns=True) for weight in hidden]
    medians = [torch.from_numpy(np.asarray(np.median(weight.cpu().numpy()))).to(weight.device) for weight in hidden]
    if method == "layer_magnitude":
        return [_masked(weight, median, ratio) for weight, median in zip(hidden, medians, strict=True)]
    flat = torch.cat([(weight - median).abs().flatten() for weight, median in zip(hidden, medians, strict=True)])
    order = flat.argsort()
    kept = torch.ones_like(flat, dtype=torch.bool)
    kept[order[: len(flat) - _left(ratio, len(flat))]] = False
    parts = kept.split([weight.numel() for weight in hidden])
    return [
        torch.where(part.view_as(weight), weight, median)
        for part, weight, median in zip(parts, hidden, medians, strict=True)
    ]


def _masked(weight: Any, median: Any, ratio: float, *, columns: bool = False) -> Any:
    import torch

    magnitudes = (weight - median).abs()
    terms = magnitudes.square().sum(0) if columns else magnitudes.flatten()
    kept = torch.ones_like(terms, dtype=torch.bool)
    kept[terms.argsort()[: len(terms) - _left(ratio, len(terms))]] = False
    return torch.where(kept if columns else kept.view_as(weight), weight, median)


def _left(ratio: float, terms: int) -> int:
    return int((1 - ratio) * terms + 1e-9)


WAYS = {"ours": ours, "plain": plain}


def network(width: int, pixels: int) -> dict[str, Any]:
    """Return an FCN4 with Student-t(4) weights; their values do not change the time."""
    rng = np.random.default_rng(0)
    shapes = architectures.fully_connected_shapes(pixels, [width] * 4, 10)
    return {name: (rng.standard_t(4, shape) / shape[1] ** 0.5).astype(np.float32) for name, shape in shapes.items()}


def images(root: str | None, config: dict[str, Any]) -> data.Dataset:
    """Return MNIST, or noise of its shape."""
    if root:
        return loaders.load("mnist", config["datasets"]["sources"]["mnist"], root=root, download=False)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (10_000, 1, 28, 28), np.uint8)
    labels = rng.integers(0, 10, 10_000)
    return data.Dataset(pixels[:1], labels[:1], pixels, labels, tuple("0123456789"), (0.1307,), (0.3081,))


def measure(way: str, method: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one way and method in this process."""
    config = yaml.safe_load((BASE / "config/config.yaml").read_text())
    ratios = config["pruning"][method]["ratios"]
    dataset = images(arguments.root, config)
    weights = network(arguments.width, dataset.test_images[0].size)
    numpy_only = way == "ours" and arguments.device == "cpu"  # as the workflow's job does it
    device = None if numpy_only else devices.select(arguments.device, "fp32", arguments.threads)
    begin, used = time.perf_counter(), time.process_time()
    accuracies = WAYS[way](weights, dataset, method, ratios, device)
    spent = {"seconds": time.perf_counter() - begin, "core_seconds": time.process_time() - used}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"way": way, "method": method, **spent, "peak_gib": memory, "accuracies": accuracies}


def report(results: list[dict[str, Any]]) -> str:
    """Return a Markdown table of seconds, core-seconds and peak memory of both ways, and the distance of their accuracies."""
    lines = [
        "| method | ratios | ours, s | plain, s | ours, core-s | plain, core-s | plain / ours, core-s | ours, GiB | plain, GiB "
        "| largest difference in accuracy |"
    ]
    lines.append("|---" * 10 + "|")
    totals = {(way, unit): 0.0 for way in WAYS for unit in ("seconds", "core_seconds")}
    for method in dict.fromkeys(result["method"] for result in results):
        one, other = ({r["way"]: r for r in results if r["method"] == method}[way] for way in WAYS)
        for result in (one, other):
            for unit in ("seconds", "core_seconds"):
                totals[result["way"], unit] += result[unit]
        apart = np.abs(np.subtract(one["accuracies"], other["accuracies"])).max()
        lines.append(
            f"| {method} | {len(one['accuracies'])} | {one['seconds']:.1f} | {other['seconds']:.1f} "
            f"| {one['core_seconds']:.1f} | {other['core_seconds']:.1f} | {other['core_seconds'] / one['core_seconds']:.1f} "
            f"| {one['peak_gib']:.2f} | {other['peak_gib']:.2f} | {apart:.4f} |"
        )
    ours, used, plain, plainly_used = totals.values()
    lines.append(
        f"| all | | {ours:.1f} | {plain:.1f} | {used:.1f} | {plainly_used:.1f} | {plainly_used / used:.1f} | | | |"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--root")
    parser.add_argument("--output", default=str(BASE / "results/benchmarks/pruning.json"))
    parser.add_argument("--only", nargs=2, metavar=("WAY", "METHOD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        way, method = arguments.only
        print(json.dumps(measure(way, method, arguments)))
        return
    environment = os.environ | {
        "OMP_NUM_THREADS": str(arguments.threads),
        "OPENBLAS_NUM_THREADS": str(arguments.threads),
    }
    results = []
    for method in METHODS:
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.pruning", *sys.argv[1:], "--only", way, method]
            done = subprocess.run(command, cwd=BASE, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            results.append(json.loads(done.stdout))
    print(report(results))
    with storage.atomic(arguments.output) as temporary:
        temporary.write_text(json.dumps({"arguments": vars(arguments), "results": results}), encoding="utf-8")


if __name__ == "__main__":
    main()
