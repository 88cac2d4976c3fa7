import errno
import multiprocessing
import os
import subprocess

import numpy as np
import pyarrow as pa
import pytest

from sgdtails.errors import InputError
from sgdtails.io import parquet, storage

TABLE = pa.table({"run": ["a", "b", "c"] * 50, "alpha": np.linspace(1, 2, 150)})


def write(path, table=TABLE):
    parquet.store(table, path, provenance={"code": "c"})


@pytest.mark.parametrize("seed", range(200))
def test_a_table_with_any_bit_flipped_or_cut_off_anywhere_is_refused(tmp_path, seed):
    path, rng = tmp_path / "t.parquet", np.random.default_rng(seed)
    write(path)
    data = bytearray(path.read_bytes())
    if seed % 2:
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    else:
        del data[rng.integers(len(data)) :]
    path.write_bytes(data)
    with pytest.raises(InputError, match="t.parquet is not what was written; delete it and run again"):
        parquet.read(path)


def test_a_table_without_a_digest_is_read_if_its_pages_are_whole(tmp_path):
    path = tmp_path / "t.parquet"
    write(path)
    storage.checksum_file(path).unlink()
    assert parquet.read(path).equals(TABLE)
    data = bytearray(path.read_bytes())
    data[100] ^= 1  # in the first page
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"t\.parquet .*damaged.*delete it and run again\.$"):
        parquet.read(path)


def test_single_numbers_keep_their_shape(tmp_path):
    storage.save_arrays(tmp_path / "a.safetensors", {"scale": np.float32(2.5)}, {})
    (scale,) = storage.load_arrays(tmp_path / "a.safetensors")[0].values()
    assert (scale.shape, scale) == ((), 2.5)


def test_digests_are_sha256sums(tmp_path):
    write(tmp_path / "t.parquet")
    subprocess.run(["sha256sum", "--check", "--strict", ".t.parquet.sha256"], cwd=tmp_path, check=True)


def test_what_fails_while_written_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "t.parquet"
    write(path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="broke off"), storage.atomic(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("broke off")
    assert path.read_bytes() == before
    assert storage.read(path) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".t.parquet.sha256", "t.parquet"]


def _write_and_die(path):
    with storage.atomic(path) as temporary:
        temporary.write_bytes(b"half")
        os._exit(9)


def test_hidden_files_of_a_users_are_not_taken_for_what_a_killed_process_left(tmp_path):
    mine = [tmp_path / name for name in (".t-abcdefgh.md", ".t-12345678.md", ".t.md", ".sgdtails-other-12345678.md")]
    for path in mine:
        path.write_bytes(b"mine")
    with storage.atomic(tmp_path / "t.md") as temporary:
        temporary.write_bytes(b"whole")
    assert {path.read_bytes() for path in mine} == {b"mine"}


def _write_and_wait(path, ready, go):
    with storage.atomic(path) as temporary:
        temporary.write_bytes(b"slow")
        ready.set()
        go.wait(600)


def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path):
    context = multiprocessing.get_context("fork")
    path = tmp_path / "t.md"
    process = context.Process(target=_write_and_die, args=(path,))
    process.start()
    process.join()
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 2
    with storage.atomic(path) as temporary:
        temporary.write_bytes(b"whole")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".t.md.sha256", "t.md"]


def test_what_a_living_process_writes_is_not_removed(tmp_path):
    context = multiprocessing.get_context("fork")
    path, ready, go = tmp_path / "t.md", context.Event(), context.Event()
    process = context.Process(target=_write_and_wait, args=(path, ready, go))
    process.start()
    assert ready.wait(600)
    with storage.atomic(path) as temporary:
        temporary.write_bytes(b"fast")
    assert storage.read(path) == b"fast"
    go.set()
    process.join()
    assert process.exitcode == 0
    assert storage.read(path) == b"slow"


def test_a_full_disk_says_which_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for save in (write, lambda path: storage.save_arrays(path, {"a": np.ones(3)}, {})):
        path = tmp_path / "results.file"
        with pytest.raises(OSError, match="No space left on device") as caught:
            save(path)
        assert caught.value.filename == str(path)
        assert list(tmp_path.iterdir()) == []
