"""Laws of initial weights, by their names in config key ``models.<name>.init``."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import init

from sgdtails.errors import unknown

Law = Callable[[Tensor], Any]  # draws a weight in place
PUBLISHED = {"linear": "uniform_fan_in", "conv": "normal_fan_out"}


def _uniform_fan_in(weight: Tensor) -> None:
    bound = weight[0].numel() ** -0.5
    init.uniform_(weight, -bound, bound)


def _normal_fan_out(weight: Tensor) -> None:
    init.normal_(weight, 0.0, (2 / (weight[0, 0].numel() * len(weight))) ** 0.5)


# A weight (out, in, *kernel) has fan_in = in * kernel size and fan_out = out * kernel size.
LAWS: dict[str, Law] = {
    "uniform_fan_in": _uniform_fan_in,  # U(-1/sqrt(fan_in), 1/sqrt(fan_in))
    "normal_fan_out": _normal_fan_out,  # N(0, 2/fan_out)
    "torch_default": lambda weight: init.kaiming_uniform_(weight, a=5**0.5),  # the law of uniform_fan_in
    "kaiming_uniform": lambda weight: init.kaiming_uniform_(weight, nonlinearity="relu"),  # variance 2/fan_in
    "kaiming_normal": lambda weight: init.kaiming_normal_(weight, nonlinearity="relu"),  # N(0, 2/fan_in)
    "xavier_uniform": init.xavier_uniform_,  # variance 2/(fan_in + fan_out)
    "xavier_normal": init.xavier_normal_,  # N(0, 2/(fan_in + fan_out))
}


class Laws(NamedTuple):
    """Initial laws of linear layers and of convolutions, as functions that draw a weight in place."""

    linear: Law
    conv: Law


def of_model(name: str, spec: Mapping[str, Any]) -> Laws:
    """Return the initial laws of a network.

    Parameters
    ----------
    name : str
        Name of the network, for messages.
    spec : mapping
        Its entry in the config's ``models``.

    Returns
    -------
    Laws
        The published laws where its key ``init`` names no others.

    Raises
    ------
    InputError
        If a law is unknown.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(50, 100)
    >>> bool(of_model("small", {"fcn": [50]}).linear(weight) is None and weight.abs().max() <= 100**-0.5)
    True
    """
    chosen = PUBLISHED | dict(spec.get("init", {}))
    for kind, law in chosen.items():
        if law not in LAWS:
            raise unknown("initial law", law, f"config key models.{name}.init.{kind}", LAWS)
    return Laws(LAWS[chosen["linear"]], LAWS[chosen["conv"]])
