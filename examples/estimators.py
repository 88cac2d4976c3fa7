"""An own estimator of the tail index: log rank against log size, by Gabaix and Ibragimov (2011)."""

import numpy as np
from numpy.typing import NDArray


def rank_regression(sample: NDArray[np.float32], share: float = 0.1) -> tuple[float, float, float]:
    """Estimate alpha with a 95% interval: minus the slope of log(rank - 1/2) on log|x| for the largest ``share`` of magnitudes.

    Like Hill's estimator it assumes tails like x^-alpha; its standard error is alpha sqrt(2/k) for k values.
    """
    magnitudes = np.sort(np.abs(sample[sample != 0]))[::-1]
    k = int(share * len(magnitudes))
    if k < 16:
        raise ValueError(f"{len(magnitudes)} values are too few")  # becomes the row's reason
    logs = np.log(magnitudes[:k].astype(np.float64))
    alpha = -float(np.polyfit(logs, np.log(np.arange(1, k + 1) - 0.5), 1)[0])
    error = 1.96 * alpha * (2 / k) ** 0.5
    return alpha, alpha - error, alpha + error
