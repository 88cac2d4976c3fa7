"""SGD by this library against what a user would write instead.

    python -m benchmarks.training [--device cpu] [--threads 2] [--root FOLDER] [--output FILE]

Steps, for networks of several widths, batch sizes and numbers of runs side by side (K): (a) ours, (b) a module and
torch.optim.SGD on images that lie normalised on the device. All in one process, in turn, median of the rounds.
To convergence, an FCN4 of width 256: (a) ours, run; (b) as above with a full pass at every gate; (c) what most people
write: a torchvision dataset, transforms image by image, a loader, the test set once per epoch; (d) the same with the
paper's procedure, training and test set every 200 iterations. (b), (c) and (d) are what their steps and passes, measured
here, take for as many iterations as (a) took: they would take hours. ``--root`` is where torchvision finds MNIST; without
it digits take its place.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks import roofline
from sgdtails import data, devices, evaluation, lanes, models, storage, training
from sgdtails.gates import Stop
from sgdtails.progress import Progress

BASE = Path(__file__).parent.parent
NARROW_CNN = {"cnn": [16, "M", 32, "M", 64, 64, "M"]}
STEP_SIZE = 0.01
PAPERS_CNN = {"cnn": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]}


def fcn(depth: int, width: int) -> dict[str, Any]:
    return {"fcn": [width] * depth}


# Name, entry of ``models``, batch size, runs side by side.
ON_CPU = [
    *[(f"FCN4-{width}", fcn(4, width), 50, slots) for width, slots in ((32, 1), (32, 4), (128, 1), (128, 4), (256, 1))],
    *[(f"FCN4-{width}", fcn(4, width), 100, 1) for width in (128, 256)],
    *[("FCN6-128", fcn(6, 128), 50, 1), ("FCN4-2048", fcn(4, 2048), 50, 1), ("FCN6-2048", fcn(6, 2048), 50, 1)],
    ("CNN-16..64", NARROW_CNN, 50, 1),
]
ON_GPU = [
    *[(f"FCN{depth}-2048", fcn(depth, 2048), batch, k) for depth in (4, 6) for batch in (50, 100) for k in (1, 8, 16)],
    *[("CNN-64..512", PAPERS_CNN, batch, k) for batch in (50, 100) for k in (1, 8)],
]


class Keeper:
    """Keeps runs as they end."""

    interrupted = False

    def __init__(self) -> None:
        self.runs: list[training.Run] = []

    def due(self) -> bool:
        return False

    def save(self, run: training.Run) -> None: ...

    def ended(self, run: training.Run) -> None:
        self.runs.append(run)


Steps = Callable[[int], None]  # takes so many more steps
States = Callable[[], list[lanes.State]]  # the weights of each run


def ours(spec: dict[str, Any], train: data.Split, batch: int, slots: int) -> tuple[Steps, States]:
    """Steps of ``slots`` runs as the trainer takes them."""
    nets = _nets(spec, train, slots)
    rows = lanes.build(spec, lambda: _nets(spec, train, 1)[0], train, batch_size=batch, slots=slots)
    places = [(lane, slot) for lane in rows for slot in range(lane.slots)]
    for model, (lane, slot) in zip(nets, places, strict=True):
        lane.put(slot, models.state(model), STEP_SIZE)
    orders = [training.Order(len(train), batch, seed) for seed in range(slots)]
    begun = 0

    def steps(count: int) -> None:
        nonlocal begun
        taking, work = iter(orders), []
        for lane in rows:
            taken = [next(taking).take(begun, count) for _ in range(lane.slots)]
            work.append((lane, torch.stack(taken, dim=1)))
        begun += count
        lanes.interleave(work, lambda: False)

    return steps, lambda: [lane.get(slot) for lane, slot in places]


def plain(spec: dict[str, Any], train: data.Split, batch: int, slots: int) -> tuple[Steps, States]:
    """Steps of modules under torch.optim.SGD, for ``slots`` networks one after the other."""
    images, labels = train.batch(slice(None))
    nets = _nets(spec, train, slots)
    optimizers = [torch.optim.SGD(model.parameters(), lr=STEP_SIZE) for model in nets]
    orders = [training.Order(len(train), batch, seed) for seed in range(slots)]
    begun = 0

    def steps(count: int) -> None:
        nonlocal begun
        for model, optimizer, order in zip(nets, optimizers, orders, strict=True):
            for index in order.take(begun, count).to(images.device):
                optimizer.zero_grad()
                cross_entropy(model(images[index]), labels[index]).backward()
                optimizer.step()
        begun += count

    return steps, lambda: [models.state(model) for model in nets]


def _nets(spec: dict[str, Any], train: data.Split, count: int) -> list[nn.Module]:
    shape, device = tuple(train.images.shape[1:]), train.labels.device
    return [models.build("m", shape, 10, {"m": spec}, seed=seed).to(device) for seed in range(count)]  # type: ignore[arg-type]


def compare(
    spec: dict[str, Any], train: data.Split, batch: int, slots: int, *, seconds: float, rounds: int = 9
) -> dict[str, float]:
    """Median microseconds per run and step of both ways, taken in turn for about ``seconds`` each."""
    device = train.labels.device
    ways = {name: way(spec, train, batch, slots)[0] for name, way in (("ours", ours), ("plain", plain))}
    times: dict[str, list[float]] = {name: [] for name in ways}
    once = roofline.best(lambda: ways["plain"](3), 2, device) / 3
    # A whole number of graphs on a GPU; at most an epoch.
    count = max(1, min(int(seconds / rounds / once), len(train) // batch))
    count = max(count // 40, 1) * 40 if device.type == "cuda" else count
    for way in ways.values():
        way(count)
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(roofline.best(lambda way=way: way(count), 1, device))  # type: ignore[misc]
    return {name: 1e6 * statistics.median(found) / count / slots for name, found in times.items()}


def step_table(dataset: data.Dataset, device: torch.device, seconds: float) -> list[dict[str, Any]]:
    """A row per network, batch size and K."""
    train, _ = data.splits(dataset, device)
    arithmetic, bandwidth = roofline.peaks(device)
    rows = []
    for name, spec, batch, slots in ON_GPU if device.type == "cuda" else ON_CPU:
        layers = roofline.matrices(spec, dataset.shape, len(dataset.classes))
        flops, traffic = roofline.flops(layers, batch), roofline.traffic(layers)
        times = compare(spec, train, batch, slots, seconds=seconds)
        limit = 1e6 * max(flops / arithmetic, traffic / bandwidth if traffic > 2**25 else 0)  # else it stays in caches
        row = {"network": name, "b": batch, "K": slots, **times, "plain / ours": times["plain"] / times["ours"]}
        row |= {"MFLOP": flops / 1e6, "MB": traffic / 1e6, "limit": limit, "share of peak": limit / times["ours"]}
        rows.append(row)
        print(_line(row), flush=True)
    return rows


def converge(dataset: data.Dataset, device: torch.device, stop: Stop) -> dict[str, float]:
    """(a), run: seconds in steps and elsewhere (gates, history), iterations; and those of 1,000 averaged iterations."""
    train, test = data.splits(dataset, device)
    spec = fcn(4, 256)

    def build(seed: int = 0) -> nn.Module:
        return models.build("m", dataset.shape, len(dataset.classes), {"m": spec}, seed=seed)

    stepping = 0.0
    interleave = training.interleave

    def timed(*arguments: Any) -> list[int]:
        nonlocal stepping
        begin = time.perf_counter()
        done = interleave(*arguments)
        stepping += time.perf_counter() - begin
        return done

    training.interleave = timed  # type: ignore[assignment]
    task = training.Task(train, test, 50, stop, lambda seed: models.state(build(seed)))
    keeper = Keeper()
    rows = lanes.build(spec, build, train, batch_size=50, slots=1)
    begin = time.perf_counter()
    training.Fleet(rows, task, keeper, Progress(stop.budget)).train([training.Run("run", 0.1, 0)])
    total = time.perf_counter() - begin
    training.interleave = interleave
    (run,) = keeper.runs
    assert run.outcome is not None
    assert run.outcome["status"] == "converged"
    rows[0].accumulate(True)
    order = training.Order(len(train), 50, 0).take(0, 1000)[:, None]
    averaging = roofline.best(lambda: lanes.interleave([(rows[0], order)], lambda: False), 1, device)
    full = roofline.best(lambda: [evaluation.evaluate(rows[0].network(0), s) for s in (train, test)], 1, device)
    history = (len(run.history)) * full
    return {
        **{"iterations": run.outcome["iterations"], "ours": total, "steps": stepping, "history": history},
        **{"gates": total - stepping - history, "averaging of 1,000": averaging, "full pass": full},
    }


def loader_way(root: str | None, dataset: data.Dataset, device: torch.device) -> dict[str, float]:
    """Seconds of (c)'s and (d)'s step, of a pass over the training set and of one over the test set."""
    from torch.utils.data import DataLoader

    sets = [_images(root, dataset, train) for train in (True, False)]
    model = models.build("m", dataset.shape, 10, {"m": fcn(4, 256)}).to(device)
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
    """torchvision's MNIST, or the dataset's images as PIL ones, with transforms that are applied image by image."""
    from torchvision import datasets, transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)])
    if root:
        return datasets.MNIST(root, train=train, transform=transform)
    arrays = (dataset.train_images, dataset.train_labels) if train else (dataset.test_images, dataset.test_labels)
    pictures = [transforms.functional.to_pil_image(torch.from_numpy(image)) for image in arrays[0]]

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, index: int) -> Any:
            return transform(pictures[index]), int(arrays[1][index])

    return Pictures()


def convergence_table(
    root: str | None, dataset: data.Dataset, device: torch.device, stop: Stop, plain_step: float
) -> dict[str, float]:
    """Seconds to convergence of all four ways, and where ours go."""
    run = converge(dataset, device, stop)
    loader = loader_way(root, dataset, device)
    iterations, n = run["iterations"], len(dataset.train_labels)
    gates = iterations / stop.gate + 1
    ways = {
        "(b) module, full pass at every gate": iterations * plain_step + gates * run["full pass"],
        "(c) loader, test set every epoch": iterations * loader["step"] + iterations / (n // 50) * loader["test"],
        "(d) loader, both sets at every gate": iterations * loader["step"] + gates * (loader["train"] + loader["test"]),
    }
    print(
        f"\n(a) ours: {run['ours']:.1f} s for {iterations:,} iterations: steps {run['steps']:.1f}, gates {run['gates']:.1f} "
        f"({run['gates'] / run['ours']:.1%}), history {run['history']:.1f}; 1,000 averaged iterations {run['averaging of 1,000']:.1f}"
    )
    for name, seconds in ways.items():
        print(f"{name}: {seconds:.0f} s, {seconds / run['ours']:.1f} times ours")
    return run | {f"loader {key}": value for key, value in loader.items()} | ways


def _line(row: dict[str, Any]) -> str:
    numbers = [f"{row[key]:,.{digits}f}" for key, digits in (("ours", 0), ("plain", 0), ("plain / ours", 2))]
    counts = [f"{row['MFLOP']:,.0f}", f"{row['MB']:,.1f}", f"{row['limit']:,.0f}", f"{row['share of peak']:.0%}"]
    return "| " + " | ".join([row["network"], str(row["b"]), str(row["K"]), *numbers, *counts]) + " |"


HEADER = "| network | b | K | ours, µs | plain, µs | plain / ours | MFLOP | MB | limit, µs | share of peak |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32"), default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each way and network")
    parser.add_argument("--root")
    parser.add_argument("--output", default=str(BASE / "results/benchmarks/training.json"))
    arguments = parser.parse_args()
    config = yaml.safe_load((BASE / "config/config.yaml").read_text())
    device = devices.select(arguments.device, arguments.precision, arguments.threads)
    name = "mnist" if arguments.root else "digits"
    dataset = data.load(name, config["datasets"]["sources"][name], root=arguments.root or ".", download=False)
    arithmetic, bandwidth = roofline.peaks(device)
    print(
        f"{devices.describe(device)}, {arguments.threads} thread(s), {arguments.precision}, {name}: "
        f"{arithmetic / 1e9:,.0f} GFLOP/s, {bandwidth / 1e9:,.0f} GB/s\n\n{HEADER}\n{'|---' * 10}|"
    )
    steps = step_table(dataset, device, arguments.seconds)
    same = next((row for row in steps if (row["network"], row["b"], row["K"]) == ("FCN4-256", 50, 1)), None)
    stop = Stop(**config["stop"])
    whole = convergence_table(arguments.root, dataset, device, stop, same["plain"] / 1e6) if same else {}
    with storage.atomic(arguments.output) as temporary:
        record = {
            "arguments": vars(arguments),
            "device": devices.describe(device),
            "steps": steps,
            "convergence": whole,
        }
        temporary.write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()
