"""The study inside a real image: the same tables, byte for byte, and nothing of the host's but the repository."""

import pytest
import yaml

from tests.conftest import ROOT
from tests.container.conftest import compare, contents, execute, workflow
from tests.workflow.conftest import TINY, Workflow

INSIDE = ("--sdm", "apptainer")

ORIGINS = """
import pathlib, pkgutil, importlib, sys
import sgdtails, sklearn.datasets, torchvision, matplotlib.pyplot, pyarrow.parquet, scipy.stats, snakemake.script

pytestmark = pytest.mark.slow("builds an image, or runs a study in one")
for module in pkgutil.iter_modules(sgdtails.__path__):
    importlib.import_module(f"sgdtails.{module.name}")
files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
print(*(file for file in files if "/" in file), sep="\\n")  # torch gives some modules invented names
"""


def test_every_module_comes_from_the_image_or_the_repository(image, tmp_path):
    """Even where the host's PYTHONPATH offers others."""
    (tmp_path / "scipy.py").write_text("raise SystemExit('the host has leaked in')")
    binds = ("--bind", f"{ROOT}:/repository", "--bind", f"{tmp_path}:/host", "--pwd", "/repository")
    options = ("--contain", "--no-home", *binds, "--env", "PYTHONPATH=/host")
    files = execute(image, "python", "-c", ORIGINS, options=options).splitlines()
    assert "/repository/sgdtails/runtime/container.py" in files
    assert len(files) > 1000
    allowed = ("/repository/sgdtails/", "/opt/sgdtails/", "/usr/lib/python3", "/usr/local/lib/python3")
    assert [file for file in files if not file.startswith(allowed)] == []


def test_a_module_of_the_host_is_not_found_inside(image, tmp_path, monkeypatch):
    """A model's factory in a package that only the host has: found by a local job, not inside."""
    contained = workflow(tmp_path / "repository", image)
    (tmp_path / "host").mkdir()
    (tmp_path / "host/hosts_own.py").write_text(
        "import torch\ndef build(shape, classes):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0] * shape[1] * shape[2], classes))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "host"))
    runs = [{"dataset": "digits", "model": "own", "batch_size": 50, "step_size": 0.1, "seed": 0}]
    study = TINY | {"runs": runs, "models": {"own": {"factory": "hosts_own.build"}}}
    weights = "results/tiny/initial/own-digits-s0/weights.safetensors"
    inside = contained.run(study, *INSIDE, "--", weights)
    assert inside.returncode != 0
    assert "cannot import 'hosts_own.build' (No module named 'hosts_own')" in inside.stdout
    local = contained.run(study, "--", weights)
    assert local.returncode == 0, local.stdout


@pytest.fixture(scope="module", params=["tiny", "demo"])
def studies(request, image, tmp_path_factory) -> tuple[dict, Workflow, Workflow]:
    """A study, where it ran without a container, and where it ran inside the image."""
    study = TINY if request.param == "tiny" else yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    local = Workflow(tmp_path_factory.mktemp("local"))
    inside = workflow(tmp_path_factory.mktemp("inside"), image)
    for place, options in ((local, ()), (inside, INSIDE)):
        result = place.run(study, *options)
        assert result.returncode == 0, result.stdout
    return study, local, inside


def test_every_file_is_the_same_byte_for_byte(studies, image):
    """Tables in all but their metadata, which hold the image's digest; weights and figures whole."""
    study, local, inside = studies
    results = f"results/{study['study']}"
    compared = compare(local.folder / results, inside.folder / results, contents(image))
    assert compared[".parquet"] >= 20
    assert all(compared[kind] for kind in (".safetensors", ".png", ".pdf", ".md"))


def test_another_image_reruns_everything_and_the_same_nothing(studies, image):
    study, _, inside = studies
    assert inside.planned(study, *INSIDE) == {}
    (inside.folder / "other.sif").symlink_to(image)
    planned = inside.planned(study | {"container": "other.sif"}, *INSIDE)
    assert planned["train"] == planned["average"] > 0
    assert planned["figure"] > 10


def test_nothing_is_left_in_the_working_folder(studies):
    _, local, inside = studies
    more = {path.name for path in inside.folder.iterdir()} - {path.name for path in local.folder.iterdir()}
    assert more - {"other.sif"} == {"containers", "requirements.lock"}
