"""Count the operations of an SGD step, and measure the peaks of this machine."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

FLOAT = 4  # bytes


def matrices(spec: Mapping[str, Any], input_shape: tuple[int, int, int], classes: int) -> list[tuple[int, int]]:
    """Return weights and output positions per image of each layer of an entry of the config's ``models``."""
    from sgdtails.models import building as models

    with torch.device("meta"):  # only shapes are needed
        model = models.build("m", input_shape, classes, {"m": spec})
    found: list[tuple[int, int]] = []

    def note(module: Any, inputs: Any, output: torch.Tensor) -> None:
        found.append((module.weight.numel(), output[0, 0].numel() if output.ndim == 4 else 1))

    for module in model.modules():
        if hasattr(module, "weight"):
            module.register_forward_hook(note)
    with torch.no_grad():
        model(torch.zeros(1, *input_shape, device="meta"))
    return found


def flops(layers: list[tuple[int, int]], batch: int) -> int:
    """Count the operations of one step: forward, for gradients of weights, and of inputs except the first layer's."""
    return sum(
        2 * batch * weights * positions * (3 if layer else 2) for layer, (weights, positions) in enumerate(layers)
    )


def traffic(layers: list[tuple[int, int]]) -> int:
    """Count the bytes of weights that one step moves if none stays in a cache: two reads and an update."""
    return sum(FLOAT * weights * (4 if layer else 3) for layer, (weights, _) in enumerate(layers))


def best(function: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Return the seconds of the fastest of some calls."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times)


def peaks(device: torch.device) -> tuple[float, float]:
    """Measure a large matrix product in FLOP/s, and an addition in place in byte/s."""
    side, length = (8192, 2**28) if device.type == "cuda" else (1024, 2**25)
    matrix = torch.randn(side, side, device=device)
    vector = torch.zeros(length, device=device)
    product = best(lambda: matrix @ matrix, 10, device)
    return 2 * side**3 / product, 2 * FLOAT * length / best(lambda: vector.add_(1), 10, device)
