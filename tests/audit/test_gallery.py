"""The gallery: its page has a line for each network that its script audits, and the script writes such a page."""

import re

import numpy as np

from examples import gallery
from tests.conftest import ROOT


def test_the_page_has_the_networks_of_the_script():
    lines = [line for line in (ROOT / "docs/gallery.md").read_text(encoding="utf-8").splitlines() if "| " in line]
    found, files = lines[2 : len(lines) // 2], lines[len(lines) // 2 + 2 :]
    assert len(found) == len(files) == len(gallery.NETWORKS) >= 8
    for said, about, (file, (package, version, network)) in zip(found, files, gallery.NETWORKS.items(), strict=True):
        name = file.rpartition("/")[2]
        assert said.replace("<wbr>", "").startswith(f"| {name} | ")
        assert about.replace("<wbr>", "").startswith(f"| {network} ({name}) | {package} {version} | ")


def test_trust_has_the_numbers_of_the_page():
    said = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")
    numbers = re.search(r"Of (\d+) layers (\d+) follow a stable law, and (\d+) have rows", said).groups()
    trust = " ".join((ROOT / "docs/trust.md").read_text(encoding="utf-8").split())
    assert (
        "of {} layers in [twelve packages](gallery.md) {} follow a stable law and {} have rows".format(*numbers)
        in trust
    )


def test_a_page_of_one_network(tmp_path, monkeypatch):
    weight = np.random.default_rng(0).standard_normal((200, 100), np.float32)
    weight[:4] = 0
    np.savez(tmp_path / "a.npz", **{"fc.weight": weight, "fc.bias": weight[:, 0]})
    monkeypatch.setattr(gallery, "NETWORKS", {"a.npz": ("mine", "1.0", "a test")})
    page = gallery.page(tmp_path)
    found, about = ([cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "a.npz" in line)
    assert about == ["a test (a.npz)", "mine 1.0", "an archive of numpy arrays", "1", "20,000", "1 as a bias"]
    assert found[1].startswith(("1.9", "2.0"))
    assert found[3:] == ["1 gaussian", "0", "28%", "2.0%", "4"]
    assert "mine==1.0" in page
