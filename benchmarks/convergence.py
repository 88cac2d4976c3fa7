"""Measure seconds to convergence, for this library and for what a user would write instead: part of ``benchmarks.training``."""

import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks import roofline
from sgdtails.data import datasets as data
from sgdtails.models import building as models
from sgdtails.runtime.progress import Progress
from sgdtails.training import evaluation, trainer
from sgdtails.training.batch_sampler import BatchSampler
from sgdtails.training.engines import base, factory
from sgdtails.training.settings import Stop

SPEC = {"fcn": [256] * 4}


class MemoryCheckpointer:
    """Keeps ended runs in memory."""

    interrupted = False

    def __init__(self) -> None:
        self.runs: list[trainer.Run] = []

    def due(self) -> bool:
        return False

    def save(self, run: trainer.Run) -> None: ...

    def ended(self, run: trainer.Run) -> None:
        self.runs.append(run)


def converge(dataset: data.Dataset, device: torch.device, stop: Stop) -> dict[str, float]:
    """Train (a) to convergence; return its iterations, its seconds in steps, gates and history, and those of averaging."""
    train, test = data.splits(dataset, device)

    def build(seed: int = 0) -> nn.Module:
        return models.build("m", dataset.shape, len(dataset.classes), {"m": SPEC}, seed=seed)

    stepping = 0.0
    interleave = base.interleave

    def timed(*arguments: Any) -> list[int]:
        nonlocal stepping
        begin = time.perf_counter()
        done = interleave(*arguments)
        stepping += time.perf_counter() - begin
        return done

    task = trainer.Task(train, test, 50, stop, lambda seed: models.state(build(seed)))
    checkpointer = MemoryCheckpointer()
    engines = factory.build_engines(SPEC, build, train, batch_size=50, replicas=1)
    begin = time.perf_counter()
    with mock.patch.object(trainer, "interleave", timed):
        trainer.Trainer(engines, task, checkpointer, Progress(stop.budget)).train([trainer.Run("run", 0.1, 0)])
    total = time.perf_counter() - begin
    (run,) = checkpointer.runs
    assert run.outcome is not None
    assert run.outcome["status"] == "converged"
    engines[0].accumulate(True)
    order = BatchSampler(len(train), 50, 0).take(0, 1000)[:, None]
    averaging = roofline.best(lambda: base.interleave([(engines[0], order)], lambda: False), 1, device)
    full = roofline.best(lambda: [evaluation.evaluate(engines[0].network(0), s) for s in (train, test)], 1, device)
    history = len(run.history) * full
    return {
        "iterations": run.outcome["iterations"],
        "ours": total,
        "steps": stepping,
        "history": history,
        "gates": total - stepping - history,
        "averaging of 1,000": averaging,
        "full pass": full,
    }


def loader_way(root: str | None, dataset: data.Dataset, device: torch.device) -> dict[str, float]:
    """Return the seconds of a step of (c) and (d), and of passes over the training set and the test set."""
    from torch.utils.data import DataLoader

    sets = [_images(root, dataset, train) for train in (True, False)]
    model = models.build("m", dataset.shape, 10, {"m": SPEC}).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def steps() -> Iterator[None]:
        for inputs, labels in DataLoader(sets[0], batch_size=50, shuffle=True):
            optimizer.zero_grad()
            cross_entropy(model(inputs.to(device)), labels.to(device)).backward()
            optimizer.step()
            yield

    @torch.no_grad()
    def evaluate(images: Any) -> None:
        for inputs, labels in DataLoader(images, batch_size=100):
            logits = model(inputs.to(device))
            cross_entropy(logits, labels.to(device)).item()
            (logits.argmax(1).cpu() == labels).sum().item()

    stream, count = steps(), min(300, len(sets[0]) // 50 - 1)
    next(stream)
    step = roofline.best(lambda: [next(stream) for _ in range(count)], 1, device) / count
    train, test = (roofline.best(lambda s=s: evaluate(s), 1, device) for s in sets)  # type: ignore[misc]
    return {"step": step, "train": train, "test": test}


def _images(root: str | None, dataset: data.Dataset, train: bool) -> Any:
    """Return torchvision's MNIST, or the dataset's images in PIL's form, with transforms that are applied image by image."""
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)])
    if root:
        return datasets.MNIST(root, train=train, transform=transform)
    arrays = (dataset.train_images, dataset.train_labels) if train else (dataset.test_images, dataset.test_labels)
    pictures = [transforms.functional.to_pil_image(torch.from_numpy(image)) for image in arrays[0]]

    class Pictures(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, index: int) -> Any:
            return transform(pictures[index]), int(arrays[1][index])

    return Pictures()


def table(
    root: str | None, dataset: data.Dataset, device: torch.device, stop: Stop, plain_step: float
) -> dict[str, float]:
    """Return the seconds to convergence of all four ways, and the parts of ours."""
    run = converge(dataset, device, stop)
    loader = loader_way(root, dataset, device)
    iterations, n = run["iterations"], len(dataset.train_labels)
    gates, passes = iterations / stop.gate + 1, loader["train"] + loader["test"]
    ways = {
        "(b) module, full pass at every gate": iterations * plain_step + gates * run["full pass"],
        "(c) loader, both sets every epoch": iterations * loader["step"] + iterations / (n // 50) * passes,
        "(d) loader, both sets at every gate": iterations * loader["step"] + gates * passes,
    }
    print(
        f"\n(a) ours: {run['ours']:.1f} s for {iterations:,} iterations: steps {run['steps']:.1f}, gates {run['gates']:.1f} "
        f"({run['gates'] / run['ours']:.1%}), history {run['history']:.1f}; 1,000 averaged iterations {run['averaging of 1,000']:.1f}"
    )
    for name, seconds in ways.items():
        print(f"{name}: {seconds:.0f} s, {seconds / run['ours']:.1f} times ours")
    return run | {f"loader {key}": value for key, value in loader.items()} | ways
