"""Files from outside, damaged in every way that chance finds: InputError, or they are read; never anything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import targets

EDITS = st.lists(
    st.tuples(st.sampled_from(["cut", "flip", "put", "drop", "repeat"]), st.floats(0, 1), st.binary(max_size=12)),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """The data after each edit, at a place given as a share of its length."""
    for kind, share, more in edits:
        place = int(share * len(data))
        length = len(more)
        if kind == "cut":
            data = data[:place]
        elif kind == "flip" and place < len(data):
            data = data[:place] + bytes([data[place] ^ (1 << length % 8)]) + data[place + 1 :]
        elif kind == "put":
            data = data[:place] + more + data[place + length :]
        elif kind == "drop":
            data = data[:place] + data[place + length :]
        elif kind == "repeat":
            data = data[:place] + data[place : place + 64 * length] * 2 + data[place:]
    return data


@pytest.mark.parametrize("name", targets.TARGETS)
def test_good_files_pass(name, monkeypatch):
    monkeypatch.setattr(targets, "checked", lambda read: read())  # errors included
    for data in targets.seeds(name):
        targets.TARGETS[name](data)


@pytest.mark.filterwarnings("ignore")  # decoders warn of what they meet
@pytest.mark.parametrize("name", targets.TARGETS)
def test_damaged_files(name):
    found = targets.seeds(name)
    target = targets.TARGETS[name]

    @settings(max_examples=40 if name in ("config", "claims") else 300)
    @given(st.sampled_from(found), EDITS)
    def examples(data, edits):
        target(damaged(data, edits))

    examples()


@pytest.mark.parametrize("name", targets.TARGETS)
def test_any_bytes(name):
    @settings(max_examples=50)
    @given(st.binary(max_size=300))
    def examples(data):
        targets.TARGETS[name](data)

    examples()
