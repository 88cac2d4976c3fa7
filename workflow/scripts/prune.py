"""Prune networks by each method, at all its ratios and relative errors."""

import json
import math
from typing import Any

from sgdtails import layers
from sgdtails.config import architectures, batches, plugins
from sgdtails.data import datasets as data
from sgdtails.errors import InputError
from sgdtails.io import storage, tables
from sgdtails.pruning import methods as pruning
from sgdtails.pruning import prunability
from sgdtails.pruning.pruned import PrunedNetwork
from sgdtails.runtime import devices, jobs, placing


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


def _rows(settings: dict[str, Any], kind: str, path: str, dataset: str) -> list[dict[str, Any]]:
    state, record = storage.load_arrays(path)
    weights = layers.weights(state, record.get("layers"))
    if not layers.finite(weights):
        skipped = record["status"] == "skipped"
        reason = "never averaged: training did not converge" if skipped else "weights that are not finite"
        return _missing(settings, reason)
    if kind == "initial" and layers.constant(weights):
        return _missing(settings, "a layer whose weights are all equal")
    pruned = _pruned(settings, state, weights, path, data.read(dataset), _device(settings))
    return [{"reason": None} | row for row in pruned]


def _pruned(
    settings: dict[str, Any],
    state: dict[str, Any],
    weights: dict[str, Any],
    path: str,
    dataset: data.Dataset,
    device: Any,
) -> list[dict[str, Any]]:
    evaluate, weights, positions = _set_up(settings, dataset, state, weights, path, device)
    paths = {name: method["function"] for name, method in settings["own"].items()}
    own = plugins.load_all(paths, "config key pruning.own", pruning.METHODS)
    common = {"positions": positions, "centring": settings["centring"], "exempt": settings["exempt"]}
    rows: list[dict[str, Any]] = []
    try:
        common["unpruned"] = evaluate(PrunedNetwork.unpruned(weights))
        for method, how in _methods(settings).items():
            rows += prunability.rows(weights, evaluate, method=method, own=own.get(method), **common, **how)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return rows


def _missing(settings: dict[str, Any], reason: str) -> list[dict[str, Any]]:
    methods = _methods(settings).items()
    wanted = [(method, how["ratios"], how["epsilons"]) for method, how in methods]
    return [
        row | {"reason": reason}
        for name, ratios, errors in wanted
        for row in prunability.missing(method=name, ratios=ratios, epsilons=errors)
    ]


def _methods(settings: dict[str, Any]) -> dict[str, Any]:
    """Ratios, relative errors and p of each pruning method, the user's own ones last."""
    return {
        method: {
            "ratios": how["ratios"],
            "epsilons": settings["adaptive"]["epsilon"] if method in pruning.ADAPTIVE else [],
            "p": how.get("p", 2.0),
        }
        for method, how in (settings["methods"] | settings["own"]).items()
    }


def _device(settings: dict[str, Any]) -> Any:
    """A torch device, or None to work in numpy: on a CPU a fully connected network needs no torch, which is slow to start."""
    if "fcn" in settings["model"]:
        return placing.device(settings["device"], settings["threads"], settings["precision"])
    return devices.select(settings["device"], settings["precision"], settings["threads"])


def _set_up(
    settings: dict[str, Any],
    dataset: data.Dataset,
    state: dict[str, Any],
    weights: dict[str, Any],
    path: str,
    device: Any,
) -> tuple[prunability.Evaluate, dict[str, Any], dict[str, int]]:
    """How networks are evaluated, the weights to prune, and the output positions of convolutions."""
    arrays = {
        "test": (dataset.test_images, dataset.test_labels),
        "train": (dataset.train_images, dataset.train_labels),
    }
    splits = {name: data.Split(*arrays[name], dataset, device) for name in arrays if name in settings["evaluate"]}
    if "fcn" in settings["model"]:
        shapes = architectures.fully_connected_shapes(
            math.prod(dataset.shape), settings["model"]["fcn"], len(dataset.classes)
        )
        layers.check(weights, shapes, path)
        return prunability.fully_connected(splits), layers.placed(weights, device), {}
    from sgdtails.models import building as models

    name, spec, classes = settings["run"]["model"], settings["model"], len(dataset.classes)
    model = models.build(name, dataset.shape, classes, {name: spec})
    expected = layers.weights(model.state_dict(), models.layer_keys(name, spec, model, dataset.shape, classes))
    layers.check(weights, {layer: tuple(weight.shape) for layer, weight in expected.items()}, path)
    models.load(model, state)
    positions = prunability.output_positions(model.to(device), dataset.shape)
    # On a CPU numpy sorts many times faster than torch.
    weights = layers.placed(weights, None if device.type == "cpu" else device)
    return prunability.module(model, splits), weights, positions


if "snakemake" in globals():
    jobs.run(main, snakemake)  # type: ignore[name-defined]  # noqa: F821
