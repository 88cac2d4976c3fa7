"""Shapes of the built-in networks, for those who need no torch."""

from collections.abc import Sequence


def fully_connected_shapes(inputs: int, hidden: Sequence[int], classes: int) -> dict[str, tuple[int, int]]:
    """Shapes (out, in) of the layers of an ``fcn`` model, by name."""
    widths = [inputs, *hidden, classes]
    names = [*(f"fc{number}" for number in range(1, len(hidden) + 1)), "head"]
    return {name: (widths[index + 1], widths[index]) for index, name in enumerate(names)}
