"""What the catalogue of workflows shows, and starts from a folder of one's own."""

import csv
import re
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from tests.workflow.conftest import environment

README = (ROOT / "config/README.md").read_text(encoding="utf-8")
# The keys of https://github.com/snakemake/snakemake-workflow-catalog, source/docs/about/adding_workflows.md.
FLAGS = {"desc", "flags"}
DEPLOYMENT = {"conda", "apptainer", "apptainer+conda", "report"}


def start(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)


def test_the_catalogue_file_has_the_catalogues_keys():
    described = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert set(described) == {"usage"}
    usage = described["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert set(usage["mandatory-flags"]) == FLAGS
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == DEPLOYMENT
    rules = "".join(path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")])
    assert deployment["apptainer"] is bool(re.search(r"^container:", rules, re.M))
    environments = {ROOT / "rules" / path for path in re.findall(r'conda:\s+"([^"]+)"', rules)}
    assert deployment["conda"] is bool(environments)
    assert all(path.is_file() for path in environments)
    # Both at once would need conda inside the image, which has none.
    assert deployment["apptainer+conda"] is ("conda" in (ROOT / "containers/sgdtails.def").read_text())


def test_the_page_on_configuration_names_keys_and_files_that_exist():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    keys, files = (part.partition("\n\n")[0] for part in re.split(r"\|---\|---\|\n", README)[1:])
    named = [key for line in keys.splitlines() for key in re.findall(r"`([\w.]+)`", line.split("|")[1])]
    assert len(named) >= 7
    for key in named:
        found = config
        for part in key.split("."):
            found = found[part]
    listed = {file for line in files.splitlines() for file in re.findall(r"`([\w.]+)`", line.split("|")[1])}
    assert listed == {path.name for path in (ROOT / "config").glob("*.yaml")}


@pytest.mark.parametrize("study", ["demo", "mnist"])
def test_every_run_table_has_the_columns_that_the_page_names(study):
    block = yaml.safe_load(re.search(r"```yaml\n(.*?)```", README, re.S)[1])["runs"][0]
    with (ROOT / f"config/runs/{study}.csv").open() as file:
        assert next(csv.reader(file)) == list(block)


def test_the_pages_config_is_planned_from_another_folder(tmp_path):
    (tmp_path / "mine.yaml").write_text(re.search(r"```yaml\n(.*?)```", README, re.S)[1])
    found = start(tmp_path, "--snakefile", ROOT / "Snakefile", "--configfile", "mine.yaml")
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"\b8 (runs|networks)\b", found.stdout + found.stderr)


def test_as_a_module_the_workflow_ends_with_one_sentence(tmp_path):
    """As snakedeploy writes it, with a local path in place of github(...)."""
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/Snakefile").write_text(
        f"module sgdtails:\n    snakefile:\n        {str(ROOT / 'Snakefile')!r}\n\n\nuse rule * from sgdtails\n"
    )
    found = start(tmp_path)
    assert found.returncode
    assert "as a module this workflow lacks its library; clone it whole" in found.stdout + found.stderr
