"""Networks as data: no biases, no normalisation, ReLU, a linear head; or a user's own module."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sgdtails.config.architectures import affordable_pools, fully_connected_shapes
from sgdtails.errors import unknown
from sgdtails.models import initial_laws, own_models


def build(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    config: Mapping[str, Mapping[str, Any]],
    *,
    seed: int = 0,
) -> nn.Module:
    """The network ``name`` of the config's ``models`` for images (channels, height, width), initialised from ``seed``.

    It maps (N, *input_shape) to logits (N, classes). Unless its key ``init`` says otherwise, linear weights start as
    U(-1/sqrt(fan_in), 1/sqrt(fan_in)), convolutions as N(0, 2/(9*C_out)). InputError for an unknown name or law, or an
    unusable factory.
    """
    if name not in config:
        raise unknown("model", name, "the run table", config)
    spec = config[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if "fcn" in spec:
            return _fcn(input_shape, classes, spec["fcn"], initial_laws.of_model(name, spec))
        if "cnn" in spec:
            return _cnn(input_shape, classes, spec["cnn"], initial_laws.of_model(name, spec))
        return own_models.build(name, spec, input_shape, classes)


Draws = Mapping[str, Callable[[Tensor], Any]]  # what draws initial weights: linear and conv


def _linear(fan_in: int, fan_out: int, draws: Draws) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out, bias=False)
    draws["linear"](layer.weight)
    return layer


def _fcn(input_shape: tuple[int, int, int], classes: int, hidden: list[int], draws: Draws) -> nn.Sequential:
    modules: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for name, (fan_out, fan_in) in fully_connected_shapes(math.prod(input_shape), hidden, classes).items():
        modules[name] = _linear(fan_in, fan_out, draws)
        if name != "head":
            modules[f"relu{name.removeprefix('fc')}"] = nn.ReLU()
    return nn.Sequential(modules)


def _cnn(input_shape: tuple[int, int, int], classes: int, layers: list[int | str], draws: Draws) -> nn.Sequential:
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    channels, height, width = input_shape
    number = 0
    for layer in affordable_pools(layers, min(height, width)):
        if isinstance(layer, str):
            modules[f"pool{len(modules)}"] = nn.MaxPool2d(2)
            height, width = height // 2, width // 2
            continue
        number += 1
        convolution = nn.Conv2d(channels, layer, 3, padding=1, bias=False)
        draws["conv"](convolution.weight)
        modules[f"conv{number}"] = convolution
        modules[f"relu{number}"] = nn.ReLU()
        channels = layer
    modules["flatten"] = nn.Flatten()
    modules["head"] = _linear(channels * height * width, classes, draws)
    return nn.Sequential(modules)


def layer_keys(
    name: str, spec: Mapping[str, Any], model: nn.Module, input_shape: tuple[int, int, int], classes: int
) -> list[str]:
    """Keys, in the state of the network that ``build`` made, of its layers in order, the head last."""
    if "factory" in spec:
        return own_models.layer_keys(name, spec, model, input_shape, classes)
    return list(model.state_dict())


def guard(model: nn.Module) -> AbstractContextManager[None]:
    """What a network is called in: an own one's errors are the user's (``plugins.Guard``)."""
    found: AbstractContextManager[None] = getattr(model, "sgdtails_guard", nullcontext())
    return found


def state(model: nn.Module) -> dict[str, NDArray]:
    """A copy of the model's state, by name, in order, on the CPU."""
    return {name: copied(value) for name, value in model.state_dict().items()}


def copied(tensor: Tensor) -> NDArray:
    """A copy of a tensor on the CPU."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def load(model: nn.Module, state: Mapping[str, NDArray]) -> None:
    """Put a state into a model."""
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})


def put(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights, by layer, into a model; tied ones change together, and all else stays as it is."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if (weight := weights.get(key.removesuffix(".weight"))) is not None:
                parameter.copy_(weight)


def network(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The model in evaluation mode, without gradients: images to logits."""

    own = guard(model)

    @torch.no_grad()
    def logits(images: Tensor) -> Tensor:
        training = model.training
        model.eval()
        with own:
            result = model(images)
        model.train(training)
        return result

    return logits
