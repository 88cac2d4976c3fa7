"""The conda file and the container recipes say what requirements.lock says."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

_ENTRY = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>[^\\]+?))? \\\n(?P<rest>(?:^[ ].*\n)+)", re.M
)


@pytest.fixture(scope="module")
def conda() -> dict:
    return yaml.safe_load((ROOT / "envs/sgdtails.yaml").read_text())


@pytest.fixture(scope="module")
def pins(conda) -> dict[str, str]:
    listed = conda["dependencies"][-1]["pip"]
    assert len(set(listed)) == len(listed)
    return dict(pin.split("==") for pin in listed)


@pytest.fixture(scope="module")
def locked(conda) -> dict[str, tuple[str, set[str]]]:
    """For the conda file's Python on Linux: each package's version, and who wants it."""
    python = conda["dependencies"][0].removeprefix("python=")
    here = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    here |= {"python_version": python, "python_full_version": f"{python}.0"}
    found = {}
    for entry in _ENTRY.finditer((ROOT / "requirements.lock").read_text()):
        if entry["marker"] is None or Marker(entry["marker"]).evaluate(here):
            wanted_by = re.findall(r"^ +#  ? ?(?:via )?([-\w]+.*)$", entry["rest"], re.M)
            found[entry["name"]] = entry["version"], set(wanted_by)
    assert len(found) > 90
    return found


def test_pins_are_those_of_the_lock(pins, locked):
    assert pins == {name: locked[name][0] for name in pins}


def test_what_is_pinned_needs_nothing_else(pins, locked):
    """Everything in the lock that a pinned package wants is pinned as well: pip has nothing to choose."""
    assert {name for name, (_, wanted_by) in locked.items() if wanted_by & set(pins)} - set(pins) == set()


def test_everything_that_jobs_import_is_pinned(pins):
    distributions = packages_distributions()
    imported = set()
    for file in [*ROOT.glob("sgdtails/**/*.py"), *ROOT.glob("workflow/scripts/*.py")]:
        if file.name in ("config_schema.py", "containers.py"):  # of the Snakefile alone
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    third_party = imported - set(sys.stdlib_module_names) - {"sgdtails"}
    assert {"torch", "numpy", "pyarrow", "matplotlib"} <= third_party
    names = {canonicalize_name(distributions[name][0]) for name in third_party}
    assert names - set(pins) == set()


def test_the_lock_names_no_address():
    assert "http" not in (ROOT / "requirements.lock").read_text()
