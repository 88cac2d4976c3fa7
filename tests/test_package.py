"""The package as it is installed, what importing it imports, and which copy of it a workflow runs with."""

import ast
import os
import pickle
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from safetensors.numpy import save_file

import sgdtails
from sgdtails.digests import code_digest, source_trees
from tests.conftest import ROOT
from tests.workflow.conftest import TINY, Workflow

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
HEAVY = ("numpy", "scipy", "pandas", "pyarrow", "matplotlib", "torch", "sklearn", "snakemake", "yaml", "jsonschema")
# What an installation without extras is for; torch and what the workflow needs besides cannot be imported.
WITHOUT_TORCH = """
import importlib.metadata, importlib.util, sys

ABSENT = ("torch", "torchvision", "sklearn", "snakemake")
version, find_spec = importlib.metadata.version, importlib.util.find_spec

class Absent:
    @staticmethod
    def find_spec(name, *rest):
        if name in ABSENT:
            raise ModuleNotFoundError(name, name=name)

def version_unless_absent(name):
    if name in ABSENT:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)

sys.meta_path.insert(0, Absent)
importlib.metadata.version = version_unless_absent
importlib.util.find_spec = lambda name, *rest: None if name in ABSENT else find_spec(name, *rest)

import numpy as np
import sgdtails
from sgdtails import cli

weights = np.random.default_rng(0).standard_cauchy((64, 32))
assert sgdtails.tail_index.estimate(weights).label
assert (sgdtails.prune({"a": weights, "b": weights}, ratio=0.5)["a"] != weights).sum() == weights.size / 2
assert len(sgdtails.load(sys.argv[1]).runs) and sgdtails.load(sys.argv[1]).figure("fig12")
assert cli.main(["audit", "my.safetensors", "--output", "audits"]) == 0
assert cli.main(["audit", "my.pt"]) == cli.main(["audit", "torchvision:resnet18"]) == 1
assert cli.main(["status"]) == 0
"""


def copied(folder: Path) -> Path:
    """The package in a folder as an installation has it, files that are shipped with it included."""
    shutil.copytree(ROOT / "sgdtails", folder / "sgdtails", ignore=shutil.ignore_patterns("__pycache__"))
    for source, target in SHIPPED.items():
        shutil.copytree(ROOT / source, folder / target)
    return folder


def python(*arguments: str, cwd: Path, path: Path) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV_")}
    environment |= {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


# What it says of itself


def test_the_version_is_written_in_one_place():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "sgdtails/__init__.py"}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == sgdtails.__version__
    newest = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest
    assert newest[1] == sgdtails.__version__


