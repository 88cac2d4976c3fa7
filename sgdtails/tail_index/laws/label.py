"""Which law a layer follows: the best one by BIC, or undecided between two."""

from collections.abc import Iterable
from dataclasses import dataclass

from sgdtails.tail_index.laws.families import LAWS
from sgdtails.tail_index.laws.fitting import Fit

MARGIN = 1e-4  # nats per weight, or per row
EVIDENCE = 3.0  # nats in all: odds of 20
_OF_ROWS = tuple(law.label for law in LAWS["rows"])


@dataclass(frozen=True)
class Label:
    """A layer's law.

    Parameters
    ----------
    label : str
        That of the best law, or ``undecided``.
    best, rival : str
        Labels of the best law and of the best one of another label; of an undecided layer the best one that is too close.
    margin : float
        What the best is ahead of that, in nats per weight: half the difference of their BIC.
    """

    label: str
    best: str
    rival: str
    margin: float


def choose(
    fits: Iterable[Fit], weights: int, dimension: int = 1, *, margin: float = MARGIN, evidence: float = EVIDENCE
) -> Label:
    """Choose a layer's law.

    The best law is the one of the lowest BIC. It is decided if it leads every rival by the margin, in nats per weight, and by the
    evidence in all. Two laws of rows differ by what they say of each row's norm, so that their margin is in nats per row. A law of which the best one is a special or limiting case, such as t for the normal law, is no rival:
    fitted to the same weights it can come as near as it likes.

    Parameters
    ----------
    fits : iterable of Fit
        Laws of entries and of rows, fitted to the same weights.
    weights : int
        Number of weights.
    dimension : int
        Weights in a row.
    margin : float
        Nats per weight, or per row, below which two laws count as equally good.
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
    close = [each for each in rivals if not _leads(first, each, weights, dimension, margin, evidence)]
    rival = (close or rivals or others)[0]
    lead = (rival.bic - first.bic) / (2 * weights)
    return Label("undecided" if close else first.law.label, first.law.label, rival.law.label, lead)


def _leads(first: Fit, rival: Fit, weights: int, dimension: int, margin: float, evidence: float) -> bool:
    lead = (rival.bic - first.bic) / 2
    of_rows = first.law.label in _OF_ROWS and rival.law.label in _OF_ROWS
    return lead >= max(evidence, margin * (weights / dimension if of_rows else weights))
