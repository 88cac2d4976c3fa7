"""Prune networks by each method, at all its ratios and relative errors."""

import json
import math
from typing import Any

from sgdtails import layers
from sgdtails.arrays import Array, Row
from sgdtails.config import architectures, batches, plugins
from sgdtails.config.types import Settings
from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.io import storage, tables
from sgdtails.pruning import evaluate, methods
from sgdtails.pruning.attack import Attack
from sgdtails.pruning.evaluate import Sweep
from sgdtails.pruning.forms import PrunedNetwork
from sgdtails.runtime import devices, jobs, placing

Weights = dict[str, Array]


def main(smk: Any) -> None:
    settings = json.loads(smk.params.settings)
    for network in batches.networks(smk):
        provenance = {"run": network.name, "code": smk.params.code, "settings": settings}
        files = {kind: path for kind, path in vars(network.input).items() if kind != "dataset"}
        ((kind, path),) = files.items()
        kind = settings["weights"] if kind == "trained" else kind
        found = _rows(settings, kind, path, network.input.dataset)
        rows = [{"run": network.name, "weights": kind} | row for row in found]
        tables.write("pruned", rows, network.output.pruned, provenance=provenance)
    batches.finish(smk, "prune")


def _rows(settings: Settings, kind: str, path: str, dataset: str) -> list[Row]:
    state, record = storage.load_arrays(path)
    weights = layers.weights(state, record.get("layers"))
    if not layers.finite(weights):
        skipped = record["status"] == "skipped"
        reason = "never averaged: training did not converge" if skipped else "weights that are not finite"
        return _missing(settings, reason)
    if kind == "initial" and layers.constant(weights):
        return _missing(settings, "a layer whose weights are all equal")
    pruned = _pruned(settings, state, weights, path, data.read(dataset))
    return [{"reason": None} | row for row in pruned]


def _pruned(settings: Settings, state: Weights, weights: Weights, path: str, dataset: data.Dataset) -> list[Row]:
    measure, weights, positions = _set_up(settings, dataset, state, weights, path)
    paths = {name: method["function"] for name, method in settings["own"].items()}
    sweeps = _sweeps(settings, plugins.load_all(paths, "config key pruning.own", methods.METHODS))
    rows: list[Row] = []
    try:
        unpruned = measure(PrunedNetwork.unpruned(weights))
        for sweep in sweeps:
            rows += evaluate.pruning_rows(
                weights,
                measure,
                sweep,
                positions=positions,
                unpruned=unpruned,
                centring=settings["centring"],
                exempt=settings["exempt"],
            )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return rows


def _missing(settings: Settings, reason: str) -> list[Row]:
    return [row | {"reason": reason} for sweep in _sweeps(settings, {}) for row in evaluate.missing_rows(sweep)]


def _sweeps(settings: Settings, own: dict[str, Any]) -> list[Sweep]:
    """Return what each pruning method does, the user's own methods last; ``own`` holds their functions."""
    return [
        Sweep(
            method,
            ratios=how["ratios"],
            epsilons=settings["adaptive"]["epsilon"] if method in methods.ADAPTIVE else [],
            p=how.get("p", 2.0),
            own=own.get(method),
        )
        for method, how in (settings["methods"] | settings["own"]).items()
    ]


def _device(settings: Settings) -> Any:
    """Return a torch device, or None to work in numpy: on a CPU a fully connected network needs no torch, which is slow to start."""
    if "fcn" in settings["model"]:
        if "attack" in settings:  # whose gradients are torch's everywhere: with its threads, and deterministic
            devices.select(settings["device"], settings["precision"], settings["threads"])
        return placing.device(settings["device"], settings["threads"], settings["precision"])
    return devices.select(settings["device"], settings["precision"], settings["threads"])


def _set_up(
    settings: Settings, dataset: data.Dataset, state: Weights, weights: Weights, path: str
) -> tuple[evaluate.Evaluate, Weights, dict[str, int]]:
    """Return how networks are evaluated, the weights to prune, and the output positions of convolutions."""
    device = _device(settings)
    arrays = {
        "test": (dataset.test_images, dataset.test_labels),
        "train": (dataset.train_images, dataset.train_labels),
    }
    splits = {name: data.Split(*arrays[name], dataset, device) for name in arrays if name in settings["evaluate"]}
    how = settings.get("attack")
    attack = Attack(dataset.mean, dataset.std, **how) if how else None
    if "fcn" in settings["model"]:
        shapes = architectures.fully_connected_shapes(
            math.prod(dataset.shape), settings["model"]["fcn"], len(dataset.classes)
        )
        layers.check(weights, shapes, path)
        return evaluate.fully_connected(splits, attack), layers.placed(weights, device), {}
    from sgdtails.models import building as models

    name, spec, classes = settings["run"]["model"], settings["model"], len(dataset.classes)
    model = models.build(name, dataset.shape, classes, {name: spec})
    expected = layers.weights(model.state_dict(), models.layer_keys(name, spec, model, dataset.shape, classes))
    layers.check(weights, {layer: tuple(weight.shape) for layer, weight in expected.items()}, path)
    models.load(model, state)
    positions = evaluate.output_positions(model.to(device), dataset.shape)
    # On a CPU numpy sorts many times faster than torch.
    weights = layers.placed(weights, None if device.type == "cpu" else device)
    return evaluate.module(model, splits, attack), weights, positions


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
