"""Networks from entries of the config: without biases or normalisation, with ReLU and a linear head; or users' own modules."""

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
from sgdtails.models.initial_laws import Laws


def build(
    name: str,
    input_shape: tuple[int, int, int],
    classes: int,
    config: Mapping[str, Mapping[str, Any]],
    *,
    seed: int = 0,
) -> nn.Module:
    """Build a network with random weights.

    Unless its key ``init`` names other laws, linear weights start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)), and convolutions as
    N(0, 2/(9*C_out)).

    Parameters
    ----------
    name : str
        Name of the network in ``config``.
    input_shape : (int, int, int)
        Channels, height and width of an image.
    classes : int
        Number of classes.
    config : mapping
        The config's ``models``: entries by name.
    seed : int
        Seed of the weights. The state of torch's own generator stays as it is.

    Returns
    -------
    nn.Module
        It maps images (N, *input_shape) to logits (N, classes).

    Raises
    ------
    InputError
        If the name or a law is unknown, or a factory cannot be used.

    Examples
    --------
    >>> model = build("small", (1, 8, 8), 10, {"small": {"fcn": [16]}})
    >>> {key: tuple(weight.shape) for key, weight in model.state_dict().items()}
    {'fc1.weight': (16, 64), 'head.weight': (10, 16)}
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


def _linear(fan_in: int, fan_out: int, laws: Laws) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out, bias=False)
    laws.linear(layer.weight)
    return layer


def _fcn(input_shape: tuple[int, int, int], classes: int, hidden: list[int], laws: Laws) -> nn.Sequential:
    modules: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for name, (fan_out, fan_in) in fully_connected_shapes(math.prod(input_shape), hidden, classes).items():
        modules[name] = _linear(fan_in, fan_out, laws)
        if name != "head":
            modules[f"relu{name.removeprefix('fc')}"] = nn.ReLU()
    return nn.Sequential(modules)


def _cnn(input_shape: tuple[int, int, int], classes: int, layers: list[int | str], laws: Laws) -> nn.Sequential:
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
        laws.conv(convolution.weight)
        modules[f"conv{number}"] = convolution
        modules[f"relu{number}"] = nn.ReLU()
        channels = layer
    modules["flatten"] = nn.Flatten()
    modules["head"] = _linear(channels * height * width, classes, laws)
    return nn.Sequential(modules)


def layer_keys(
    name: str, spec: Mapping[str, Any], model: nn.Module, input_shape: tuple[int, int, int], classes: int
) -> list[str]:
    """Return the keys of a network's layers in its state, in order, the head last.

    Parameters
    ----------
    name : str
        Name of the network.
    spec : mapping
        Its entry in the config's ``models``.
    model : nn.Module
        The network, from ``build``.
    input_shape : (int, int, int)
        Channels, height and width of an image.
    classes : int
        Number of classes.

    Returns
    -------
    list of str
        Keys in ``model.state_dict()``.

    Examples
    --------
    >>> spec = {"fcn": [16]}
    >>> layer_keys("small", spec, build("small", (1, 8, 8), 10, {"small": spec}), (1, 8, 8), 10)
    ['fc1.weight', 'head.weight']
    """
    if "factory" in spec:
        return own_models.layer_keys(name, spec, model, input_shape, classes)
    return list(model.state_dict())


def guard(model: nn.Module) -> AbstractContextManager[None]:
    """Return the context in which a network must be called, so that errors in a user's code are reported as such.

    Parameters
    ----------
    model : nn.Module
        The network.

    Returns
    -------
    context manager
        A ``plugins.Guard`` for users' networks.
    """
    found: AbstractContextManager[None] = getattr(model, "sgdtails_guard", nullcontext())
    return found


def state(model: nn.Module) -> dict[str, NDArray[Any]]:
    """Copy a network's state to the CPU.

    Parameters
    ----------
    model : nn.Module
        The network.

    Returns
    -------
    dict of ndarray
        Parameters and buffers by name, in order.

    Examples
    --------
    >>> state(nn.ReLU())
    {}
    """
    return {name: copied(value) for name, value in model.state_dict().items()}


def copied(tensor: Tensor) -> NDArray[Any]:
    """Copy a tensor to the CPU.

    Parameters
    ----------
    tensor : Tensor
        On any device.

    Returns
    -------
    ndarray
        The copy, which is contiguous.

    Examples
    --------
    >>> copied(torch.ones(2))
    array([1., 1.], dtype=float32)
    """
    return np.array(tensor.detach().cpu().numpy(), order="C")


def load(model: nn.Module, state: Mapping[str, NDArray[Any]]) -> None:
    """Load a state into a network, in place.

    Parameters
    ----------
    model : nn.Module
        The network.
    state : mapping of str to ndarray
        As ``state`` returns it.
    """
    model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})


def put(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Set the weights of some layers of a network, in place. Tied layers change together.

    Parameters
    ----------
    model : nn.Module
        The network.
    weights : mapping of str to Tensor
        New weights by the layer's name, without ``.weight``.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(1, 1, bias=False))
    >>> put(model, {"0": torch.full((1, 1), 3.0)})
    >>> state(model)
    {'0.weight': array([[3.]], dtype=float32)}
    """
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if (weight := weights.get(key.removesuffix(".weight"))) is not None:
                parameter.copy_(weight)


def network(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a network as a function, in evaluation mode and without gradients.

    Parameters
    ----------
    model : nn.Module
        The network; it stays in its mode.

    Returns
    -------
    callable
        Maps images (N, channels, height, width) to logits (N, classes).

    Examples
    --------
    >>> network(nn.Dropout())(torch.ones(2))
    tensor([1., 1.])
    """
    found: Callable[[Tensor], Tensor] = torch.no_grad()(evaluated(model))
    return found


def evaluated(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a module in evaluation mode as a function that can be differentiated.

    Parameters
    ----------
    model : nn.Module
        The network; it stays in its mode.

    Returns
    -------
    callable
        Maps images (N, channels, height, width) to logits (N, classes).

    Examples
    --------
    >>> evaluated(nn.Dropout())(torch.ones(2, requires_grad=True)).requires_grad
    True
    """
    own = guard(model)

    def logits(images: Tensor) -> Tensor:
        training = model.training
        model.eval()
        with own:
            result: Tensor = model(images)
        model.train(training)
        return result

    return logits
