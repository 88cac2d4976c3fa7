"""An own model: a small residual network."""

import torch
from torch import Tensor, nn


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.relu(images + self.second(torch.relu(self.first(images))))


def residual(input_shape: tuple[int, int, int], classes: int, *, width: int = 8, blocks: int = 2) -> nn.Module:
    """``blocks`` residual blocks of ``width`` channels, average pooling to 2 x 2 and a linear head."""
    stem = nn.Conv2d(input_shape[0], width, 3, stride=2, padding=1, bias=False)
    body = [_Block(width) for _ in range(blocks)]
    quarter = tuple(((size + 1) // 2 + 1) // 2 for size in input_shape[1:])
    pool = nn.AvgPool2d(quarter, ceil_mode=True)  # AdaptiveAvgPool2d's gradient is not repeatable on a GPU
    return nn.Sequential(stem, nn.ReLU(), *body, pool, nn.Flatten(), nn.Linear(4 * width, classes))