def imports(file: Path) -> set[str]:
    """Top-level packages that a file imports, within functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_everything_that_the_library_imports_is_a_dependency():
    distributions = packages_distributions()
    project = PROJECT["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    listed = {canonicalize_name(Requirement(line).name) for line in [*project["dependencies"], *extras]}
    found = set().union(*map(imports, ROOT.glob("sgdtails/**/*.py"))) - set(sys.stdlib_module_names) - {"sgdtails"}
    needed = {canonicalize_name(distributions[name][0]) for name in found}
    assert needed - {"snakemake-interface-executor-plugins"} <= listed
    assert {"numpy", "torch", "jsonschema"} <= needed


def test_the_lock_has_what_the_dependencies_ask_for():
    locked = dict(re.findall(r"^([\w.-]+)==([^ ;]+)", (ROOT / "requirements.lock").read_text(), re.M))
    project = PROJECT["project"]
    for line in [
        *project["dependencies"],
        *(one for lines in project["optional-dependencies"].values() for one in lines),
    ]:
        requirement = Requirement(line)
        if requirement.name != project["name"]:
            assert str(requirement.specifier).startswith(">="), line
            assert requirement.specifier.contains(Version(locked[canonicalize_name(requirement.name)])), line


# What is imported when


def test_importing_the_package_imports_nothing_heavy(tmp_path):
    program = (
        "import sys, sgdtails, sgdtails.cli; dir(sgdtails); sgdtails.InputError, sgdtails.__version__\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
        "assert sgdtails.tail_index.estimate.__module__ == 'sgdtails.audit.estimation'\n"
        "import sgdtails.tail_index; sgdtails.tail_index.inverse_alpha, sgdtails.tail_index.published\n"
    )
    result = python("-c", program, cwd=tmp_path, path=ROOT)
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr


def test_names_that_are_none():
    assert all(hasattr(sgdtails, name) for name in sgdtails.__all__)
    assert set(sgdtails.__all__) <= set(dir(sgdtails))
    for module in (sgdtails, sgdtails.tail_index):
        with pytest.raises(AttributeError, match="has no attribute 'estimates'"):
            _ = module.estimates


@pytest.mark.parametrize("name", ["sgdtails/__init__.py", "sgdtails/tail_index/mmo.py"])
def test_public_names_are_in_no_digest(name):
    """Else a new one would run every study again."""
    file = ROOT / name
    source = file.read_text()

    def tree(text: str) -> source_trees.Tree:
        return source_trees.read(text.encode(), file, ROOT, code_digest.LEFT_OUT, frozenset())

    private = {"_NAMES", "_MODULES", "_ESTIMATE", "__all__", "__version__", "__getattr__", "__dir__"}
    kept = [node for node in ast.parse(source).body if not private & set(re.findall(r"\w+", ast.unparse(node)[:40]))]
    without = ast.unparse(ast.Module([node for node in kept if not isinstance(node, ast.If)], []))
    without = without.replace("import importlib\n", "").replace("import typing\n", "")
    assert without != source
    assert tree(source)[:3] == tree(without)[:3]
    if name == "sgdtails/__init__.py":
        assert tree(source).empty


# As installed


def test_what_works_without_torch_and_beside_no_snakefile(tmp_path):
    rng = np.random.default_rng(0)
    save_file({"a.weight": rng.standard_normal((64, 32)).astype(np.float32)}, tmp_path / "my.safetensors")
    (tmp_path / "my.pt").write_bytes(pickle.dumps({"a": bytes(64)}))
    place = copied(tmp_path / "site")
    study = str(ROOT / "studies/mnist-narrow")
    result = python("-W", "error", "-c", WITHOUT_TORCH, study, cwd=tmp_path, path=place)
    assert result.returncode == 0, result.stderr
    assert "# Audit of `my.safetensors`\n" in result.stdout
    assert "Study paper: 215 runs\n" in result.stdout
    assert "my.pt is a Python pickle and can only be read with torch; install it" in result.stderr
    assert "torchvision:resnet18 needs torch and torchvision" in result.stderr
    assert (tmp_path / "audits/my/audit.parquet").is_file()


def install(uv: str, *arguments: str) -> None:
    result = subprocess.run([uv, "pip", "install", "--quiet", *arguments], capture_output=True, text=True)
    if result.returncode and re.search(r"error sending request|dns error|Failed to (fetch|download)", result.stderr):
        pytest.skip("packages cannot be downloaded here")
    assert result.returncode == 0, result.stderr


installs = pytest.mark.slow("downloads packages")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package installed by uv into a folder of its own, without what it depends on."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not uv:
        pytest.skip("uv is not installed")
    folder = tmp_path_factory.mktemp("installed")
    install(uv, "--no-deps", "--target", str(folder), "--python", sys.executable, str(ROOT))
    return folder


@installs
def test_an_installation_has_everything(installed):
    there = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("sgdtails/**/*.py")} <= there
    assert "sgdtails/py.typed" in there
    for source, target in SHIPPED.items():
        files = [path.relative_to(ROOT / source) for path in (ROOT / source).rglob("*") if path.is_file()]
        assert {f"{target}/{file}" for file in files} <= there
    assert {name.partition("/")[0] for name in there} <= {
        "sgdtails",
        "bin",
        ".lock",
        f"sgdtails-{sgdtails.__version__}.dist-info",
    }
    metadata = (installed / f"sgdtails-{sgdtails.__version__}.dist-info/METADATA").read_text()
    assert "License-Expression: MIT" in metadata


@installs
def test_an_installed_command(installed, tmp_path):
    result = python(str(installed / "bin/sgdtails"), "status", cwd=tmp_path, path=installed)
    assert (result.returncode, result.stdout.splitlines()[:1]) == (0, ["Study paper: 215 runs"]), result.stderr


@installs
def test_the_oldest_dependencies(tmp_path):
    """A bare environment, with the lowest versions that pyproject.toml allows and without torch."""
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    interpreter = str(tmp_path / "venv/bin/python")
    install(uv, "--python", interpreter, "--resolution", "lowest-direct", str(ROOT))
    save_file({"a.weight": np.random.default_rng(0).standard_normal((64, 32))}, tmp_path / "my.safetensors")
    program = [interpreter, "-c", WITHOUT_TORCH, str(ROOT / "studies/mnist-narrow")]
    result = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "# Audit of `my.safetensors`\n" in result.stdout


# Beside a Snakefile


def test_a_workflow_runs_with_its_own_copy(tmp_path, monkeypatch):
    """Though another one comes first on the path."""
    (tmp_path / "site/sgdtails").mkdir(parents=True)
    (tmp_path / "site/sgdtails/__init__.py").write_text("raise RuntimeError('the other copy')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    assert Workflow(tmp_path / "clone").planned(TINY, "--", "results/tiny/data/digits.safetensors") == {"dataset": 1}


def test_a_workflow_refuses_another_copy_that_is_imported_already(tmp_path, monkeypatch):
    """As by a plugin, or by a file of the environment that is read when Python starts."""
    place = copied(tmp_path / "site")
    (place / "sitecustomize.py").write_text("import sgdtails\n")
    monkeypatch.setenv("PYTHONPATH", str(place))
    clone = Workflow(tmp_path / "clone")
    result = clone.run(TINY, "--dry-run")
    assert result.returncode == 1
    said = [line for line in result.stdout.splitlines() if "in place of" in line]
    assert said == [
        f"Python has {place / 'sgdtails'} in place of {clone.folder / 'sgdtails'}; start Snakemake by itself."
    ]
    assert "Traceback" not in result.stdout


# For those who change it


def test_commits_are_checked_as_make_lint_does():
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0].splitlines()[1:]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == [line.strip() for line in recipe]


def test_make_help_lists_the_targets_that_say_what_they_do():
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    listed = [line.split()[1] for line in shown.splitlines()]
    text = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)", text, re.M)[1].split())
    assert set(listed) == phony | {"fig%"}  # a pattern cannot be phony
    assert all(len(line.split()) > 3 for line in shown.splitlines())
