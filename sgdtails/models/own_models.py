"""Users' own networks: built by their factories, checked, and searched for their layers and their head."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sgdtails.config import plugins
from sgdtails.errors import InputError, unknown

KEPT = (  # types of tensors that files of weights can hold
    *(torch.float16, torch.float32, torch.float64),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
)


def build(name: str, spec: Mapping[str, Any], input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Build a network by its factory.

    Parameters
    ----------
    name : str
        Name of the network.
    spec : mapping
        Its entry in the config's ``models``.
    input_shape : tuple of int
        Channels, height and width of an image.
    classes : int
        Number of classes.

    Returns
    -------
    nn.Module
        The network; its attribute ``sgdtails_guard`` is the context to call it in.

    Raises
    ------
    InputError
        If it cannot be trained here, or its head is not clear.
    UserCodeError
        If the factory, or the network, raises an error.
    """
    where, path = _where(name), spec["factory"]
    factory = plugins.load(path, where)
    module = factory(input_shape, classes, **spec.get("arguments", {}))
    if not isinstance(module, nn.Module):
        raise InputError(f"{where}: {path!r} returned {type(module).__name__}; it must return a torch.nn.Module.")
    module.sgdtails_guard = plugins.Guard(where, path, factory)  # type: ignore[assignment]
    with torch.no_grad():
        _check_output(_called(module, torch.zeros(2, *input_shape)), input_shape, classes, f"{where}: {path!r}")
    _check_state(module, f"{where}: {path!r}")
    layer_keys(name, spec, module, input_shape, classes)
    return module


def _where(name: str) -> str:
    return f"config key models.{name}"


def _called(module: nn.Module, images: Tensor) -> Any:
    """Return the output in evaluation mode."""
    training = module.training
    with module.sgdtails_guard:  # type: ignore[union-attr]
        output = module.eval()(images)
    module.train(training)
    return output


def _check_output(output: Any, input_shape: tuple[int, ...], classes: int, which: str) -> None:
    found = tuple(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
    if found != (2, classes):
        raise InputError(
            f"{which} maps (2, {', '.join(map(str, input_shape))}) to {found}; it must map it to (2, {classes})."
        )


def _check_state(module: nn.Module, which: str) -> None:
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise InputError(f"{which}: its parameter {name} is {_type(parameter)}; it must be float32.")
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise InputError(f"{which} has no parameter that can be trained; let requires_grad be true for some.")
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor) or value.dtype not in KEPT:
            kind = _type(value) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"{which}: {name} of its state is {kind}, which cannot be kept; make it a float32 tensor.")


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def layer_keys(
    name: str, spec: Mapping[str, Any], module: nn.Module, input_shape: tuple[int, ...], classes: int
) -> list[str]:
    """Return the keys of a module's layers in its state: parameters of two or more dimensions, tied ones once, the head last.

    The head is the layer that ``head`` names in the config, or else the only layer that makes the output, with a row per class.

    Parameters
    ----------
    name : str
        Name of the network.
    spec : mapping
        Its entry in the config's ``models``.
    module : nn.Module
        The network.
    input_shape : tuple of int
        Channels, height and width of an image.
    classes : int
        Number of classes.

    Returns
    -------
    list of str
        Keys in ``module.state_dict()``.

    Raises
    ------
    InputError
        If there is no layer, or it is not clear which one is the head.
    """
    where, path = _where(name), spec["factory"]
    found = layers(module)
    names = {key.removesuffix(".weight"): key for key in found}
    if not found:
        raise InputError(f"{where}: {path!r} has no layer, a parameter with two or more dimensions; give it one.")
    if missing := [key for key in found if key not in module.state_dict()]:
        raise InputError(f"{where}: {path!r} leaves its parameter {missing[0]} out of its state_dict; keep it there.")
    if head := spec.get("head"):
        if head.removesuffix(".weight") not in names:
            raise unknown("layer", head, f"{where}.head", names)
        last = [names[head.removesuffix(".weight")]]
    else:
        last = [key for key in found if key in _makers(module, input_shape, found)]
        if len(last) != 1 or found[last[0]].shape[0] != classes:
            made = f"it is made by {' and '.join(last)}" if last else "no layer makes it"
            raise InputError(
                f"{where}: which layer of {path!r} is the head is not clear from its output ({made}; a head has {classes} rows); "
                f"name it by config key models.{name}.head, one of: {', '.join(names)}."
            )
    return [key for key in found if key not in last] + last


def layers(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return a module's parameters with two or more dimensions.

    Parameters
    ----------
    module : nn.Module
        The module.

    Returns
    -------
    dict of Parameter
        In the order of their definition; tied ones once, by their first name.

    Examples
    --------
    >>> list(layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))))
    ['0.weight', '2.weight']
    """
    found: dict[str, nn.Parameter] = {}
    seen = set()
    for name, parameter in module.named_parameters():
        place = (parameter.data_ptr(), parameter.shape)
        if parameter.ndim >= 2 and place not in seen:
            seen.add(place)
            found[name] = parameter
    return found


def _makers(module: nn.Module, input_shape: tuple[int, ...], found: Mapping[str, nn.Parameter]) -> set[str]:
    """Return the layers that are applied last on some path from images to output, from torch's record of a pass."""
    images = torch.zeros(2, *input_shape, requires_grad=True)
    trained = {parameter: parameter.requires_grad for parameter in module.parameters()}
    for parameter in trained:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            output = _called(module, images.clone())
    finally:
        for parameter, required in trained.items():
            parameter.requires_grad_(required)
    keys = {id(parameter): key for key, parameter in found.items()}
    if output.grad_fn is None:
        return set()
    children, moving = _graph(output.grad_fn, images)
    if output.grad_fn not in moving:  # the first part of the pass has no record, as under torch.no_grad
        return _weights([output.grad_fn], children, keys)
    makers, waiting, seen = set(), [output.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node in seen or node not in moving:
            continue
        seen.add(node)
        weights = _weights([child for child in children[node] if child not in moving], children, keys)
        makers |= weights
        if not weights:
            waiting += children[node]
    return makers


def _graph(root: Any, images: Tensor) -> tuple[dict[Any, list[Any]], set[Any]]:
    """Return the inputs of each operation, and the operations that depend on the images."""
    children: dict[Any, list[Any]] = {}
    moving = set()
    waiting = [(root, False)]
    while waiting:
        node, below = waiting.pop()
        if below:  # all operations that it depends on have been visited
            if getattr(node, "variable", None) is images or any(child in moving for child in children[node]):
                moving.add(node)
        elif node not in children:
            children[node] = [child for child, _ in node.next_functions if child is not None]
            waiting.append((node, True))
            waiting += [(child, False) for child in children[node]]
    return children, moving


def _weights(nodes: list[Any], children: Mapping[Any, list[Any]], keys: Mapping[int, str]) -> set[str]:
    """Return the layers on which operations depend."""
    found, waiting, seen = set(), list(nodes), set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if (key := keys.get(id(getattr(node, "variable", None)))) is not None:
            found.add(key)
        waiting += children[node]
    return found
