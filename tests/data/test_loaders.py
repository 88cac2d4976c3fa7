import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from sgdtails.config import source_settings, validation
from sgdtails.data import datasets as data
from sgdtails.data import loaders
from sgdtails.data.source import Source
from sgdtails.errors import InputError
from sgdtails.io import archives
from tests.conftest import ROOT


def load(root, **settings):
    return loaders.load("mine", settings, root=root, download=False)


def image(value, size=(6, 5)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, 2 * value, 255 - value)).save(buffer, "PNG")
    return buffer.getvalue()


def make_folder(path, *, splits=("",), classes=("cat", "dog"), count=5, size=(6, 5)):
    for split in splits:
        for number, label in enumerate(classes):
            for index in range(count):
                file = path / split / label / f"{index}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(image(50 * number + index, size))
    return path


def test_digits_split_is_stratified_and_complete(tmp_path):
    digits = load(tmp_path, kind="digits")
    assert digits.shape == (1, 8, 8)
    assert len(digits.train_labels) + len(digits.test_labels) == 1797
    assert len(digits.test_labels) == pytest.approx(0.2 * 1797, abs=10)
    shares = np.bincount(digits.test_labels) / np.bincount(digits.train_labels)
    assert np.abs(shares - 0.25).max() < 0.01
    assert digits.train_images.max() == 255
    assert digits.mean[0] == pytest.approx((digits.train_images / 255).mean())


def test_write_and_read_back(tmp_path):
    digits = load(tmp_path, kind="digits")
    data.write(digits, tmp_path / "digits.safetensors")
    again = data.read(tmp_path / "digits.safetensors")
    np.testing.assert_array_equal(again.test_images, digits.test_images)
    assert (again.classes, again.mean, again.std) == (digits.classes, digits.mean, digits.std)
    assert again.train_labels.dtype == np.int64


def test_the_real_mnist(mnist_root):
    mnist = load(mnist_root, kind="mnist", mean=[0.1307], std=[0.3081])
    assert mnist.train_images.shape == (60_000, 1, 28, 28)
    assert mnist.test_images.shape == (10_000, 1, 28, 28)
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    pixels = mnist.train_images / np.float32(255)
    assert (pixels.mean(), pixels.std()) == pytest.approx((0.1307, 0.3081), abs=1e-4)


@pytest.mark.slow("decodes 60,000 JPEG files")
def test_the_jpeg_copy_of_cifar10(cifar10_jpeg):
    cifar = load(cifar10_jpeg.parent, kind="folder", path=cifar10_jpeg.name)
    assert cifar.train_images.shape == (50_000, 3, 32, 32)
    assert cifar.test_images.shape == (10_000, 3, 32, 32)
    assert np.bincount(cifar.test_labels).tolist() == [1000] * 10
    assert cifar.classes[0] == "airplane"
    assert cifar.mean == pytest.approx((0.491, 0.482, 0.447), abs=0.005)  # JPEG: near, not equal


@pytest.mark.parametrize("packed", [False, True])
def test_image_folder_or_tar(tmp_path, packed):
    path = make_folder(tmp_path / "images", splits=("train", "test"))
    if packed:
        with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as archive:
            archive.add(path, "any/images")
        path = tmp_path / "images.tar.gz"
    found = load(tmp_path, kind="folder", path=path.name)
    assert found.classes == ("cat", "dog")
    assert found.train_images.shape == (10, 3, 5, 6)
    assert found.train_images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 50, 51, 52, 53, 54]
    assert found.test_labels.tolist() == [0] * 5 + [1] * 5


def test_folder_without_a_split_grey_and_resized(tmp_path):
    make_folder(tmp_path / "images")
    (tmp_path / "images/cat/9.png").write_bytes(image(9, (3, 3)))
    with pytest.raises(
        InputError, match=r"9.png has 3 x 3 pixels and others have 5 x 6; set datasets.sources.mine.size, e.g. \[5, 6\]"
    ):
        load(tmp_path, kind="folder", path="images")
    found = load(tmp_path, kind="folder", path="images", size=[4, 8], grey=True, test_fraction=0.4)
    assert found.shape == (1, 4, 8)
    assert (len(found.train_labels), len(found.test_labels)) == (7, 4)


