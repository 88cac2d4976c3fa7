"""What node pruning saves on this machine: a network with zeroed columns against one without them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sgdtails.arrays import Array, Row, array_namespace
from sgdtails.data.datasets import Split
from sgdtails.pruning import methods
from sgdtails.pruning.forms import Columns, PrunedNetwork
from sgdtails.training import evaluation

REPEATS = 5


def latency_rows(
    weights: Mapping[str, Array], test: Split, *, ratios: Sequence[float], p: float, centring: str = "median"
) -> Iterator[Row]:
    """Make the rows of table ``latency`` of a fully connected network.

    Every layer but the head loses columns, whichever are exempt from pruning: they are removed together with the rows that fed
    them. Times are the fastest of 5.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    test : Split
        Test images, on the device of the weights.
    ratios : sequence of float
        Shares of columns to remove.
    p : float
        Norm by which columns are compared.
    centring : {"median", "mean", "none"}
        What is subtracted from columns before they are compared.

    Yields
    ------
    dict
        Columns of table ``latency``, without run, dataset and model.

    Raises
    ------
    InputError
        As for ``methods.Pruner``.
    """
    pruner = methods.Pruner(weights, method="node", p=p, centring=centring)
    for ratio in ratios:
        network = pruner.at_ratio(ratio)
        inputs, smaller = methods.without_columns(network)
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
