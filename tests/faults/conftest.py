import shutil
import sys
from pathlib import Path

import pytest

from tests.faults.harness import Study


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The small study, finished with nothing having happened to it."""
    if not sys.platform.startswith("linux"):
        pytest.skip("looks at processes through /proc, and mounts file systems, as Linux has them")
    study = Study(tmp_path_factory.mktemp("undisturbed") / "study", 1)
    succeeded, output = study.attempt()
    assert succeeded, output
    return study


@pytest.fixture
def study(undisturbed: Study, tmp_path: Path) -> Study:
    """A copy of it, which may be damaged."""
    copied = Study(tmp_path / "study", 1)
    shutil.rmtree(copied.folder)
    shutil.copytree(undisturbed.folder, copied.folder)
    return copied