@pytest.mark.parametrize("split", [False, True])
def test_npz(tmp_path, split):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    labels = np.arange(20) % 4
    if split:
        arrays = {
            "train_images": images[:12],
            "train_labels": labels[:12],
            "test_images": images[12:],
            "test_labels": labels[12:],
        }
    else:
        arrays = {"images": images, "labels": labels}
    np.savez(tmp_path / "mine.npz", **arrays)
    found = load(tmp_path, kind="npz", path="mine.npz")
    assert found.shape == (1, 4, 4)
    assert len(found.train_labels) + len(found.test_labels) == 20
    assert len(found.classes) == 4


GOOD = {"images": np.zeros((8, 4, 4), np.uint8), "labels": np.arange(8) % 2}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (GOOD | {"images": np.zeros((8, 4, 4))}, "must be uint8"),
        (GOOD | {"images": np.zeros((8, 4), np.uint8)}, "must be uint8 of shape"),
        (GOOD | {"labels": np.arange(7)}, "one per image"),
        (GOOD | {"labels": np.linspace(0, 1, 8)}, "integers"),
        (GOOD | {"labels": np.arange(8) - 1}, "write -1 as 0, 0 as 1"),
        (GOOD | {"labels": np.zeros(8, int)}, "one class"),
        ({"x": np.zeros(3)}, "needs images and labels"),
        ({"images": np.array([object()]), "labels": np.zeros(1)}, "not a readable"),
        ({"train_images": np.ones((4, 4, 4), np.uint8), "train_labels": np.arange(4), "test_images": np.ones((4, 5, 4), np.uint8), "test_labels": np.arange(4)}, "differ in shape"),
        (GOOD | {"images": np.zeros((8, 5, 5, 3), np.uint8)}, "channels last"),
        (GOOD, "every pixel of every training image has the value 0"),
        (GOOD | {"images": np.stack([np.arange(200), np.full(200, 7)], 1).astype(np.uint8).reshape(8, 5, 5, 2).transpose(0, 3, 1, 2)}, "channel 1 has the same value in every training image"),
    ],
)  # fmt: skip
def test_wrong_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load(tmp_path, kind="npz", path="mine.npz")


def test_missing_and_truncated_files(tmp_path):
    with pytest.raises(InputError, match=r"absent.npz does not exist; put the data there"):
        load(tmp_path, kind="npz", path="absent.npz")
    with pytest.raises(InputError, match=r"its path does not exist"):
        load(tmp_path, kind="folder")
    np.savez(tmp_path / "whole.npz", **GOOD)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:200])
    with pytest.raises(InputError, match="not a readable .npz"):
        load(tmp_path, kind="npz", path="cut.npz")


def test_damaged_folders_and_archives(tmp_path):
    make_folder(tmp_path / "one", classes=("cat",))
    with pytest.raises(InputError, match="at least two"):
        load(tmp_path, kind="folder", path="one")
    make_folder(tmp_path / "two", count=40)
    (tmp_path / "two/cat/0.png").write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"cat/0.png is not a readable image"):
        load(tmp_path, kind="folder", path="two")
    make_folder(tmp_path / "three", count=40)
    with tarfile.open(tmp_path / "three.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "three", "three")
    whole = (tmp_path / "three.tar.gz").read_bytes()
    load(tmp_path, kind="folder", path="three.tar.gz")
    for end in range(30, len(whole) - 1, 67):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:end])
        with pytest.raises(InputError, match="not a whole tar archive"):
            load(tmp_path, kind="folder", path="cut.tar.gz")


def test_a_plain_tar_cut_between_two_files(tmp_path):
    make_folder(tmp_path / "pets", count=40)
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        archive.add(tmp_path / "pets", "pets")
    whole = (tmp_path / "pets.tar").read_bytes()
    load(tmp_path, kind="folder", path="pets.tar")
    with tarfile.open(tmp_path / "pets.tar") as archive:
        last = archive.getmembers()[-1].offset
    (tmp_path / "cut.tar").write_bytes(whole[:last])
    with pytest.raises(InputError, match="not a whole tar archive"):
        load(tmp_path, kind="folder", path="cut.tar")


def test_missing_and_damaged_mnist(tmp_path):
    with pytest.raises(InputError, match="not found whole under datasets.root"):
        load(tmp_path, kind="mnist")
    with pytest.raises(InputError, match="not found whole under datasets.root"):
        load(tmp_path, kind="cifar10")
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half of it")
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte is damaged"):
        load(tmp_path, kind="mnist")


def test_normalisation_constants_must_match_the_channels(tmp_path):
    with pytest.raises(InputError, match="one per channel"):
        load(tmp_path, kind="digits", mean=[0.1, 0.2], std=[1.0, 1.0])


