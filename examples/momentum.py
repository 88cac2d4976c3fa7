"""The tutorial's answer: tail indices with and without momentum, at equal effective step sizes and seeds."""

import sys
from pathlib import Path

import pandas as pd
from scipy import stats


def compared(tables: Path) -> pd.DataFrame:
    """One row per effective step size eta/(1 - mu) and seed at which both converged: the network's tail index of each."""
    runs = pd.read_parquet(tables / "runs.parquet")
    runs = runs[runs.status == "converged"]
    runs = runs.assign(effective=(runs.step_size / (1 - runs.momentum)).round(6))
    return runs.pivot(index=["effective", "seed"], columns="momentum", values="alpha").dropna()


def main(tables: Path) -> None:
    table = compared(tables)
    if len(table) < 2 or table.shape[1] < 2:
        sys.exit(f"{tables}: fewer than two pairs of runs converged; look at runs.parquet.")
    plain, heavy = table.columns
    difference = table[heavy] - table[plain]
    print(table.assign(difference=difference).round(3).to_string())
    interval = stats.bootstrap((difference,), lambda x, axis: x.mean(axis=axis), rng=0).confidence_interval
    p = stats.wilcoxon(difference).pvalue
    print(f"\nmean difference {difference.mean():+.3f}, 95% from {interval.low:+.3f} to {interval.high:+.3f}", end="")
    print(f" (bootstrap), p = {p:.3g} (Wilcoxon), {len(table)} pairs")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/momentum/tables"))
