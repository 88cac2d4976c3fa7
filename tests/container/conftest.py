"""A real image, built as a user would build it where no image registry can be reached.

Building takes minutes and 20 GB, so it is asked for: SGDTAILS_TEST_CONTAINER=1 (`make test-container`), or an image that is
already there by SGDTAILS_TEST_IMAGE=path.
"""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sgdtails.config import containers
from sgdtails.io import tables
from tests.conftest import ROOT
from tests.workflow.conftest import Workflow

BUILDER = f"sgdtails-{os.getpid()}"
UV = Path(sys.executable).with_name("uv")
INSTALLER = ROOT.parent / "shared/tools/install-apptainer"
TIMED = ("runs", "training", "averaging", "latency")  # tables that hold seconds
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="session")
def apptainer() -> Iterator[dict[str, str]]:
    """The environment in which ``apptainer`` works."""
    if not {"SGDTAILS_TEST_CONTAINER", "SGDTAILS_TEST_IMAGE"} & set(os.environ):
        pytest.skip("an image takes minutes and 20 GB to build: `make test-container` does")
    if not shutil.which("apptainer"):
        if os.geteuid() or not INSTALLER.is_file():
            pytest.skip("apptainer is not installed")
        subprocess.run(["bash", INSTALLER], check=True)
    # Root's jobs run in a user namespace as well, which needs no privilege that a container may lack.
    settings = {"APPTAINER_USERNS": "1"} if os.geteuid() == 0 else {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield settings


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """An empty folder with room for an image, and which any user may read."""
    made = Path(tempfile.mkdtemp(prefix="sgdtails-image-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def supplies(folder: Path) -> Path:
    """What a build finds in /mnt: this machine's certificate authorities, and its cache of wheels: nothing is fetched twice."""
    made = folder / "supplies"
    made.mkdir()
    if AUTHORITIES.is_file():
        shutil.copy(AUTHORITIES, made / "ca.crt")
    wheels = subprocess.run([UV, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    if Path(wheels).is_dir():
        shutil.copytree(wheels, made / "uv", symlinks=True)
    return made


@pytest.fixture(scope="session")
def debian() -> tuple[str, str]:
    """This machine's Debian release and mirror; debootstrap is installed."""
    release = Path("/etc/os-release").read_text()
    suite = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.M)
    sources = [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    lines = [line for file in sources for line in file.read_text().splitlines() if not line.startswith("#")]
    mirrors = [url for line in lines for url in re.findall(r"https?://\S+/debian/?(?=\s|$)", line)]
    if "ID=debian" not in release.splitlines() or not suite or not mirrors:
        pytest.skip("no Debian mirror in /etc/apt to make the image's base from")
    install("debootstrap")
    return suite[1], mirrors[0]


@pytest.fixture(scope="session")
def image(apptainer: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Path]:
    """The image of this repository's recipe and lock, on a base that debootstrap makes from this machine's Debian mirror."""
    if given := os.environ.get("SGDTAILS_TEST_IMAGE"):
        yield Path(given).resolve()
        return
    (suite, mirror), supplies, folder = map(request.getfixturevalue, ("debian", "supplies", "folder"))
    if os.geteuid() == 0:  # debootstrap and dpkg need the range of user ids that an ordinary user is given
        subprocess.run(["useradd", "--home-dir", folder, BUILDER], check=True)
    try:
        yield _built(folder, supplies, {"bootstrap": "debootstrap", "suite": suite, "mirror": mirror})
    finally:
        if os.geteuid() == 0:
            subprocess.run(["userdel", BUILDER], check=True)


def install(package: str) -> None:
    """A Debian package that has a program of its name; the test is skipped where it is missing and cannot be installed."""
    if not shutil.which(package, path=f"{os.environ['PATH']}:/usr/sbin"):
        if os.geteuid() or not shutil.which("apt-get"):
            pytest.skip(f"{package} is not installed")
        subprocess.run(["apt-get", "install", "-y", "-qq", package], check=True)


def workflow(folder: Path, image: Path) -> Workflow:
    """A copy of the repository in whose ``containers`` the image is."""
    copy = Workflow(folder)
    add_image(folder, image)
    return copy


def add_image(folder: Path, image: Path) -> None:
    """The recipe, the lock and the image, where a copy of the repository looks for them."""
    shutil.copytree(ROOT / "containers", folder / "containers", ignore=shutil.ignore_patterns("*.sif*"))
    shutil.copy(ROOT / "requirements.lock", folder)
    (folder / f"containers/sgdtails-{containers.recipe_digest(folder)}.sif").symlink_to(image)


def execute(image: Path, *command: str, options: tuple[str, ...] = ("--contain", "--no-home")) -> str:
    """What a command prints inside the image."""
    return subprocess.run(
        ["apptainer", "--silent", "exec", *options, image, *command], capture_output=True, text=True, check=True
    ).stdout


def contents(image: Path) -> str:
    """The digest that the image was given when it was built."""
    return execute(image, "cat", "/etc/sgdtails-image").strip()


def compare(local: Path, inside: Path, digest: str) -> Counter[str]:
    """How many files of each kind there are, each the same byte for byte in both folders of results.

    Parquet files in all but the footer, where those of ``inside`` must have ``digest`` as image and be alike in all else;
    tables that hold seconds in all other columns.
    """
    compared: Counter[str] = Counter()
    for path in sorted(local.rglob("*.*")):
        other = inside / path.relative_to(local)
        if path.suffix == ".parquet":
            assert _record(path)["image"] is None
            assert _record(other) == _record(path) | {"image": digest}
            if path.stem in TIMED:
                one, two = tables.read(path), tables.read(other)
                timed = [name for name in one.column_names if name.endswith("seconds")]
                assert one.drop(timed).equals(two.drop(timed)), path
            else:
                assert _data(path) == _data(other), path
        elif path.suffix in (".safetensors", ".png", ".pdf", ".md"):
            assert path.read_bytes() == other.read_bytes(), path
        else:
            continue
        compared[path.suffix] += 1
    return compared


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"sgdtails"])
    return record


def _data(path: Path) -> bytes:
    """A Parquet file without its footer, which holds the metadata."""
    content = path.read_bytes()
    (footer,) = struct.unpack("<I", content[-8:-4])
    return content[: -footer - 8]


def _built(folder: Path, supplies: Path, arguments: dict[str, str]) -> Path:
    copy = folder / "repository"
    shutil.copytree(ROOT / "containers", copy / "containers", ignore=shutil.ignore_patterns("*.sif*"))
    shutil.copytree(ROOT / "sgdtails", copy / "sgdtails", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / file, copy)
    options = ["--bind", f"{supplies}:/mnt", "--mksquashfs-args", "'-comp zstd -Xcompression-level 1'"]
    for name, value in arguments.items():
        options += ["--build-arg", f"{name}={value}"]
    program = "apptainer"
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{BUILDER}:", folder], check=True)
        program = f"setpriv --reuid={BUILDER} --regid={BUILDER} --clear-groups apptainer"
    variables = {"PYTHON": sys.executable, "APPTAINER": program, "IMAGE_ARGS": " ".join(options)}
    command = ["make", "-C", str(copy), "image", *(f"{name}={value}" for name, value in variables.items())]
    environment = {**os.environ, **_passed_on(), "HOME": str(folder), "APPTAINER_TMPDIR": str(folder)}
    environment.pop("APPTAINER_USERNS", None)
    with (folder / "build.log").open("w") as log:
        finished = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    assert finished.returncode == 0, (folder / "build.log").read_text()[-5000:]
    (found,) = (copy / "containers").glob("*.sif")
    return found


def _passed_on() -> dict[str, str]:
    """Settings of uv and pip for the build: Apptainer hands on what bears its prefix."""
    names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
    return {f"APPTAINERENV_{name}": os.environ[name] for name in names if name in os.environ}
