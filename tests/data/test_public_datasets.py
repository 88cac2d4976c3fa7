"""MNIST's and CIFAR10's files: nothing in them is looked at before their digest is checked, and no pickle can call anything."""

import hashlib
import io
import pickle
import shutil
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sgdtails.data import public_datasets
from sgdtails.errors import InputError

FILES = public_datasets._CIFAR10


def batch(value):
    """Two images as Python 2 pickled them, which Python 3 cannot: texts and arrays' contents are its strings of bytes."""
    images = np.full((2, 3072), value, np.uint8).tobytes()
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array = empty + b"(K\x01K\x02M\x00\x0c\x86" + dtype + b"\x89T" + struct.pack("<I", len(images)) + images + b"tb"
    return b"\x80\x02}(U\x0bbatch_labelU\x01xU\x06labels](K%cK\x01eU\x04data" % value + array + b"u."


@pytest.fixture
def root(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    digests = {}
    for number, file in enumerate(FILES):
        (folder / file).write_bytes(batch(number))
        digests[file] = hashlib.md5(batch(number)).hexdigest()
    monkeypatch.setattr(public_datasets, "_CIFAR10", digests)
    return tmp_path


def test_batches_in_order(root):
    (images, labels), (test_images, test_labels), classes = public_datasets.cifar10("c", root, download=False)
    assert images.shape == (10, 3, 32, 32)
    assert images[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert labels.tolist() == [0, 1, 1, 1, 2, 1, 3, 1, 4, 1]
    assert (test_images.shape, test_labels.tolist()) == ((2, 3, 32, 32), [5, 1])
    assert classes[0] == "airplane"


def test_digests_are_those_that_torchvision_checks():
    from torchvision.datasets import CIFAR10

    assert list(FILES.items()) == [tuple(pair) for pair in CIFAR10.train_list + CIFAR10.test_list]


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("file", ["data_batch_1", "test_batch"])
def test_another_pickle_in_its_place(root, file):
    canary = root / "was_here"
    bomb = pickle.dumps({"data": Canary(canary), "labels": []})
    (root / "cifar-10-batches-py" / file).write_bytes(bomb)
    with pytest.raises(InputError, match=rf"{file} is damaged \(its MD5 is not"):
        public_datasets.cifar10("c", root, download=False)
    with pytest.raises(pickle.UnpicklingError, match=r"asks for \w+\.open"):
        public_datasets._batch(bomb)  # even with the right digest
    assert not canary.exists()
    pickle.load(io.BytesIO(bomb))["data"].close()
    assert canary.exists()  # it would have worked


def test_one_process_fetches_and_the_others_wait(root, monkeypatch):
    """As two datasets of one source do. What a killed one has left is no hindrance."""
    folder, fetched = root / "cifar-10-batches-py", []
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    (root / ".fetching").mkdir()
    (root / ".fetching/rest").touch()

    def fetch(place, part):
        fetched.append(place)
        (place / part).mkdir(parents=True)
        for name, data in content.items():
            (place / part / name).write_bytes(data)
            time.sleep(0.01)

    monkeypatch.setattr(public_datasets, "_fetch", fetch)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: public_datasets.cifar10("c", root, download=True), range(3)))
    assert len(found) == 3
    assert len(fetched) == 1
    assert not (root / ".fetching").exists()


def test_an_archive_that_was_cut_off_is_one_sentence(tmp_path, monkeypatch):
    def fetch(place, part):
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")

    monkeypatch.setattr(public_datasets, "_fetch", fetch)
    with pytest.raises(InputError, match="not found whole .*end-of-stream"):
        public_datasets.mnist("m", tmp_path / "new", download=True)


def test_files_of_an_older_torchvision_are_not_looked_at(tmp_path):
    """It read processed/*.pt, which are pickles, before the raw files."""
    folder = tmp_path / "MNIST" / "processed"
    folder.mkdir(parents=True)
    for file in ("training.pt", "test.pt"):
        (folder / file).write_bytes(b"anything")
    with pytest.raises(InputError, match="no MNIST/raw/train-images-idx3-ubyte"):
        public_datasets.mnist("m", tmp_path, download=False)
