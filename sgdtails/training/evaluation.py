"""Mean NLL and accuracy of any network over a split; arrays are numpy's or torch's."""

from collections.abc import Callable, Iterator
from typing import Any

from sgdtails.arrays import array_namespace
from sgdtails.data.datasets import Split
from sgdtails.errors import Interrupted

BATCH = 1000  # images at once: keeps a CNN's activations below 1 GiB
Network = Callable[[Any], Any]  # images (N, channels, height, width) to logits (N, classes)


def batches(split: Split) -> Iterator[tuple[Any, Any]]:
    """A split's normalised images and labels in order, BATCH at a time."""
    for start in range(0, len(split), BATCH):
        yield split.batch(slice(start, start + BATCH))


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Cross-entropy in nats of each row of logits (N, classes), (N,) float64."""
    xp = array_namespace(logits)
    logits = xp.astype(logits, xp.float64)
    logits -= xp.max(logits, axis=1, keepdims=True)
    chosen = xp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return xp.log(xp.sum(xp.exp(logits), axis=1)) - chosen


def per_image(network: Network, split: Split) -> tuple[Any, Any]:
    """Cross-entropy in nats of each image of a split (N,) float64, and whether it is classified correctly (N,) bool."""
    parts = []
    for images, labels in batches(split):
        logits = network(images)
        xp = array_namespace(logits)
        parts.append((cross_entropy(logits, labels), xp.argmax(logits, axis=1) == labels))
    losses, correct = zip(*parts, strict=True)
    return xp.concat(losses), xp.concat(correct)


def summary(losses: Any, correct: Any) -> tuple[float, float]:
    """Mean NLL in nats and accuracy from what ``per_image`` gives."""
    xp = array_namespace(losses)
    return float(xp.mean(losses)), int(xp.count_nonzero(correct)) / len(correct)


def evaluate(network: Network, split: Split) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy of a network over a split."""
    return summary(*per_image(network, split))


def stoppable(network: Network, interrupted: Callable[[], bool]) -> Network:
    """The network, Interrupted when the job is asked to end: a pass over all images can take a minute."""

    def checked(images: Any) -> Any:
        if interrupted():
            raise Interrupted
        return network(images)

    return checked
