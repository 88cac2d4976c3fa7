"""What node pruning is worth on this machine: a network with zeroed columns against one without them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sgdtails.arrays import array_namespace
from sgdtails.data.datasets import Split
from sgdtails.pruning import methods as pruning
from sgdtails.pruning.pruned import Columns, PrunedNetwork
from sgdtails.training import evaluation

REPEATS = 5


def rows(
    weights: Mapping[str, Any], test: Split, *, ratios: Sequence[float], p: float, centring: str = "median"
) -> Iterator[dict[str, Any]]:
    """Rows of table ``latency`` (less run, dataset and model) of a fully connected network; times are the fastest of 5.

    Every layer but the head loses columns, whichever are exempt from pruning: they go together with the rows that fed them.
    """
    networks = pruning.sweep(weights, ratios, method="node", p=p, centring=centring)
    for ratio, network in zip(ratios, networks, strict=True):
        inputs, smaller = pruning.without_columns(network)
        zeroed = PrunedNetwork.unpruned({name: _zeroed(layer) for name, layer in network.layers.items()})
        small = PrunedNetwork.unpruned(smaller)

        def reduced(images: Any, inputs: Any = inputs, small: PrunedNetwork = small) -> Any:
            return small.chain(images.reshape(len(images), -1)[:, inputs])

        images, _ = test.batch(slice(0, evaluation.BATCH))
        outputs = zeroed.chain(images)
        xp = array_namespace(outputs)
        largest = float(xp.max(xp.abs(outputs)))
        yield {
            "ratio": ratio,
            "parameters": zeroed.parameters_left,
            "smaller_parameters": small.parameters_left,
            "seconds": _fastest(lambda zeroed=zeroed: evaluation.evaluate(zeroed.chain, test)),  # type: ignore[misc]
            "smaller_seconds": _fastest(lambda reduced=reduced: evaluation.evaluate(reduced, test)),  # type: ignore[misc]
            "difference": float(xp.max(xp.abs(reduced(images) - outputs))) / largest if largest > 0 else 0.0,
            "test_accuracy": evaluation.evaluate(reduced, test)[1],
        }


def _zeroed(layer: Any) -> Any:
    if not isinstance(layer, Columns):
        return layer.dense()
    weight = array_namespace(layer.weight).zeros_like(layer.weight)
    weight[:, layer.index] = layer.weight[:, layer.index]
    return weight


def _fastest(action: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times)
