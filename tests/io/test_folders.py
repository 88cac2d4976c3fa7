"""What is an image, of which class, in which split: by names alone, and by what lies on a disk."""

import os
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdtails.errors import InputError
from sgdtails.io import folders


def names(*folders_, count=2):
    return [f"{folder}/{number}.png" for folder in folders_ for number in range(count)]


def classes(images):
    return None if images is None else sorted({image.label for image in images})


PETS = names("cat", "dog")


@pytest.mark.parametrize(
    ("paths", "train", "test"),
    [
        (PETS, ["cat", "dog"], None),
        (names("cat/tabby", "cat/black/old", "dog"), ["cat", "dog"], None),  # as ImageFolder: the outer folder
        (names("any/images/cat", "any/images/dog"), ["cat", "dog"], None),
        ([*names("./cat", "./dog"), "./", "./cat/"], ["cat", "dog"], None),  # as tar writes the names of "."
        (names("valid", "invalid"), ["invalid", "valid"], None),  # classes, since their images lie right in them
        (names("train", "car", "bus"), ["bus", "car", "train"], None),
        (names("train/cat", "train/dog"), ["cat", "dog"], None),
        *(
            (names(f"a/{one}/cat", f"a/{one}/dog", f"a/{other}/cat/day", f"a/{other}/dog"), ["cat", "dog"], ["cat", "dog"])
            for one, other in [
                *(("train", "test"), ("Train", "Test"), ("training", "testing"), ("TRAINING", "Test"), ("train", "val")),
                *(("train", "valid"), ("Training", "Validation"), ("training_set", "test_set"), ("train-images", "test data")),
            ]
        ),
    ],
)  # fmt: skip
def test_classes_and_splits(paths, train, test):
    layout = folders.arrange("here", paths)
    assert (classes(layout.train), classes(layout.test)) == (train, test)
    assert len(layout.images) == len([path for path in paths if path.endswith(".png")])
    assert all(image.path in {path.removeprefix("./") for path in paths} for image in layout.images)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (names(".ipynb_checkpoints", "cat/.thumbnails", count=3), "2 hidden file(s) or folder(s) (.ipynb_checkpoints, .thumbnails)"),
        (["__MACOSX/cat/._0.png", "cat/._0.png", "._cat"], "3 hidden file(s) or folder(s) (._0.png, ._cat, __MACOSX)"),
        ([".DS_Store", "cat/@eaDir/0.png"], "2 hidden file(s) or folder(s) (.DS_Store, @eaDir)"),
        (["preview.png"], "1 image(s) in no class's folder"),
        (["cat/x.gif", "cat/y.gif", "dog/Thumbs.db"], "3 file(s) of other kinds (.db, .gif)"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_counted(more, said):
    layout = folders.arrange("here", [*PETS, *more])
    assert [image.path for image in layout.images] == PETS
    assert layout.notes == (f"left out: {said}",)


def test_a_validation_set_is_neither_trained_on_nor_taken_for_the_test_set_in_silence():
    train, test, val = (names(f"{split}/cat", f"{split}/dog") for split in ("train", "test", "val"))
    layout = folders.arrange("here", train + test + val)
    assert [image.path for image in layout.images] == train + test
    assert layout.notes == ("4 image(s) of val are in neither set",)
    layout = folders.arrange("here", train + val)
    assert [image.path for image in layout.test] == val
    assert layout.notes == ("the test set is val, since there is no folder test",)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([*PETS, "bird/0.gif", "bird/1.gif", "bird/2.heic"], r"class 'bird' holds 3 file\(s\) of other kinds \(.gif, .heic\)"),
        ([*PETS, "bird/"], "class 'bird' holds no files and no image"),
        ([*PETS, "bird/.thumbnails/0.png"], "class 'bird' holds no files"),
        ([*names("train/cat", "train/dog", "test/cat"), "test/dog/0.gif"], r"class 'dog' holds 1 file\(s\) of other kinds"),
        (names("train/cat", "train/dog", "test"), "test holds no folder of a class"),
        ([*names("train/cat", "train/dog"), "test/"], "test holds no folder of a class"),
        (names("train", "test"), "test and train holds no folders of classes"),
        (names("train/cat", "train/dog", "other/cat"), "others that are not, such as of class 'other'"),
        (names("train/cat", "train/dog", "Training/cat", "Training/dog"), "both 'Training' and 'train'"),
        (names("val/cat", "val/dog", "test/cat", "test/dog"), "no folder train"),
        (names("train/cat", "train/dog", "test/Cat", "test/dog"), "class 'Cat' has test images and no training images"),
        (names("train/cat", "test/cat"), r"1 class\(es\) of training images"),
        (names("cat"), r"holds 1 class\(es\)"),
        (["0.png", "1.png"], "no folder of a class"),
        ([], "no folder of a class"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused(paths, message):
    with pytest.raises(InputError, match=message):
        folders.arrange("here", paths)


def test_links_are_followed(tmp_path):
    for number, path in enumerate(names("pets/dog", "elsewhere/tabby")):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(bytes(number))
    (tmp_path / "pets/cat").symlink_to(tmp_path / "elsewhere")
    layout = folders.arrange("here", dict(folders.walk(tmp_path / "pets")))
    assert [image.path for image in layout.images] == names("cat/tabby", "dog")
    (tmp_path / "pets/dog/gone.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"gone.png is a link to a file that is not there"):
        list(folders.walk(tmp_path / "pets"))
    (tmp_path / "pets/dog/gone.png").unlink()
    (tmp_path / "pets/dog/back").symlink_to(tmp_path / "pets")
    with pytest.raises(InputError, match="back is a link that leads back"):
        list(folders.walk(tmp_path / "pets"))


def test_hidden_folders_are_not_entered(tmp_path):
    for path in names("cat", "dog", ".hidden"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / ".hidden").chmod(0)
    os.mkfifo(tmp_path / "cat/._pipe.png")
    assert ".hidden/" in dict(folders.walk(tmp_path))
    assert ".hidden/0.png" not in dict(folders.walk(tmp_path))


PARTS = st.sampled_from(["train", "Test", "val", "cat", "dog", ".hidden", "__MACOSX", "..", "."])
FILES = st.sampled_from(["0.png", "1.PNG", "2.gif", "._0.png", ""])


PATHS = st.tuples(st.lists(PARTS, max_size=4), FILES).map(lambda path: "/".join([*path[0], path[1]]))


SPLIT = ("train", "test", "val")
BASES = [PETS, *(names(*(f"{s}/{c}" for s in SPLIT[:n] for c in ("cat", "dog")), count=1) for n in (1, 2, 3))]


@given(st.sampled_from(BASES), st.lists(PATHS, max_size=4))
def test_every_image_is_somewhere_or_said_to_be_left_out(base, more):
    paths = base + more
    try:
        layout = folders.arrange("here", paths)
    except InputError:
        return
    train, test = ({image.path for image in part or ()} for part in (layout.train, layout.test))
    assert not train & test
    assert len(classes(layout.train)) >= 2
    assert set(classes(layout.test) or ()) <= set(classes(layout.train))
    wanted = {str(PurePosixPath(path)) for path in paths if folders.is_image(PurePosixPath(path))}
    assert train | test <= wanted
    assert train | test == wanted or layout.notes
    assert not any("val" in path for path in train) or layout.test is None
