"""The examples in the docstrings of what trains networks, of networks, and of datasets."""

import doctest
import importlib
import pkgutil

import pytest

import sgdtails.data
import sgdtails.models
import sgdtails.training

ROOMS = (sgdtails.training, sgdtails.models, sgdtails.data)
MODULES = [m.name for room in ROOMS for m in pkgutil.walk_packages(room.__path__, f"{room.__name__}.") if not m.ispkg]


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0
