"""The table of pruning: a network's accuracy at each ratio, or relative error of its layers, and what it then costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgdtails import layers
from sgdtails.arrays import Array, Row
from sgdtails.config import prunable_layers
from sgdtails.data.datasets import Split
from sgdtails.pruning import attack as attacks
from sgdtails.pruning import methods
from sgdtails.pruning.attack import Attack
from sgdtails.pruning.forms import PrunedNetwork
from sgdtails.pruning.plans import Own
from sgdtails.training import evaluation

if TYPE_CHECKING:
    from torch import nn

# (NLL, accuracy) by name of the split; under attack there is no NLL.
Measured = Mapping[str, tuple[float | None, float]]
Evaluate = Callable[[PrunedNetwork], Measured]
_ATTACKED = "test, attacked"
_MEASURED = ("test_nll", "test_accuracy", "train_nll", "train_accuracy", "relative_test_accuracy", "robust_accuracy")
_COSTS = (
    "parameters_left",
    "pruned_ratio",
    "stored_parameters",
    "multiply_adds",
    "relative_error_l1",
    "relative_error_l2",
)


@dataclass(frozen=True)
class Sweep:
    """One pruning method, and how far it prunes.

    Parameters
    ----------
    method : str
        One of ``methods.METHODS``, or the name of ``own``.
    ratios : sequence of float
        Shares of terms to remove.
    epsilons : sequence of float
        Relative l2 errors to which each layer is pruned.
    p : float
        Norm by which blocks are compared.
    own : callable, optional
        A method of the user's (``methods.Pruner``).
    """

    method: str
    ratios: Sequence[float]
    epsilons: Sequence[float] = ()
    p: float = 2.0
    own: Own | None = None

    @property
    def points(self) -> list[tuple[float | None, float | None]]:
        """For each row a ratio and no error, or an error and no ratio."""
        return [*((ratio, None) for ratio in self.ratios), *((None, epsilon) for epsilon in self.epsilons)]


def fully_connected(splits: Mapping[str, Split], attack: Attack | None = None) -> Evaluate:
    """Evaluate networks that are a chain of linear layers and ReLU, each layer in its cheapest form.

    Parameters
    ----------
    splits : mapping of str to Split
        Images by name, on the device of the weights.
    attack : Attack, optional
        What the accuracy on the split ``test`` is measured under, too; this takes torch.

    Returns
    -------
    callable
        Function of a pruned network that returns (NLL, accuracy) by name of the split.
    """

    def evaluate(network: PrunedNetwork) -> Measured:
        return _measured(network.chain, splits, attack, lambda: attacks.chain(list(network.weights().values())))

    return evaluate


def module(model: "nn.Module", splits: Mapping[str, Split], attack: Attack | None = None) -> Evaluate:
    """Evaluate any module, into which pruned weights are put; its other parameters and buffers stay as they are.

    Parameters
    ----------
    model : torch.nn.Module
        The network; its weights are overwritten.
    splits : mapping of str to Split
        Images by name, on the device of the model.
    attack : Attack, optional
        What the accuracy on the split ``test`` is measured under, too.

    Returns
    -------
    callable
        Function of a pruned network that returns (NLL, accuracy) by name of the split.
    """
    import torch

    from sgdtails.models import building as models

    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions are faster in this layout
    network = models.network(model)

    def evaluate(pruned: PrunedNetwork) -> Measured:
        models.put(model, {name: torch.as_tensor(weight) for name, weight in pruned.weights().items()})
        return _measured(network, splits, attack, lambda: models.evaluated(model))

    return evaluate


def _measured(
    network: evaluation.Network,
    splits: Mapping[str, Split],
    attack: Attack | None,
    with_gradients: Callable[[], attacks.Network],
) -> Measured:
    found = {name: evaluation.per_image(network, split) for name, split in splits.items()}
    measured: dict[str, tuple[float | None, float]] = {name: evaluation.summary(*each) for name, each in found.items()}
    if attack:
        robust = attack.robust_accuracy(with_gradients(), splits["test"], found["test"][1])
        measured[_ATTACKED] = (None, robust)
    return measured


def pruning_rows(
    weights: Mapping[str, Array],
    evaluate: Evaluate,
    sweep: Sweep,
    *,
    positions: Mapping[str, int],
    unpruned: Measured | None = None,
    centring: str = "median",
    exempt: prunable_layers.Entries = prunable_layers.PUBLISHED,
) -> Iterator[Row]:
    """Prune and evaluate a network at each ratio and relative error of a sweep: the rows of table ``pruning``.

    NLL and accuracy of a split that is not evaluated, or attacked, are None. A method that finds no layer has no rows.

    Parameters
    ----------
    weights : mapping of str to numpy.ndarray or torch.Tensor
        Layers in order, the last one being the head.
    evaluate : callable
        From ``fully_connected`` or ``module``, of splits that include ``test``.
    sweep : Sweep
        The method, and how far it prunes.
    positions : mapping of str to int
        Output positions of convolutions for one image.
    unpruned : mapping of str to tuple, optional
        What ``evaluate`` returns before pruning: one call serves every method of a network. Without it, it is called here.
    centring : {"median", "mean", "none"}
        What is subtracted from observations before they are compared.
    exempt : sequence of str or int
        Layers left alone (``methods.Pruner``).

    Yields
    ------
    dict
        Columns of table ``pruning``, without run, status and weights.

    Raises
    ------
    InputError
        As for ``methods.Pruner``.

    Examples
    --------
    >>> import numpy as np
    >>> weights = {"fc1": np.eye(4, 6), "head": np.ones((3, 4))}
    >>> rows = pruning_rows(weights, lambda network: {"test": (0.1, 0.9)}, Sweep("node", [0, 0.5]), positions={})
    >>> [(row["ratio"], row["parameters_left"], row["relative_test_accuracy"]) for row in rows]
    [(0, 36, 1.0), (0.5, 24, 1.0)]
    """
    if not layers.prunable(weights, sweep.method, exempt):
        return
    before = evaluate(PrunedNetwork.unpruned(weights)) if unpruned is None else unpruned
    pruner = methods.Pruner(weights, method=sweep.method, p=sweep.p, own=sweep.own, centring=centring, exempt=exempt)
    for ratio, epsilon in sweep.points:
        network = pruner.at_error(epsilon) if ratio is None else pruner.at_ratio(ratio)  # type: ignore[arg-type]
        # At ratio 0 the workflow's masks remove nothing: the network is the unpruned one, bit for bit.
        same = ratio == 0 and sweep.method not in ("singular_value", "node") and sweep.own is None
        measured = before if same else evaluate(network)
        accuracy, whole = measured["test"][1], before["test"][1]
        yield {
            "method": sweep.method,
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
            "robust_accuracy": measured[_ATTACKED][1] if _ATTACKED in measured else None,
        }


def missing_rows(sweep: Sweep) -> Iterator[Row]:
    """Make the rows of a network that has no finite weights to prune: its settings, and None for everything measured.

    Parameters
    ----------
    sweep : Sweep
        The method, and how far it would prune.

    Yields
    ------
    dict
        Columns of table ``pruning``, without run, status and weights.

    Examples
    --------
    >>> [row["ratio"] for row in missing_rows(Sweep("node", [0, 0.5]))]
    [0, 0.5]
    """
    for ratio, epsilon in sweep.points:
        yield {"method": sweep.method, "ratio": ratio, "epsilon": epsilon} | dict.fromkeys((*_COSTS, *_MEASURED))


def output_positions(model: "nn.Module", input_shape: tuple[int, ...]) -> dict[str, int]:
    """Count the output positions of each convolution for one image: height*width.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    input_shape : tuple of int
        Shape of an image.

    Returns
    -------
    dict of str to int
        Positions by layer name.
    """
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