def test_a_mean_alone_is_kept():
    given, own = (load("nowhere", kind="digits", **more) for more in ({"mean": [0.5]}, {}))
    assert (given.mean, given.std) == ((0.5,), own.std)


def test_a_third_split_is_not_put_to_the_classes(tmp_path):
    path = make_folder(tmp_path / "images", splits=("train", "test"))
    (path / "train").rename(path / "val")
    with pytest.raises(InputError, match="has 'test' and no folder train"):
        load(tmp_path, kind="folder", path="images")


def test_unknown_kind(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="did you mean 'folder'"):
        load(tmp_path, kind="foldr", path="x")


def test_every_class_has_training_images(tmp_path):
    """A class of one image, and a share that rounds to all."""
    labels = np.array([0, 0, 0, 0, 1, 2, 2])
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 5), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    found = load(tmp_path, kind="npz", path="mine.npz", test_fraction=0.9)
    assert np.bincount(found.train_labels).tolist() == [1, 1, 1]
    assert np.bincount(found.test_labels).tolist() == [3, 0, 1]


def test_fewer_training_images():
    small, larger, whole = (
        loaders.load("digits", {"kind": "digits"} | more, root="", download=False)
        for more in ({"train_size": 50}, {"train_size": 300}, {})
    )
    assert (len(small.train_labels), len(larger.train_labels)) == (50, 300)

    def pairs(dataset):
        images = (image.tobytes() for image in dataset.train_images)
        return set(zip(images, dataset.train_labels.tolist(), strict=True))

    assert pairs(small) < pairs(larger) < pairs(whole)
    assert np.array_equal(small.test_images, whole.test_images)
    with pytest.raises(InputError, match=r"sources.digits.train_size is 1439; the training set has 1438 images"):
        loaders.load("digits", {"kind": "digits", "train_size": 1439}, root="", download=False)


def test_label_noise():
    whole, some, more = (
        loaders.load("digits", {"kind": "digits", "label_noise": share}, root="", download=False)
        for share in (0.0, 0.1, 0.5)
    )
    changed = [noisy.train_labels != whole.train_labels for noisy in (some, more)]
    assert [int(each.sum()) for each in changed] == [144, 719]
    assert changed[1][changed[0]].all()
    assert np.array_equal(some.test_labels, whole.test_labels)
    shifts = (more.train_labels - whole.train_labels)[changed[1]] % 10
    assert np.bincount(shifts, minlength=10)[1:].min() > 50  # every other class alike: 80 expected


@pytest.mark.parametrize(
    ("labels", "mapping", "classes"),
    [
        ([1, 2, 3], "1 as 0, 2 as 1, 3 as 2", ("1", "2", "3")),
        ([0, 1, 9], "0 as 0, 1 as 1, 9 as 2", ("0", "1", "9")),
        ([0, 255], "0 as 0, 255 as 1", ("0", "255")),
        ([-1, 1], "-1 as 0, 1 as 1", ("-1", "1")),
        (range(1, 11), "1 as 0, 2 as 1, 3 as 2, 4 as 3, 5 as 4, …", tuple(map(str, range(1, 11)))),
    ],
)
def test_labels_with_gaps_are_refused_or_numbered_anew(tmp_path, labels, mapping, classes):
    given = np.resize(labels, 60)
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=given)
    with pytest.raises(InputError, match=f"write {mapping}, or set datasets.sources.mine.labels: remap"):
        load(tmp_path, kind="npz", path="mine.npz")
    found = load(tmp_path, kind="npz", path="mine.npz", labels="remap")
    assert found.classes == classes
    both = [(found.train_images, found.train_labels), (found.test_images, found.test_labels)]
    pairs = {(image.tobytes(), int(classes[label])) for part in both for image, label in zip(*part, strict=True)}
    assert pairs == {(image.tobytes(), label) for image, label in zip(images, given.tolist(), strict=True)}


