"""The table of pruning: what a network still does at each ratio, or relative error of its layers, and what it then costs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sgdtails import layers
from sgdtails.config import prunable_layers
from sgdtails.data.datasets import Split
from sgdtails.pruning import methods as pruning
from sgdtails.pruning.pruned import PrunedNetwork
from sgdtails.training import evaluation

if TYPE_CHECKING:
    from torch import nn

Array = Any  # numpy.ndarray or torch.Tensor
Measured = Mapping[str, tuple[float, float]]  # (NLL, accuracy) by name of the split
Evaluate = Callable[[PrunedNetwork], Measured]
_MEASURED = ("test_nll", "test_accuracy", "train_nll", "train_accuracy", "relative_test_accuracy")
_COSTS = (
    "parameters_left",
    "pruned_ratio",
    "stored_parameters",
    "multiply_adds",
    "relative_error_l1",
    "relative_error_l2",
)


def fully_connected(splits: Mapping[str, Split]) -> Evaluate:
    """Evaluation of networks that are a chain of linear layers and ReLU, each layer in its cheapest form."""
    return lambda network: {name: evaluation.evaluate(network.chain, split) for name, split in splits.items()}


def module(model: "nn.Module", splits: Mapping[str, Split]) -> Evaluate:
    """Evaluation of any module, into which pruned weights are put; its other parameters and buffers stay as they are."""
    import torch

    from sgdtails.models import building as models

    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # in which convolutions are faster
    network = models.network(model)

    def evaluate(pruned: PrunedNetwork) -> Measured:
        models.put(model, {name: torch.as_tensor(weight) for name, weight in pruned.weights().items()})
        return {name: evaluation.evaluate(network, split) for name, split in splits.items()}

    return evaluate


def rows(
    weights: Mapping[str, Array],
    evaluate: Evaluate,
    *,
    method: str,
    ratios: Iterable[float],
    p: float,
    positions: Mapping[str, int],
    unpruned: Measured | None = None,
    own: pruning.Own | None = None,
    epsilons: Iterable[float] = (),
    centring: str = "median",
    exempt: prunable_layers.Entries = prunable_layers.PUBLISHED,
) -> Iterator[dict[str, Any]]:
    """Rows of the table ``pruning`` (less run, status and weights), one per ratio, and one per relative l2 error of ``epsilons``
    to which each layer is pruned; none if the method finds no layer.

    ``positions`` are the output positions of convolutions for one image. NLL and accuracy of a split that is not
    evaluated are None. Splits must include ``test``. ``unpruned`` is what ``evaluate`` gives before pruning: one call
    serves every method of a network (None: call it here). ``own``, ``centring``, ``exempt``: as for ``pruning.Pruner``.
    """
    if not layers.prunable(weights, method, exempt):
        return
    before = evaluate(PrunedNetwork.unpruned(weights)) if unpruned is None else unpruned
    pruner = pruning.Pruner(weights, method=method, p=p, own=own, centring=centring, exempt=exempt)
    for ratio, epsilon in _wanted(ratios, epsilons):
        network = pruner.at_error(epsilon) if ratio is None else pruner.at_ratio(ratio)  # type: ignore[arg-type]
        # At ratio 0 the workflow's masks remove nothing: the network is the unpruned one, bit for bit.
        same = ratio == 0 and method not in ("singular_value", "node") and own is None
        measured = before if same else evaluate(network)
        accuracy, whole = measured["test"][1], before["test"][1]
        yield {
            "method": method,
            "ratio": ratio,
            "epsilon": epsilon,
            "parameters_left": network.parameters_left,
            "pruned_ratio": network.pruned_ratio,
            "stored_parameters": network.stored_parameters,
            "multiply_adds": network.multiply_adds(positions),
            "relative_error_l1": network.relative_error(1),
            "relative_error_l2": network.relative_error(2),
            "test_nll": measured["test"][0],
            "test_accuracy": accuracy,
            "train_nll": measured["train"][0] if "train" in measured else None,
            "train_accuracy": measured["train"][1] if "train" in measured else None,
            "relative_test_accuracy": accuracy / whole if whole > 0 else None,
        }


def missing(*, method: str, ratios: Iterable[float], epsilons: Iterable[float] = ()) -> Iterator[dict[str, Any]]:
    """The rows of a run that has no finite weights to prune: its settings, and None for everything measured."""
    for ratio, epsilon in _wanted(ratios, epsilons):
        yield {"method": method, "ratio": ratio, "epsilon": epsilon} | dict.fromkeys((*_COSTS, *_MEASURED))


def _wanted(ratios: Iterable[float], epsilons: Iterable[float]) -> list[tuple[float | None, float | None]]:
    """What rows are about: a ratio and no error, or an error and no ratio."""
    return [*((ratio, None) for ratio in ratios), *((None, epsilon) for epsilon in epsilons)]


def output_positions(model: "nn.Module", input_shape: tuple[int, ...]) -> dict[str, int]:
    """Height*width of the output of each convolution for one image, by layer name."""
    import torch

    from sgdtails.models import building as models

    positions: dict[str, int] = {}

    def record(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda module, inputs, output: positions.update(
            {name: output[0, 0].numel()} if hasattr(output, "ndim") else {}
        )

    hooks = [
        part.register_forward_hook(record(name))
        for name, part in model.named_modules()
        if isinstance(weight := getattr(part, "weight", None), torch.Tensor) and weight.ndim > 2
    ]
    device = next(model.parameters()).device
    models.network(model)(torch.zeros(1, *input_shape, device=device))
    for hook in hooks:
        hook.remove()
    return positions
