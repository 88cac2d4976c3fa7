"""The OCI recipe, built for real: what is in it is what is in the Apptainer image, byte for byte."""

import os
import subprocess

import pytest

from tests.conftest import ROOT
from tests.container.conftest import execute, install

pytestmark = pytest.mark.slow("builds an image, or runs a study in one")

# Apptainer's own options for debootstrap.
BASE = ("--variant=minbase", "--exclude=openssl,udev,debconf-i18n,e2fsprogs", "--include=python3-venv,ca-certificates")


def test_both_recipes_give_the_same_contents(image, folder, supplies, debian):
    if os.geteuid():
        pytest.skip("debootstrap and buildah make an image without a registry only as root")
    install("buildah")
    storage = ("--root", folder / "store", "--runroot", folder / "run")

    def buildah(command: str, *arguments: object) -> str:
        result = subprocess.run(
            ["buildah", *storage, command, *arguments],
            cwd=ROOT,
            env=os.environ | {"BUILDAH_ISOLATION": "chroot"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-5000:]
        return result.stdout.strip()

    suite, mirror = debian
    subprocess.run(["debootstrap", *BASE, suite, folder / "base", mirror], check=True, stdout=subprocess.DEVNULL)
    try:
        base = buildah("from", "scratch")
        buildah("add", base, folder / "base", "/")
        buildah("commit", base, "base")
        options = ("--volume", f"{supplies}:/mnt", "--network", "host", "--build-arg", "BASE=localhost/base")
        buildah("build", *options, "-f", "containers/Containerfile", "-t", "sgdtails", ".")
        built = buildah("from", "localhost/sgdtails")
        contents = buildah("run", built, "image-digest")
        assert contents == buildah("run", built, "cat", "/etc/sgdtails-image")
        assert contents == execute(image, "image-digest").strip()
        assert buildah("run", built, "python", "-c", "import sys; print(sys.prefix)") == "/opt/sgdtails"
    finally:
        buildah("rm", "--all")
        buildah("rmi", "--all", "--force")
