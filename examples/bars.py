"""Makes bars.npz: 2,000 noisy images of a bar at one of four angles. `python -m examples.bars data/bars.npz`."""

import sys
from pathlib import Path

import numpy as np


def bars(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Images (count, 12, 12) uint8 and labels (count,): what ``kind: npz`` reads."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(4, size=count)
    angles, shifts = labels * np.pi / 4, rng.uniform(-2, 2, count)
    rows, columns = np.mgrid[-5.5:6, -5.5:6]
    distance = np.sin(angles)[:, None, None] * columns - np.cos(angles)[:, None, None] * rows - shifts[:, None, None]
    images = 200 * np.exp(-(distance**2)) + rng.normal(0, 20, (count, 12, 12))
    return {"images": images.clip(0, 255).astype(np.uint8), "labels": labels}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **bars(2000))  # type: ignore[arg-type]
