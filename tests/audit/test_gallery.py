"""The gallery: its page has a line for each network that its script audits, and the script writes such a page."""

import numpy as np

from examples import gallery
from tests.conftest import ROOT


def test_the_page_has_the_networks_of_the_script():
    lines = [line for line in (ROOT / "docs/gallery.md").read_text(encoding="utf-8").splitlines() if "| " in line][2:]
    assert len(lines) == len(gallery.NETWORKS) >= 8
    for line, (file, (package, version, network)) in zip(lines, gallery.NETWORKS.items(), strict=True):
        assert line.startswith(f"| {network} (`{file.rpartition('/')[2]}`) | {package} {version} | ")


def test_a_page_of_one_network(tmp_path, monkeypatch):
    weight = np.random.default_rng(0).standard_normal((200, 100), np.float32)
    weight[:4] = 0
    np.savez(tmp_path / "a.npz", **{"fc.weight": weight, "fc.bias": weight[:, 0]})
    monkeypatch.setattr(gallery, "NETWORKS", {"a.npz": ("mine", "1.0", "a test")})
    page = gallery.page(tmp_path)
    (line,) = [line for line in page.splitlines() if "mine 1.0" in line]
    cells = line.split(" | ")
    assert cells[:5] == ["| a test (`a.npz`)", "mine 1.0", "an archive of numpy arrays", "1", "20,000"]
    assert cells[5].startswith(("1.9", "2.0"))
    assert cells[-4:] == ["28%", "2.0%", "4", "1 as a bias |"]
    assert "mine==1.0" in page
