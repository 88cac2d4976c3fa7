"""Which lanes train a network of the config: how many, of which kind."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from sgdtails.data.datasets import Split
from sgdtails.training.engines.fully_connected import FullyConnected
from sgdtails.training.engines.lanes import Lane
from sgdtails.training.engines.modules import Module
from sgdtails.training.engines.updates import PLAIN, Sgd

STACKED_BELOW = 256  # width of networks that a stack makes faster on a CPU: wider ones fill a core alone


def build(
    spec: Mapping[str, Any],
    model: Callable[[], nn.Module],
    train: Split,
    *,
    batch_size: int,
    slots: int,
    sgd: Sgd = PLAIN,
) -> list[Lane]:
    """Lanes for ``slots`` networks of one entry of the config's ``models`` (``model`` builds one), on the device of ``train``.

    On a GPU there are always as many slots: how many a stack has decides which kernels compute it, to the last bit.
    """
    (images, prepare), labels = train.source(), train.labels
    on_gpu = images.is_cuda
    found: list[Lane]
    common: dict[str, Any] = {"batch_size": batch_size, "prepare": prepare, "sgd": sgd}
    if "fcn" not in spec:
        found = [Module(model(), images, labels, **common) for _ in range(slots if on_gpu else 1)]
    else:
        shapes = {name: tuple(weight.shape) for name, weight in model().state_dict().items()}
        # With several threads a product in a stack is computed in another order than a single one, to other last bits.
        if not on_gpu and (max(spec["fcn"]) >= STACKED_BELOW or torch.get_num_threads() > 1):
            slots = 1
        found = [FullyConnected(shapes, images, labels, slots=slots, **common)]
    if on_gpu:
        torch.cuda.synchronize()  # what was made so far is there for every stream
    return found