def test_a_class_without_training_images(tmp_path):
    split = {"train_images": GOOD["images"], "train_labels": np.arange(8) % 2, "test_images": GOOD["images"]}
    np.savez(tmp_path / "mine.npz", **split, test_labels=np.arange(8) % 3)
    with pytest.raises(InputError, match="label 2 is in test_labels and not in train_labels"):
        load(tmp_path, kind="npz", path="mine.npz")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": [125]}, r"mean has 125; it is of pixels/255, from 0 to 1: write 0.4902 if"),
        ({"std": [64.0]}, r"std has 64.0; it is of pixels/255, from 0.001 to 1: write 0.251 if"),
        ({"std": [1e-300]}, r"std has 1e-300; .* from 0.001 to 1: correct it, or leave it out"),
        ({"mean": [-0.5]}, r"mean has -0.5; .* from 0 to 1: correct it"),
        ({"sha256": 64 * "0"}, r"sha256 means nothing for kind digits, only for folder and npz"),
        ({"size": [32, 32]}, r"size means nothing for kind digits, only for folder;"),
        ({"labels": "remap"}, r"labels means nothing for kind digits, only for npz;"),
        (
            {"kind": "folder", "size": [100_000, 100_000]},
            r"size is .*, 10,000,000,000 pixels an image; give at most 89,478,485",
        ),
    ],
)
def test_settings_that_cannot_be_meant(settings, message):
    with pytest.raises(InputError, match=f"config key datasets.sources.mine.{message}"):
        source_settings.check("mine", {"kind": "digits"} | settings)
    with pytest.raises(InputError, match=message):
        load("nowhere", **({"kind": "digits"} | settings))


@pytest.mark.parametrize("packed", [False, True])
def test_a_size_is_refused_by_the_dataset_that_it_would_give(tmp_path, monkeypatch, packed):
    """Before any image is opened."""
    path = make_folder(tmp_path / "images")
    if packed:
        with tarfile.open(tmp_path / "images.tar", "w") as archive:
            archive.add(path, "images")
        path = tmp_path / "images.tar"
    monkeypatch.setattr(validation, "memory", lambda: 2**30)
    monkeypatch.setattr(archives, "picture", None)
    with pytest.raises(InputError, match=r"10 images of 3 x 9000 x 9000 from .* take 2,430,000,000 bytes, and as many"):
        load(tmp_path, kind="folder", path=path.name, size=[9000, 9000])


LIMITED = """
import resource, sys
from sgdtails.data import loaders
from sgdtails.data.source import Source
from sgdtails.errors import InputError
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, resource.RLIM_INFINITY))
try:
    loaders.load("mine", {"kind": "folder", "path": sys.argv[1]}, root="", download=False)
except InputError as error:
    print(error)
"""


def test_large_files_that_are_no_images_do_not_fill_the_memory(tmp_path):
    """4 GB of them, where a process may have 3 GB: each is decoded when it is read, and the first is refused."""
    for number in range(16):
        path = tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(250_000_000)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "images")], capture_output=True, text=True, cwd=ROOT
    )
    assert "cat/0.png is not a readable image" in done.stdout, done.stderr


def test_a_folder_as_it_comes_from_a_mac_or_a_notebook(tmp_path, capfd):
    """Neither thumbnails nor copies that a system makes are images or classes, in a folder or a tar of it."""
    path = make_folder(tmp_path / "pets")
    for extra in (".ipynb_checkpoints/0.png", "cat/._0.png", "__MACOSX/cat/._0.png", "cat/.thumbnails/0.png"):
        (path / extra).parent.mkdir(parents=True, exist_ok=True)
        (path / extra).write_bytes(b"no image")
    (path / "dog/notes.txt").write_text("a file")
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        archive.add(path, "pets")
    for name in ("pets", "pets.tar"):
        found = load(tmp_path, kind="folder", path=name)
        assert found.classes == ("cat", "dog")
        assert len(found.train_labels) + len(found.test_labels) == 10
        said = capfd.readouterr()
        assert "left out: 4 hidden file(s) or folder(s)" in said.out
        assert "left out: 1 file(s) of other kinds (.txt)." in said.out


def test_of_two_files_of_one_name_in_a_tar_the_later_counts(tmp_path):
    path = make_folder(tmp_path / "pets")
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        archive.add(path, "pets")
        (path / "cat/0.png").write_bytes(image(99))
        archive.add(path / "cat/0.png", "pets/cat/0.png")
    found = load(tmp_path, kind="folder", path="pets.tar")
    assert len(found.train_labels) + len(found.test_labels) == 10
    again = load(tmp_path, kind="folder", path="pets")
    np.testing.assert_array_equal(found.train_images, again.train_images)
    np.testing.assert_array_equal(found.test_images, again.test_images)


def test_constants_are_those_of_all_pixels():
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 5, 4), dtype=np.uint8)
    counts = loaders._histograms(images)
    assert counts.sum() == images.size
    mean, std = loaders._constants(Source("mine", "npz"), images)
    assert mean == pytest.approx((images / 255).mean(axis=(0, 2, 3)), rel=1e-12)
    assert std == pytest.approx((images / 255).std(axis=(0, 2, 3)), rel=1e-12)
