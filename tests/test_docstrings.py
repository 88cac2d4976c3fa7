"""Docstrings: their examples run, and public functions describe what they take and return."""

import doctest
import importlib
import inspect
import pkgutil
import warnings

import pytest

import sgdtails
from tests.conftest import ROOT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from numpydoc.validate import validate

MODULES = sorted(
    each.name for each in pkgutil.walk_packages(sgdtails.__path__, "sgdtails.") if not each.name.endswith("__main__")
)
# Rooms, and modules beside them, whose public functions and classes are described in full.
ROOMS = ("arrays", "errors", "layers", "pruning", "stable", "tail_index", "theory")
# Parameters described, none of them unknown; results described; an example.
CHECKED = {"PR01", "PR02", "RT01", "RT03", "YD01", "EX01"}
# They need a study's files, images or a network of torch's, which no short example makes.
WITHOUT_EXAMPLE = {
    "sgdtails.layers.read",
    *(f"sgdtails.pruning.evaluate.{name}" for name in ("fully_connected", "module", "output_positions")),
    "sgdtails.pruning.latency.latency_rows",
    "sgdtails.tail_index.histograms.histogram_rows",
    "sgdtails.tail_index.network_index.with_index",
    "sgdtails.tail_index.nulls.profile_rows",
    *(f"sgdtails.theory.perturbation.{name}" for name in ("logits", "perturbation_rows", "reach")),
    *(f"sgdtails.theory.run_bounds.{name}" for name in ("bounds_rows", "margins")),
}


def public(name: str) -> list[str]:
    """The functions and classes that a module defines under a name without an underscore."""
    module = importlib.import_module(name)
    return [
        f"{name}.{key}"
        for key, value in vars(module).items()
        if not key.startswith("_")
        and getattr(value, "__module__", None) == name
        and (inspect.isfunction(inspect.unwrap(value)) or inspect.isclass(value))
    ]


def test_examples_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    results = {name: doctest.testmod(importlib.import_module(name)) for name in MODULES}
    assert {name: found.failed for name, found in results.items() if found.failed} == {}
    assert sum(found.attempted for found in results.values()) > 200


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_described(room):
    names = [name for module in MODULES if module.split(".")[1] == room for name in public(module)]
    assert names
    wrong = {}
    for name in names:
        found = validate(name)
        codes = {code: text for code, text in found["errors"] if code in CHECKED}
        if found["type"] != "function" or name in WITHOUT_EXAMPLE:
            codes.pop("EX01", None)
        if codes:
            wrong[name] = codes
    assert wrong == {}


def test_the_exceptions_are_needed():
    assert {name for name in WITHOUT_EXAMPLE if "EX01" not in dict(validate(name)["errors"])} == set()
