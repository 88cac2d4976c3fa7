"""The tables of a study that claims are tested on, and what is looked up in them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sgdtails.claims import curves
from sgdtails.io import tables
from sgdtails.schemas.study_schemas import SCHEMAS
from sgdtails.tail_index.network_index import Index

Reals = NDArray[np.float64]
Run = dict[str, Any]
Layers = dict[str, dict[int, Any]]  # by run, then by layer
Curves = dict[str, dict[str, tuple[Reals, Reals]]]  # pruned ratios and accuracies, by method and run

# What two runs must share to be compared, unless it is what they are compared by.
_PLAIN: Run = {"momentum": 0, "weight_decay": 0, "noise_scale": 0, "noise_alpha": 2, "noise_kind": "independent"}
_SETTINGS = ("dataset", "model", "batch_size", "step_size", *_PLAIN)
# What changes with a column, and what is held in its place: a wider network is another model of the same kind and depth.
_CHANGES = {
    "width": ("model",),
    "depth": ("model",),
    "eta_over_b": ("step_size",),
    "effective_step_size": ("step_size",),
    "train_size": ("dataset",),
}
_IN_PLACE = {"width": ("kind", "depth"), "depth": ("kind", "width")}


def held(x: str) -> tuple[str, ...]:
    """Name the columns in which runs must be equal to differ by ``x`` and their seeds alone.

    Parameters
    ----------
    x : str
        A column of table ``runs``.

    Returns
    -------
    tuple of str
        Columns of table ``runs``.

    Examples
    --------
    >>> held("width")[:4]
    ('dataset', 'kind', 'depth', 'batch_size')
    """
    changing = (x, *_CHANGES.get(x, ()))
    dataset, model, *others = (() if name in changing else (name,) for name in _SETTINGS)
    return (*dataset, *model, *_IN_PLACE.get(x, ()), *(name for each in others for name in each))


def families(runs: Sequence[Run], x: str) -> dict[str, list[Run]]:
    """Group runs that are equal but for ``x``, and what changes with it, and their seeds.

    Parameters
    ----------
    runs : sequence of dict
        Rows of table ``runs``.
    x : str
        The column by which they are compared. Runs without it are left out.

    Returns
    -------
    dict of str to list of dict
        Rows by what their family is called; only families with at least two values of ``x``.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run.get(x) is not None:
            found.setdefault(_title(run, held(x)), []).append(run)
    return {title: rows for title, rows in found.items() if len({row[x] for row in rows}) > 1}


