import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from sgdtails.errors import InputError
from sgdtails.io import storage
from sgdtails.training import checkpoints
from sgdtails.training.checkpoints import CheckpointStore

ARRAYS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(2)}


def store(folder, **depends):
    return CheckpointStore(folder, "train", "run", depends={"code": "c", "settings": {"x": 1}} | depends)


def files(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_the_newest_is_read_and_the_last_two_are_kept(tmp_path):
    assert store(tmp_path).load() is None
    for number in range(4):
        store(tmp_path).save(ARRAYS, {"iteration": number})
    arrays, record = store(tmp_path).load()
    assert record == {"iteration": 3}
    assert list(arrays) == ["b", "a"]
    np.testing.assert_array_equal(arrays["b"], ARRAYS["b"])
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize("depends", [{"code": "d"}, {"settings": {"x": 2}}])
def test_other_code_or_settings_are_not_taken_and_it_says_so(tmp_path, depends, capsys):
    store(tmp_path).save(ARRAYS, {"iteration": 3})
    assert store(tmp_path, **depends).load() is None
    assert "other settings or other code" in capsys.readouterr().err
    (path,) = files(tmp_path)
    other = store(tmp_path, **depends)
    other.save(ARRAYS, {})
    (copied,) = set(files(tmp_path)) - {path}
    copied.write_bytes(path.read_bytes())  # moved where it does not belong
    assert other.load() is None
    assert "it is not used" in capsys.readouterr().err


def _truncate(data, rng):
    return data[: rng.integers(0, len(data))]


def _flip(data, rng):
    position = rng.integers(0, len(data))
    return data[:position] + bytes([data[position] ^ (1 << rng.integers(0, 8))]) + data[position + 1 :]


@pytest.mark.parametrize("damage", [_truncate, _flip])
@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path, damage, seed, capsys):
    for number in range(2):
        store(tmp_path).save(ARRAYS, {"iteration": number})
    path = files(tmp_path)[-1]
    path.write_bytes(damage(path.read_bytes(), np.random.default_rng(seed)))
    loaded = store(tmp_path).load()
    assert loaded is not None
    if loaded[1]["iteration"] == 1:  # a space in the header's padding, at most
        np.testing.assert_array_equal(loaded[0]["b"], ARRAYS["b"])
        np.testing.assert_array_equal(loaded[0]["a"], ARRAYS["a"])
    else:
        assert "damaged" in capsys.readouterr().err


def test_files_cut_off_while_written_are_ignored_and_removed_at_the_end(tmp_path):
    store(tmp_path).save(ARRAYS, {"iteration": 1})
    (path,) = files(tmp_path)
    (path.parent / ".sgdtails-00000001-abcdefgh.safetensors").write_bytes(b"half")
    assert store(tmp_path).load()[1] == {"iteration": 1}
    store(tmp_path).remove()
    assert files(tmp_path) == []


def test_files_of_a_users_beside_checkpoints_stay(tmp_path):
    for depends in ({}, {"code": "older"}):
        store(tmp_path, **depends).save(ARRAYS, {"iteration": 1})
    (newest, *_) = files(tmp_path)
    run = newest.parent.parent
    mine = [
        run / "notes.md",
        run / "kept.safetensors",
        newest.parent / "copy of 1.safetensors",
        run / "kept/00000001.safetensors",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    store(tmp_path).remove()
    assert sorted(path for path in run.rglob("*") if path.is_file()) == sorted(mine)
    assert {path.read_bytes() for path in mine} == {b"mine"}
    for path in mine:
        path.unlink()
    (run / "kept").rmdir()
    store(tmp_path).remove()
    assert not run.exists()


def test_checkpoints_of_a_run_that_goes_on_can_stay(tmp_path):
    for code, outcome in (("c", None), ("older", {"status": "converged"})):
        store(tmp_path, code=code).save(ARRAYS, {"iteration": 1, "outcome": outcome})
    checkpoints.remove(tmp_path / "train/run", ended=True)
    assert [path.parent.name for path in files(tmp_path)] == [store(tmp_path).key]
    checkpoints.remove(tmp_path / "train/run")
    assert not (tmp_path / "train/run").exists()


def test_a_checkpoint_that_cannot_be_read_is_not_passed_over(tmp_path):
    """A mount that is gone for a moment must not cost the work since the checkpoint before."""
    for number in range(2):
        store(tmp_path).save(ARRAYS, {"iteration": number})
    files(tmp_path)[-1].unlink()
    (files(tmp_path)[0].parent / "00000001.safetensors").symlink_to("/proc/self/mem")
    with pytest.raises(OSError, match="No such device") as error:
        store(tmp_path).load()
    assert error.value.filename.endswith("00000001.safetensors")


def _hold(folder, ready, seconds):
    with store(folder).lock():
        ready.set()
        time.sleep(seconds)


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path, capfd):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready, 3600))
    process.start()
    assert ready.wait(600)
    second = context.Process(target=_hold, args=(tmp_path, context.Event(), 0))
    second.start()
    while "waiting for another process that works on run" not in capfd.readouterr().err:
        assert second.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    second.join()
    assert second.exitcode == 0
    process.join()


def _count(folder, counter, rounds):
    for _ in range(rounds):
        with store(folder).lock():
            value = int(counter.read_text())
            counter.write_text(str(value + 1))


def test_the_lock_excludes_though_its_file_comes_and_goes(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count, args=(tmp_path, counter, 200)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert counter.read_text() == "800"
    assert not (tmp_path / "train/run.lock").exists()


@pytest.mark.parametrize("damage", [_truncate, _flip])
def test_damaged_arrays_are_never_read(tmp_path, damage):
    path = tmp_path / "weights.safetensors"
    storage.save_arrays(path, ARRAYS, {"status": "converged"})
    whole = path.read_bytes()
    refused = 0
    for seed in range(200):
        path.write_bytes(damage(whole, np.random.default_rng(seed)))
        try:
            arrays, record = storage.load_arrays(path)
        except InputError:
            refused += 1
        else:
            assert record == {"status": "converged"}
            assert {name: array.tobytes() for name, array in arrays.items()} == {
                name: array.tobytes() for name, array in ARRAYS.items()
            }
    assert refused > 190


def test_the_record_alone(tmp_path):
    checkpoints = CheckpointStore(tmp_path, "train", "run", depends={"a": 1})
    assert checkpoints.record() == {}
    for iteration in (1, 2):
        checkpoints.save({"w": np.zeros(3)}, {"iteration": iteration})
    assert checkpoints.record()["iteration"] == 2
    newest = max(checkpoints.folder.glob("*.safetensors"))
    newest.write_bytes(b"damaged")
    assert checkpoints.record()["iteration"] == 1
