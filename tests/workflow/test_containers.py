"""What a person sees who asks for containers where there is no image."""

import shutil

import pytest

from sgdtails.config import containers
from tests.conftest import ROOT
from tests.workflow.conftest import TINY


def test_without_an_image_the_error_says_how_to_build_one(fresh):
    shutil.copytree(ROOT / "containers", fresh.folder / "containers", ignore=shutil.ignore_patterns("*.sif*"))
    shutil.copy(ROOT / "requirements.lock", fresh.folder)
    result = fresh.run(TINY, "--sdm", "apptainer")
    assert result.returncode != 0
    image = f"containers/sgdtails-{containers.recipe_digest(ROOT)}.sif"
    assert f"config key container: there is no image {image}; build it with `make image`" in result.stdout
    assert "Traceback" not in result.stdout
    assert not (fresh.folder / "results").exists()


@pytest.mark.parametrize("container", ["gone.sif", None])
def test_containers_are_not_looked_for_unless_asked_for(planned, container):
    study = TINY | {"container": container}
    assert planned.planned(study)["train, several"] == 1
    result = planned.run(study, "--sdm", "apptainer", "--dry-run")
    assert result.returncode != 0
    assert "config key container" in result.stdout
