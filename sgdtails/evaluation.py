"""Mean NLL and accuracy of any network over a split; arrays are numpy's or torch's."""

from collections.abc import Callable, Iterator
from typing import Any

from array_api_compat import array_namespace

from sgdtails.data import Split

BATCH = 1000  # images at once: keeps a CNN's activations below 1 GiB


def batches(split: Split) -> Iterator[tuple[Any, Any]]:
    """A split's normalised images and labels in order, BATCH at a time."""
    for start in range(0, len(split), BATCH):
        yield split.batch(slice(start, start + BATCH))


def evaluate(network: Callable[[Any], Any], split: Split) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy of a network that maps images (N, channels, height, width) to logits (N, classes)."""
    nll: Any = 0.0
    correct: Any = 0
    for images, labels in batches(split):
        logits = network(images)
        xp = array_namespace(logits)
        correct += xp.count_nonzero(xp.argmax(logits, axis=1) == labels)
        logits = xp.astype(logits, xp.float64)
        logits -= xp.max(logits, axis=1, keepdims=True)
        chosen = xp.take_along_axis(logits, labels[:, None], axis=1)
        nll += xp.sum(xp.log(xp.sum(xp.exp(logits), axis=1))) - xp.sum(chosen)
    return float(nll) / len(split), int(correct) / len(split)
