"""What reads files from outside, as functions of bytes: each returns, or raises InputError; whatever else is a bug.

``TARGETS`` names them; ``seeds`` gives files that are good, to be damaged.
"""

import atexit
import contextlib
import copy
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from sgdtails.claims import definitions
from sgdtails.config import batches, config_schema, run_ids, run_table, source_settings, validation
from sgdtails.config.types import Run
from sgdtails.data import loaders
from sgdtails.errors import InputError
from sgdtails.io import archives, storage
from sgdtails.training import checkpoints

ROOT = Path(__file__).parent.parent.parent
BASE = yaml.safe_load((ROOT / "config/config.yaml").read_text())
SCHEMA = yaml.safe_load((ROOT / "config/config.schema.yaml").read_text())
FOLDER = Path(tempfile.mkdtemp(prefix="sgdtails-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
ARRAYS: dict[str, NDArray[Any]] = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2)}


def checked(read: Callable[[], Any]) -> Any:
    """What it returns, or None for an InputError, which must be one sentence of bounded length."""
    try:
        return read()
    except InputError as error:
        message = str(error)
        assert "\n" not in message, message
        assert len(message) < 3000, message
        return None


def _file(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """As Snakemake lays a file of --configfile over config.yaml."""
    both = copy.copy(base)
    for key, value in over.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return both


def study(config: Any) -> dict[str, Run]:
    """All that the Snakefile does with a config before it makes rules of it; what passes must be fit for these."""
    config_schema.validate(config, SCHEMA)
    json.dumps(config, allow_nan=False)
    for name, source in config["datasets"]["sources"].items():
        source_settings.check(name, source)
    runs = run_table.read_runs(
        config["runs"], datasets=config["datasets"]["sources"], models=config["models"], base=ROOT
    )
    for run, row in runs.items():
        run_ids.steps(run)
        batches.runs_per_job(config["runs_per_job"], config["models"][row["model"]], gpu=True)
    return runs


def config(data: bytes) -> None:
    path = _file("config.yaml", data)

    def read() -> None:
        content = validation.read_yaml(path, "a config")
        validation.plain(content, "a config")  # before it is merged, which recurses
        if isinstance(content, dict):
            study(merged(BASE, content))

    checked(read)


def runs(data: bytes) -> None:
    path = _file("runs.csv", data)
    checked(lambda: run_table.read_runs(str(path), datasets=["digits"], models=["fcn4"]))


def claims(data: bytes) -> None:
    path = _file("claims.yaml", data)
    checked(lambda: definitions.read(path))


def npz(data: bytes) -> None:
    path = _file("images.npz", data)
    source = {"kind": "npz", "path": path.name, "test_fraction": 0.5}
    checked(lambda: loaders.load("x", source, root=FOLDER, download=False))


def tar(data: bytes) -> None:
    path = _file("images.tar", data)
    channels = {"mean": [0.5] * 3, "std": [0.5] * 3}  # those of single-coloured images would be refused
    source = {"kind": "folder", "path": path.name, "test_fraction": 0.5, **channels}
    checked(lambda: loaders.load("x", source, root=FOLDER, download=False))


def npy(data: bytes) -> None:
    """Arrays in a whole .npz file: damage that its checksum does not show."""
    path = FOLDER / "images.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images.npy", data)
        file.writestr("labels.npy", data)
    checked(lambda: archives.npz_arrays("here", path, [("images", "labels")]))


def headers(data: bytes) -> None:
    """An archive whose headers have the right checksum, whatever they say."""
    blocks = [bytearray(data[start : start + 512].ljust(512, b"\0")) for start in range(0, len(data), 512)]
    for block in blocks:
        if block[257:262] == b"ustar":
            block[148:156] = b"        "
            block[148:156] = b"%06o\0 " % sum(block)
    path = _file("images.tar", b"".join(blocks))
    checked(lambda: list(archives.tar_members("here", path, archives.tar_names("here", path))))


def image(data: bytes) -> None:
    checked(lambda: archives.picture("an image", data, grey=False, size=(2, 3)))


def arrays(data: bytes) -> None:
    path = _file("arrays.safetensors", data)
    for read in (storage.load_arrays, storage.read_record, storage.digest):
        checked(lambda read=read: read(path))  # type: ignore[misc]


def checkpoint(data: bytes) -> None:
    """Damaged or not what it should be: then there is none."""
    store = checkpoints.CheckpointStore(FOLDER / "checkpoints", "train", "run", depends={"code": "c"})
    store.remove()
    store.save(ARRAYS, {"iteration": 1})
    (path,) = (FOLDER / "checkpoints").rglob("*.safetensors")
    path.write_bytes(data)
    with contextlib.redirect_stderr(io.StringIO()):
        found = store.load()
    assert found is None or set(found[0]) == set(ARRAYS)


TARGETS = {
    target.__name__: target for target in (config, runs, claims, npz, npy, tar, headers, image, arrays, checkpoint)
}


def _png(value: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (value, 0, 255 - value)).save(buffer, kind)
    return buffer.getvalue()


def _tar(mode: str, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for label in ("cat", "dög" + "g" * 120):
            for number in range(2):
                item = tarfile.TarInfo(f"pets/{label}/{number}.png")
                content = _png(number)
                item.size = len(content)
                archive.addfile(item, io.BytesIO(content))
    return buffer.getvalue()


def _npz(save: Callable[..., None], **more: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, images=np.arange(64, dtype=np.uint8).reshape(4, 4, 4), labels=np.arange(4) % 2, **more)
    return buffer.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _stored() -> bytes:
    store = checkpoints.CheckpointStore(FOLDER / "seed", "train", "run", depends={"code": "c"})
    store.save(ARRAYS, {"iteration": 1})
    (path,) = (FOLDER / "seed").rglob("*.safetensors")
    data = path.read_bytes()
    store.remove()
    return data


def seeds(name: str) -> list[bytes]:
    """Good files of a target's format."""
    demo = [path.read_bytes() for path in (ROOT / "config/demo.yaml", ROOT / "config/mnist.yaml")]
    table = b"dataset,model,batch_size,step_size,seed\ndigits,fcn4,50,0.1,0\ndigits,fcn4,100,1e-3,7\n"
    found: dict[str, Callable[[], list[bytes]]] = {
        "config": lambda: demo,
        "runs": lambda: [table],
        "claims": lambda: [(ROOT / "config/claims.yaml").read_bytes()],
        "npz": lambda: [_npz(np.savez), _npz(np.savez_compressed, more=np.zeros(3))],
        "npy": lambda: [_npy(np.arange(6, dtype=kind).reshape(2, 3)) for kind in ("u1", ">i8", "f4")],
        "headers": lambda: [_tar("w"), _tar("w", tarfile.GNU_FORMAT)],
        "tar": lambda: [_tar("w"), _tar("w", tarfile.GNU_FORMAT), _tar("w:gz"), _tar("w:xz"), _tar("w:bz2")],
        "image": lambda: [_png(7, kind) for kind in ("PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP")],
        "arrays": lambda: [_stored()],
        "checkpoint": lambda: [_stored()],
    }
    return found[name]()
