"""Prune a torch model by the plan of its audit, and measure: `python examples/prune_by_plan.py plan.json`.

`sgdtails audit my.pt --output audits` writes the plan. Put your model, your weights and your test in place of these.
"""

import json
import sys

import torch
from torch.nn.utils import prune


def pruned(model: torch.nn.Module, plan: dict, kind: str = "by_error", error: str = "0.1") -> float:
    """Prune a model where it is, and give the share of its planned weights that are zero."""
    zeros = total = 0
    for entry in plan[kind][error]:
        module = model.get_submodule(entry["module"])
        prune.l1_unstructured(module, entry["name"], amount=entry["amount"])
        prune.remove(module, entry["name"])
        weight = getattr(module, entry["name"])
        zeros, total = zeros + int((weight == 0).sum()), total + weight.numel()
    return zeros / total


if __name__ == "__main__":
    with open(sys.argv[1]) as file:  # noqa: PTH123
        plan = json.load(file)
    images = torch.rand(100, 64)
    for kind in ("by_error", "by_alpha"):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
        before = model(images).argmax(1)
        share = pruned(model, plan, kind)
        same = (model(images).argmax(1) == before).float().mean()
        print(f"{kind}: {share:.0%} of the weights are zero; {same:.0%} of the predictions are the same")
