"""One panel of a simulated study, and a claim that is not true of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sgdtails.claims.verdicts import SIGNS

TABLES = ("runs", "tails", "compression", "pruning", "synthetic", "histograms")
LAYERS = 4  # of each network, the head included
MARGIN = 0.05  # of claims within or above one; where it is another, the claim says so
ALPHA = {"of": "alpha"}
ACCURACY = {"of": "test_accuracy"}
RATIO = {"of": "eta_over_b"}
ENTRIES: dict[str, Any] = {"p": 2.0, "epsilon": 0.1}


@dataclass
class Panel:
    """Hold one panel's runs, and the generator of its data; what is put into tables is added to ``rows``."""

    runs: list[dict[str, Any]]
    rng: np.random.Generator
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def noise(self, *shape: int) -> np.ndarray:
        """Draw standard normal numbers for each run, (runs, *shape)."""
        return self.rng.standard_normal((len(self.runs), *shape))

    def tails(
        self, alphas: np.ndarray, estimator: str = "mmo_multivariate", *, errors: Any = None, **more: Any
    ) -> None:
        """Add tail indices (runs, layers), and their 95% intervals from standard errors of that shape."""
        errors = None if errors is None else np.broadcast_to(errors, alphas.shape)
        for run, row in enumerate(alphas):
            for layer, alpha in enumerate(row.tolist()):
                half = None if errors is None else 1.96 * float(errors[run, layer])
                ends = {} if half is None else {"alpha_low": alpha - half, "alpha_high": alpha + half}
                common = {"run": self.runs[run]["run"], "weights": "average", "estimator": estimator}
                known = {"layer": layer, "layer_name": f"fc{layer}", "alpha": alpha, "alpha_published": min(alpha, 2)}
                self.rows["tails"].append(common | known | ends | more)

    def accuracies(self, values: np.ndarray) -> None:
        """Set the test accuracies of the runs, (runs, 1)."""
        for run, value in zip(self.runs, values[:, 0].tolist(), strict=True):
            run["last_test_accuracy"] = value

    def pruned(self, ratios: np.ndarray) -> None:
        """Add 1 - kappa of layers' entries (runs, layers)."""
        for run, row in zip(self.runs, ratios.tolist(), strict=True):
            for layer, ratio in enumerate(row):
                known = {"run": run["run"], "weights": "last", "layer": layer, "structure": "entries"}
                self.rows["compression"].append(known | ENTRIES | {"kappa": 1 - ratio})


@dataclass(frozen=True)
class Null:
    """Hold a claim, a panel's data of which it is not true, and the true effect, which is 0 or exactly the claim's margin."""

    claim: Mapping[str, Any]
    make: Callable[[Panel], None]
    effect: float = 0.0

    @property
    def truth(self) -> str:
        """Name the truth: ``null``, or ``at the margin``."""
        return "null" if self.claim["supports"] in SIGNS else "at the margin"


def networks(panel: Panel, centre: float = 1.97) -> np.ndarray:
    """Draw tail indices (runs, layers) of layers that differ, of networks that differ; at 1.97 a fourth of them is above 2."""
    levels = np.linspace(-0.03, 0.03, LAYERS)
    return centre + levels + 0.03 * panel.noise(1) + 0.02 * panel.noise(LAYERS)


def independent(panel: Panel) -> None:
    """Make tail indices that depend on nothing."""
    panel.tails(networks(panel))


def claim(kind: str, supports: str = "positive", **rest: Any) -> dict[str, Any]:
    """Write a claim as a file could have it."""
    margin = {} if supports in SIGNS else {"margin": rest.pop("margin", MARGIN)}
    return {"statement": "", "where": "", "kind": kind, "supports": supports} | margin | rest
