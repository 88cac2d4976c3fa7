"""Which law a layer follows: the best one by BIC, or undecided between two."""

from collections.abc import Iterable
from dataclasses import dataclass

from sgdtails.tail_index.laws.fitting import Fit

MARGIN = 1e-4  # nats per weight
EVIDENCE = 3.0  # nats in all: odds of 20


@dataclass(frozen=True)
class Label:
    """A layer's law.

    Parameters
    ----------
    label : str
        That of the best law, or ``undecided``.
    best, rival : str
        Labels of the best law and of the best one of another label.
    margin : float
        What the best is ahead of that, in nats per weight: half the difference of their BIC.
    """

    label: str
    best: str
    rival: str
    margin: float


def choose(fits: Iterable[Fit], weights: int, *, margin: float = MARGIN, evidence: float = EVIDENCE) -> Label:
    """Choose a layer's law.

    The best law is the one of the lowest BIC. It is decided if it leads every rival by the margin, and by the evidence divided by
    the number of weights. A law of which the best one is a special or limiting case, such as t for the normal law, is no rival:
    fitted to the same weights it can come as near as it likes.

    Parameters
    ----------
    fits : iterable of Fit
        Laws of entries and of rows, fitted to the same weights.
    weights : int
        Number of weights.
    margin : float
        Nats per weight below which two laws count as equally good.
    evidence : float
        Nats in all below which chance could decide.

    Returns
    -------
    Label
        The law, or ``undecided``; then `best` and `rival` are the two that are too close.

    Examples
    --------
    >>> import numpy as np
    >>> from sgdtails.tail_index.laws import families, fitting
    >>> norms = fitting.Norms.of(np.abs(np.random.default_rng(0).standard_normal(20_000)), 1)
    >>> choose([fitting.fit(law, norms) for law in families.LAWS["entries"]], norms.weights).label
    'gaussian'
    """
    first, *others = sorted(fits, key=lambda each: each.bic)
    others = [each for each in others if each.law.label != first.law.label]
    rivals = [each for each in others if first.law.label not in each.law.special]
    least = max(margin, evidence / weights)
    rival = (rivals or others)[0]
    lead = (rival.bic - first.bic) / (2 * weights)
    decided = not rivals or lead >= least
    return Label(first.law.label if decided else "undecided", first.law.label, rival.law.label, lead)
