"""Inside the image and through a real SLURM: the tables of a local run without either."""

import pytest

from tests.cluster.conftest import STUDY, Cluster, slurm  # noqa: F401  (a fixture)
from tests.container.conftest import add_image, compare, contents
from tests.workflow.conftest import Workflow

pytestmark = pytest.mark.slow("builds an image, or runs a study in one")

CUT = STUDY | {
    "runs": [{"dataset": "digits", "model": "fcn4", "batch_size": 10, "step_size": [0.1, 1e6], "seed": 0}],
}
TARGETS = [f"results/cluster/tables/{name}.parquet" for name in ("runs", "history", "tails", "pruning")]


class Contained(Cluster):
    """A copy of the repository whose jobs run in the image, through SLURM."""

    def command(self, config: dict, *targets: str) -> list[str]:
        command = super().command(config, *targets)
        return [*command[:3], "--sdm", "apptainer", *command[3:]]


def test_the_study_through_slurm_and_inside_the_image_is_the_local_one(image, slurm, tmp_path):  # noqa: F811
    local = Workflow(tmp_path / "local")
    result = local.run(CUT, "--", *TARGETS)
    assert result.returncode == 0, result.stdout
    inside = Contained(tmp_path / "inside", slurm)
    add_image(inside.folder, image)
    result = inside.submit(CUT, *TARGETS)
    assert result.returncode == 0, result.stdout
    assert "submitted with SLURM jobid" in result.stdout
    compared = compare(local.folder / "results/cluster", inside.folder / "results/cluster", contents(image))
    assert compared[".parquet"] > len(TARGETS)
    assert compared[".safetensors"] == 1 + 2 * 3