def _title(run: Run, columns: Sequence[str]) -> str:
    parts = []
    for name in columns:
        value = run.get(name)
        if name in ("dataset", "model", "kind"):
            parts.append(str(value).upper())
        elif name in ("batch_size", "step_size"):
            parts.append(f"{'b' if name == 'batch_size' else 'eta'} = {value:g}")
        elif value is not None and value != _PLAIN.get(name):
            parts.append(f"{name.replace('_', ' ')} {value if isinstance(value, str) else format(value, 'g')}")
    return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Study:
    """Hold the tables that claims are tested on.

    Parameters
    ----------
    runs, tails, compression, pruning, synthetic, histograms : pyarrow.Table
        Tables of a study, named as its files are.
    index : Index
        What a network's tail index is, as in figure 1.
    weights : str
        Which of a run's networks is pruned, whose accuracy counts.
    dependence, errors, laws : pyarrow.Table
        Further tables, empty unless a claim is about them.
    """

    runs: pa.Table
    tails: pa.Table
    compression: pa.Table
    pruning: pa.Table
    synthetic: pa.Table
    histograms: pa.Table
    index: Index = field(default_factory=Index)
    weights: str = "last"
    dependence: pa.Table = field(default_factory=lambda: SCHEMAS["dependence"].empty_table())
    errors: pa.Table = field(default_factory=lambda: SCHEMAS["errors"].empty_table())
    laws: pa.Table = field(default_factory=lambda: SCHEMAS["laws"].empty_table())

    @cached_property
    def panels(self) -> dict[str, list[Run]]:
        """Every run by panel title, such as FCN4, DIGITS."""
        groups = tables.panels(self.runs.to_pylist()).values()
        return {tables.panel_title(rows[0]): rows for rows in groups}

    @cached_property
    def kinds(self) -> dict[str, list[Run]]:
        """Runs of one dataset and one kind of model, whatever their widths, depths and variants of SGD, by title.

        Runs of a single panel have its title.
        """
        groups: dict[str, list[Run]] = {}
        for run in self.runs.to_pylist():
            groups.setdefault(f"{run.get('kind') or run['model']}, {run['dataset']}".upper(), []).append(run)
        titles = {title: {tables.panel_title(run) for run in rows} for title, rows in groups.items()}
        return {min(titles[title]) if len(titles[title]) == 1 else title: rows for title, rows in groups.items()}

    @cached_property
    def aggregates(self) -> dict[tuple[str, str], Layers]:
        """Rows of aggregated tail indices (those without a block length) by (estimator, weights), run and layer."""
        found: dict[tuple[str, str], Layers] = defaultdict(lambda: defaultdict(dict))
        for row in self.tails.filter(pc.field("k1").is_null()).to_pylist():
            found[row["estimator"], row["weights"]][row["run"]][row["layer"]] = row
        return found

    @cached_property
    def blocks(self) -> dict[tuple[str, str, int], Layers]:
        """Rows of single block lengths by (estimator, weights, K1 as asked for), run and layer."""
        found: dict[tuple[str, str, int], Layers] = defaultdict(lambda: defaultdict(dict))
        for row in self.tails.filter(pc.field("k1").is_valid()).to_pylist():
            targets = (row.get("k1_targets") or str(row["k1"])).split(", ")
            for target in targets:
                if target.isdecimal():  # the square root of N is not a number
                    found[row["estimator"], row["weights"], int(target)][row["run"]][row["layer"]] = row
        return found

    def layers(self, run: str, estimator: str = "", weights: str = "average", k1: int = 0) -> dict[int, Any]:
        """Rows of one run by layer: aggregated over block lengths, or of the one asked for as ``k1``.

        They are of the index's own estimator if none is named; there are none if the table has none.
        """
        estimator = estimator or self.index.estimator
        if k1:
            return self.blocks.get((estimator, weights, k1), {}).get(run, {})
        return self.aggregates.get((estimator, weights), {}).get(run, {})

    @cached_property
    def curves(self) -> Curves:
        """By method and run: pruned ratios, ascending, and relative test accuracies of the trained network."""
        return self._curves("relative_test_accuracy")

    @cached_property
    def robust_curves(self) -> Curves:
        """The same with accuracies under attack; empty where no network was attacked."""
        return self._curves("robust_accuracy") if "robust_accuracy" in self.pruning.column_names else {}

    def _curves(self, accuracy: str) -> Curves:
        rows: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        wanted = (pc.field("weights") != "initial") & pc.field(accuracy).is_valid()
        if "epsilon" in self.pruning.column_names:  # tables of earlier versions have ratios only
            wanted &= pc.field("epsilon").is_null()
        columns = ["method", "run", "pruned_ratio", accuracy]
        for row in self.pruning.filter(wanted).select(columns).to_pylist():
            rows[row["method"]][row["run"]].append((row["pruned_ratio"], row[accuracy]))
        return {
            method: {run: tuple(np.array(sorted(points)).T) for run, points in runs.items()}
            for method, runs in rows.items()
        }

    @cached_property
    def pruned(self) -> dict[tuple[float, float], Layers]:
        """1 - kappa of the entries of each trained layer, by (p, epsilon), run and layer."""
        found: dict[tuple[float, float], Layers] = defaultdict(lambda: defaultdict(dict))
        wanted = (pc.field("weights") != "initial") & (pc.field("structure") == "entries")
        columns = ["run", "layer", "p", "epsilon", "kappa"]
        for row in self.compression.filter(wanted).select(columns).to_pylist():
            found[row["p"], row["epsilon"]][row["run"]][row["layer"]] = 1 - row["kappa"]
        return found

    @cached_property
    def sparsity(self) -> dict[str, Layers]:
        """Stable rank and PQ index of each trained layer, by column, run and layer; tables of earlier versions have none."""
        found: dict[str, Layers] = defaultdict(lambda: defaultdict(dict))
        columns = [name for name in ("stable_rank", "pq_index") if name in self.compression.column_names]
        trained = self.compression.filter(pc.field("weights") != "initial")
        for row in trained.select(["run", "layer", *columns]).to_pylist() if columns else ():
            for name in columns:
                found[name][row["run"]][row["layer"]] = row[name]
        return found

    @cached_property
    def curve(self) -> Callable[[str, int], tuple[Reals, Reals]]:
        """The curve of simulated matrices of a structure, given with its number of groups."""
        return cache(lambda structure, bins: curves.of_matrices(self.simulated[structure], bins=bins))

    @cached_property
    def resampled_curves(self) -> Callable[[str, int, int, int], tuple[Reals, Reals]]:
        """Curves of bootstrap resamples of a structure's matrices, given with groups, number of resamples and seed."""

        @cache
        def drawn(structure: str, bins: int, bootstrap: int, seed: int) -> tuple[Reals, Reals]:
            rng = np.random.default_rng([seed, len(self.simulated[structure])])
            return curves.of_resamples(self.simulated[structure], bins=bins, bootstrap=bootstrap, rng=rng)

        return drawn

    @cached_property
    def dependences(self) -> dict[tuple[str, str], Layers]:
        """Values of table ``dependence`` by (measure, weights), run and layer."""
        found: dict[tuple[str, str], Layers] = defaultdict(lambda: defaultdict(dict))
        for row in self.dependence.to_pylist():
            found[row["measure"], row["weights"]][row["run"]][row["layer"]] = row["value"]
        return found

    @cached_property
    def kept_errors(self) -> dict[tuple[str, float], Layers]:
        """Rows of table ``errors`` by (structure, kappa), run and layer."""
        found: dict[tuple[str, float], Layers] = defaultdict(lambda: defaultdict(dict))
        for row in self.errors.to_pylist():
            found[row["structure"], row["kappa"]][row["run"]][row["layer"]] = row
        return found

    @cached_property
    def log_likelihoods(self) -> dict[tuple[str, str], Layers]:
        """Log-likelihoods per weight of laws of the averaged weights, by (entries or rows, law), run and layer; None for a layer without laws."""
        layers: Layers = defaultdict(dict)
        found: dict[tuple[str, str], Layers] = defaultdict(lambda: defaultdict(dict))
        columns = ["run", "layer", "observed", "law", "log_likelihood"]
        for row in self.laws.filter(pc.field("weights") == "average").select(columns).to_pylist():
            layers[row["run"]][row["layer"]] = None
            if row["law"] is not None:
                found[row["observed"], row["law"]][row["run"]][row["layer"]] = row["log_likelihood"]
        return {
            law: {run: {layer: of_law.get(layer) for layer in layers[run]} for run, of_law in runs.items()}
            for law, runs in found.items()
        }

    @cached_property
    def simulated(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of simulated matrices by structure."""
        found = defaultdict(list)
        for row in self.synthetic.to_pylist():
            found[row["structure"]].append(row)
        return found


def bin_counts(study: Study, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.int64]]:
    """Count the weights per bin of each series of one panel's histograms, and below and above all bins.

    A half is half of the layer's N weights. What lies outside the bins is split evenly: the laws are symmetric.

    Parameters
    ----------
    study : Study
        Tables of the study, for N.
    rows : sequence of dict
        Rows of table ``histograms`` of one panel.

    Returns
    -------
    dict of str to ndarray of shape (bins + 2,)
        Counts by series; empty if N is not known.
    """
    first = rows[0]
    matches = study.layers(first["run"], "mmo_univariate", "average").values()
    size = next((row["observations"] for row in matches if row["layer_name"] == first["layer_name"]), None)
    if size is None:
        return {}
    counts = {}
    for series in dict.fromkeys(row["series"] for row in rows):
        bins = sorted((row["low"], row["high"], row["density"]) for row in rows if row["series"] == series)
        n = {"half_a": size // 2, "half_b": size - size // 2}.get(series, size)
        inside = np.array([round(density * (high - low) * n) for low, high, density in bins])
        outside = max(n - int(inside.sum()), 0)
        counts[series] = np.array([outside // 2, *inside, outside - outside // 2], dtype=np.int64)
    return counts
