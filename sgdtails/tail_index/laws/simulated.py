"""How often layers of known laws get the right label: table ``labels``."""

from collections.abc import Iterator, Sequence

from sgdtails.arrays import Row
from sgdtails.tail_index.calibration import label_counts
from sgdtails.tail_index.laws import families
from sgdtails.tail_index.laws.layer_laws import Settings, of_layer

TRUTHS = {
    "gaussian": "gaussian",
    "uniform": "uniform",
    "laplace": "laplace",
    "student_5": "student-t",
    "student_3": "student-t",
    "mixture_0.25": "lognormal-scales",
    "mixture_0.5": "lognormal-scales",
    "stable_1.5": "stable",
    "stable_1.8": "stable",
    "stable_1.95": "stable",
    "elliptical_1.8": "elliptical-stable",
}
"""Labels of the simulated laws of ``calibration.LAWS``."""


def label_rows(*, shapes: Sequence[Sequence[int]], layers: int, seed: int, **rule: float) -> Iterator[Row]:
    """Make the rows of table ``labels``.

    Parameters
    ----------
    shapes : sequence of sequence of int
        Observations and their dimension, (N, d).
    layers : int
        Layers simulated for each law and shape.
    seed : int
        Seed of all draws.
    **rule
        Margin and evidence of ``label.choose``.

    Yields
    ------
    dict
        Columns of table ``labels``.

    Examples
    --------
    >>> rows = label_rows(shapes=[[64, 64]], layers=1, seed=0)
    >>> next(row["label"] for row in rows if row["law"] == "gaussian" and row["count"])
    'gaussian'
    """
    settings = Settings(replicates=0, intervals=False, **rule)  # type: ignore[arg-type]
    simulated = label_counts(
        lambda layer, _: str(of_layer(layer, settings=settings)[0]["label"]), shapes=shapes, layers=layers, seed=seed
    )
    for common, counts in simulated:
        for label in families.LABELS:
            truth = {"law": common["law"], "truth": TRUTHS[common["law"]]}
            yield truth | common | {"label": label, "count": counts[label], "layers": layers}
