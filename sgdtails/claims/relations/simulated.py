"""Studies in which the relations that this folder measures are not there, for ``simulated_studies``."""

import numpy as np

from sgdtails.claims.simulated_panels import ACCURACY, ALPHA, LAYERS, RATIO, Null, Panel, claim, independent, networks


def _one_setting_each(panel: Panel) -> None:
    """Make tail indices follow the step size alone and accuracies the batch size alone, in a grid of both."""
    steps = np.geomspace(0.01, 1, (len(panel.runs) + 1) // 2).tolist()
    for number, run in enumerate(panel.runs):
        run["step_size"] = steps[number // 2]
        run["eta_over_b"] = run["step_size"] / run["batch_size"]
    step = np.log10([[run["step_size"]] for run in panel.runs])
    panel.tails(networks(panel, 1.7) - 0.05 * step)
    larger = np.array([[run["batch_size"] > 50] for run in panel.runs])
    panel.accuracies(0.9 - 0.01 * larger + 0.01 * panel.noise(1))


def _levels_off(panel: Panel) -> None:
    """Make accuracies rise with the tail index to the middle of its range, and neither rise nor fall from there on."""
    alphas = panel.rng.uniform(1.6, 1.9, (len(panel.runs), 1))
    panel.tails(np.tile(alphas, (1, LAYERS)))
    panel.accuracies(0.9 + 0.3 * np.minimum(alphas - 1.75, 0) + 0.01 * panel.noise(1))


NULLS: dict[str, Null] = {
    "rank_correlation, Kendall": Null(claim("rank_correlation", x=RATIO, y=ALPHA, statistic="kendall"), independent),
    "rank_correlation, granulated": Null(
        claim("rank_correlation", x=ALPHA, y=ACCURACY, statistic="granulated_kendall"), _one_setting_each
    ),
    "two_lines": Null(claim("two_lines", x=ALPHA, y=ACCURACY, shape="peak"), _levels_off),
}
