"""Mean cross-entropy and accuracy of any network over a split, with arrays of numpy or of torch."""

from collections.abc import Callable, Iterator
from typing import Any

from sgdtails.arrays import array_namespace
from sgdtails.data.datasets import Split
from sgdtails.errors import Interrupted

BATCH = 1000  # images at once: keeps a CNN's activations below 1 GiB
Network = Callable[[Any], Any]  # images (N, channels, height, width) to logits (N, classes)


def batches(split: Split) -> Iterator[tuple[Any, Any]]:
    """Go through a split in order, BATCH images at a time.

    Parameters
    ----------
    split : Split
        Images and labels.

    Yields
    ------
    images : array, shape (n, channels, height, width), float32
        Normalised images.
    labels : array, shape (n,), int64
        Their labels.
    """
    for start in range(0, len(split), BATCH):
        yield split.batch(slice(start, start + BATCH))


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Compute the cross-entropy of each row of logits.

    Parameters
    ----------
    logits : array, shape (N, classes)
        Of numpy or torch.
    labels : array, shape (N,), int64
        Numbers of the right classes.

    Returns
    -------
    array, shape (N,), float64
        Cross-entropy in nats.

    Examples
    --------
    >>> import numpy as np
    >>> cross_entropy(np.zeros((1, 2)), np.array([0]))  # log 2
    array([0.69314718])
    """
    xp = array_namespace(logits)
    logits = xp.astype(logits, xp.float64)
    logits -= xp.max(logits, axis=1, keepdims=True)
    chosen = xp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return xp.log(xp.sum(xp.exp(logits), axis=1)) - chosen


def per_image(network: Network, split: Split) -> tuple[Any, Any]:
    """Evaluate a network on each image of a split.

    Parameters
    ----------
    network : callable
        Maps images to logits.
    split : Split
        Images and labels.

    Returns
    -------
    losses : array, shape (N,), float64
        Cross-entropy in nats.
    correct : array, shape (N,), bool
        Whether the image is classified correctly.
    """
    parts = []
    for images, labels in batches(split):
        logits = network(images)
        xp = array_namespace(logits)
        parts.append((cross_entropy(logits, labels), xp.argmax(logits, axis=1) == labels))
    losses, correct = zip(*parts, strict=True)
    return xp.concat(losses), xp.concat(correct)


def summary(losses: Any, correct: Any) -> tuple[float, float]:
    """Average what ``per_image`` has returned.

    Parameters
    ----------
    losses : array, shape (N,), float64
        Cross-entropy in nats.
    correct : array, shape (N,), bool
        Whether each image is classified correctly.

    Returns
    -------
    nll, accuracy : float
        Mean cross-entropy in nats, and the share of correct images.

    Examples
    --------
    >>> import numpy as np
    >>> summary(np.array([0.5, 1.5]), np.array([True, False]))
    (1.0, 0.5)
    """
    xp = array_namespace(losses)
    return float(xp.mean(losses)), int(xp.count_nonzero(correct)) / len(correct)


def evaluate(network: Network, split: Split) -> tuple[float, float]:
    """Evaluate a network on a split.

    Parameters
    ----------
    network : callable
        Maps images to logits.
    split : Split
        Images and labels.

    Returns
    -------
    nll, accuracy : float
        Mean cross-entropy in nats, and the share of images that are classified correctly.

    Examples
    --------
    A network that gives both classes equal logits has a cross-entropy of log 2.

    >>> import numpy as np
    >>> from sgdtails.data.datasets import Dataset, splits
    >>> images, labels = np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 0, 0, 1])
    >>> train, _ = splits(Dataset(images, labels, images, labels, ("a", "b"), (0.5,), (0.25,)), None)
    >>> nll, accuracy = evaluate(lambda images: np.zeros((len(images), 2)), train)
    >>> round(nll, 3), accuracy
    (0.693, 0.75)
    """
    return summary(*per_image(network, split))


def stoppable(network: Network, interrupted: Callable[[], bool]) -> Network:
    """Wrap a network so that a pass over all images, which can take a minute, ends early when the job must end.

    Parameters
    ----------
    network : callable
        Maps images to logits.
    interrupted : callable
        Whether the job must end.

    Returns
    -------
    callable
        The same network; it raises Interrupted once ``interrupted`` returns True.
    """

    def checked(images: Any) -> Any:
        if interrupted():
            raise Interrupted
        return network(images)

    return checked
