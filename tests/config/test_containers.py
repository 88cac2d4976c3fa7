"""Which image jobs run in, and what a job makes of it."""

import shutil
import sys

import pytest

from sgdtails.config import containers
from sgdtails.errors import InputError
from sgdtails.runtime import container
from tests.conftest import ROOT


@pytest.fixture
def recipe(tmp_path):
    """A copy of what an image is built from."""
    base = tmp_path / "repository"
    shutil.copytree(ROOT / "containers", base / "containers", ignore=shutil.ignore_patterns("*.sif*"))
    shutil.copy(ROOT / "requirements.lock", base)
    return base


def test_the_default_image_is_named_by_lock_and_recipe(recipe, config, monkeypatch):
    monkeypatch.chdir(recipe.parent)
    digest = containers.recipe_digest(recipe)
    with pytest.raises(InputError, match=rf"no image containers/sgdtails-{digest}\.sif; build it with `make image`"):
        containers.image(config["container"], recipe)
    built = recipe / f"containers/sgdtails-{digest}.sif"
    built.touch()
    assert containers.image(config["container"], recipe) == str(built)
    (recipe / "requirements.lock").write_text("numpy==1.0\n")
    with pytest.raises(InputError, match="build it with `make image`"):  # not the image of the lock before
        containers.image(config["container"], recipe)


@pytest.mark.parametrize("part", ["requirements.lock", "containers/sgdtails.def", "containers/install.sh"])
def test_every_part_of_the_recipe_counts(recipe, part):
    before = containers.recipe_digest(recipe)
    with (recipe / part).open("a") as file:
        file.write("\n")
    assert containers.recipe_digest(recipe) != before


def test_an_image_is_looked_up_in_the_working_directory_then_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/own.sif").touch()
    assert containers.image("own.sif", tmp_path / "base") == str(tmp_path / "base/own.sif")
    (tmp_path / "own.sif").touch()
    assert containers.image("own.sif", tmp_path / "base") == "own.sif"
    assert containers.image("docker://group/name:tag", tmp_path) == "docker://group/name:tag"


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ("gone.sif", r"config key container: there is no image gone\.sif; give the path of an image, or leave --sdm"),
        (None, r"config key container is null, but containers were asked for \(--sdm apptainer\)"),
    ],
)
def test_an_image_that_is_not_there(container, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        containers.image(container, tmp_path)


def test_containers_get_the_driver_where_there_is_one(tmp_path):
    environment: dict[str, str] = {}
    containers.bind_driver(environment, devices=tmp_path)
    assert environment == {}
    (tmp_path / "nvidiactl").touch()
    containers.bind_driver(environment, devices=tmp_path)
    assert environment == {"APPTAINER_NV": "1"}
    environment["APPTAINER_NV"] = "0"  # the user's own word
    containers.bind_driver(environment, devices=tmp_path)
    assert environment == {"APPTAINER_NV": "0"}


def test_inside_an_image_only_its_own_modules_and_the_repository_are_searched(tmp_path, monkeypatch):
    own = [entry for entry in sys.path if entry.startswith((f"{sys.prefix}/lib", f"{sys.base_prefix}/lib"))]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *own, str(ROOT), "/mnt/snakemake_searchpaths/item_3"])
    before = list(sys.path)
    container.isolate()
    assert sys.path == before  # this is no image
    assert container.digest() is None
    monkeypatch.setattr(container, "_DIGEST", tmp_path / "sgdtails-image")
    (tmp_path / "sgdtails-image").write_text("0123\n")
    container.isolate()
    assert sys.path == [*own, str(ROOT)]
    assert len(own) >= 2
    assert container.digest() == "0123"
