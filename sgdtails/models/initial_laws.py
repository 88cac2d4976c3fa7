"""The laws of initial weights, by the names that config key ``models.<name>.init`` takes."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.nn import init

from sgdtails.errors import unknown

PUBLISHED = {"linear": "uniform_fan_in", "conv": "normal_fan_out"}


def _uniform_fan_in(weight: Tensor) -> None:
    bound = weight[0].numel() ** -0.5
    init.uniform_(weight, -bound, bound)


def _normal_fan_out(weight: Tensor) -> None:
    init.normal_(weight, 0.0, (2 / (weight[0, 0].numel() * len(weight))) ** 0.5)


# For a weight (out, in, *kernel): fan_in is in * kernel size, fan_out is out * kernel size.
LAWS: dict[str, Callable[[Tensor], Any]] = {
    "uniform_fan_in": _uniform_fan_in,  # U(-1/sqrt(fan_in), 1/sqrt(fan_in))
    "normal_fan_out": _normal_fan_out,  # N(0, 2/fan_out)
    "torch_default": lambda weight: init.kaiming_uniform_(weight, a=5**0.5),  # the law of uniform_fan_in
    "kaiming_uniform": lambda weight: init.kaiming_uniform_(weight, nonlinearity="relu"),  # variance 2/fan_in
    "kaiming_normal": lambda weight: init.kaiming_normal_(weight, nonlinearity="relu"),  # N(0, 2/fan_in)
    "xavier_uniform": init.xavier_uniform_,  # variance 2/(fan_in + fan_out)
    "xavier_normal": init.xavier_normal_,  # N(0, 2/(fan_in + fan_out))
}


def of_model(name: str, spec: Mapping[str, Any]) -> dict[str, Callable[[Tensor], Any]]:
    """What draws the weights of linear layers and of convolutions (``linear``, ``conv``) in place, for an entry of ``models``.

    InputError for an unknown law.
    """
    chosen = PUBLISHED | dict(spec.get("init", {}))
    for kind, law in chosen.items():
        if law not in LAWS:
            raise unknown("initial law", law, f"config key models.{name}.init.{kind}", LAWS)
    return {kind: LAWS[law] for kind, law in chosen.items()}
