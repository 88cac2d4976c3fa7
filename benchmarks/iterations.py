"""Fit the number of iterations until runs converge: a power law of step size and batch size, from finished studies.

    python -m benchmarks.iterations [TABLE ...]

Tables are ``runs.parquet`` of studies; by default, those of the narrow networks in studies/. The program prints a line per
model: both exponents with 95% intervals, by least squares in logarithms over its converged runs, and which runs these are.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

from sgdtails.errors import InputError

BASE = Path(__file__).parent.parent
# The other studies have one batch size, or few images.
TABLES = tuple(sorted(BASE.glob("studies/mnist-narrow*/tables/runs.parquet")))
COLUMNS = ["model", "dataset", "batch_size", "step_size", "status", "iterations"]
# Exponent below the smallest fitted step size: there SGD follows the gradient flow, and eta times iterations is constant.
SMALL_STEPS = -1.0


@dataclass(frozen=True)
class Law:
    """iterations = exp(constant) step_size^eta batch_size^b of a model; half-widths of 95% intervals of both exponents."""

    constant: float
    eta: float
    b: float
    eta_error: float
    b_error: float
    runs: int
    datasets: tuple[str, ...]
    etas: tuple[float, float]
    batches: tuple[int, ...]

    def iterations(self, eta: float, b: int) -> float:
        """Predict the iterations until a run converges without a budget; below the fitted step sizes, they grow as eta^SMALL_STEPS."""
        fitted = max(eta, self.etas[0])
        return float(np.exp(self.constant) * fitted**self.eta * b**self.b * (min(eta, fitted) / fitted) ** SMALL_STEPS)


def read(paths: Iterable[Path] = TABLES) -> list[dict[str, Any]]:
    """Read the converged runs of some tables. OSError if one does not exist."""
    rows = [row for path in paths for row in pq.read_table(path, columns=COLUMNS).to_pylist()]
    return [row for row in rows if row["status"] == "converged"]


def fit(rows: Sequence[Mapping[str, Any]]) -> Law:
    """Fit the law of one model's runs. InputError if there are fewer than four, or one step size or batch size only."""
    if len(rows) < 4 or any(len({row[column] for row in rows}) < 2 for column in ("step_size", "batch_size")):
        raise InputError(
            f"{rows[0]['model']}: no law can be fitted; give tables of two step sizes and two batch sizes."
        )
    eta, b = (np.array([row[column] for row in rows], float) for column in ("step_size", "batch_size"))
    design = np.column_stack([np.ones(len(rows)), np.log(eta), np.log(b)])
    target = np.log([row["iterations"] for row in rows])
    found, residuals, _, _ = np.linalg.lstsq(design, target, rcond=None)
    degrees = len(rows) - design.shape[1]
    covariance = float(residuals[0]) / degrees * np.linalg.inv(design.T @ design)
    errors = stats.t.ppf(0.975, degrees) * np.sqrt(np.diag(covariance))
    constant, eta_exponent, b_exponent = found.tolist()
    return Law(
        constant,
        eta_exponent,
        b_exponent,
        eta_error=float(errors[1]),
        b_error=float(errors[2]),
        runs=len(rows),
        datasets=tuple(sorted({row["dataset"] for row in rows})),
        etas=(float(eta.min()), float(eta.max())),
        batches=tuple(sorted({row["batch_size"] for row in rows})),
    )


def laws(rows: Sequence[Mapping[str, Any]]) -> dict[str, Law]:
    """Fit the law of each model."""
    return {
        model: fit([row for row in rows if row["model"] == model]) for model in sorted({row["model"] for row in rows})
    }


def report(found: Mapping[str, Law]) -> list[str]:
    """Return a table in Markdown."""
    lines = [
        "| model | exponent of η | exponent of b | iterations at η = 0.2, b = 50 | fitted on |",
        "|---|---|---|---|---|",
    ]
    for model, law in found.items():
        eta, b = (f"{v:.2f} ({v - e:.2f} to {v + e:.2f})" for v, e in ((law.eta, law.eta_error), (law.b, law.b_error)))
        on = f"{law.runs} runs on {', '.join(law.datasets)}, η {law.etas[0]:g} to {law.etas[1]:g}, b {', '.join(map(str, law.batches))}"
        lines.append(f"| {model} | {eta} | {b} | {law.iterations(0.2, 50):,.0f} | {on} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="*", default=TABLES)
    print(*report(laws(read(parser.parse_args().tables))), sep="\n")


if __name__ == "__main__":
    main()
