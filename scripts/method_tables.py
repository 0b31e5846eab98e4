#!/usr/bin/env python3
"""Write the tables and the plot of docs/method.md: cost of every scale, gradients of the loss.

The cost is what ``erpose-edge info`` counts. The gradients are those of the loss that training
uses, by autograd, for one person of area 1 with one labelled keypoint.

    python scripts/method_tables.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

from erpose_edge.config import LossConfig
from erpose_edge.network.summary import summarize
from erpose_edge.skeleton import COCO_17
from erpose_edge.training.losses import smooth_oks_loss

_DISTANCES = (0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
_DOCUMENT = ROOT / "docs" / "method.md"
_INPUT_SIZE = (640, 640)
_PLOT = ROOT / "docs" / "images" / "smooth-oks.png"
_SIGMA = 0.5  # so that k = 1, and r is the distance in pixels of a person of area 1


def main() -> None:
    """Compute, and write tables and plot."""
    replace_block(_DOCUMENT, "scales", table(["scale", "parameters", "GFLOPs"], costs()))
    smooth = LossConfig().smooth
    weights = {"1 - OKS alone": 0.0, f"smooth = {smooth:g} (default)": smooth, "smooth = 1": 1.0}
    r = torch.tensor(_DISTANCES)
    found = {name: gradient(r, weight) for name, weight in weights.items()}
    rows = [
        [f"{distance:g}", *(_shown(float(column[i])) for column in found.values())]
        for i, distance in enumerate(_DISTANCES)
    ]
    replace_block(_DOCUMENT, "gradients", table(["r", *found], rows))
    plot(weights, _PLOT)


def costs() -> list[list[str]]:
    """Return scale, parameters and GFLOPs of every deployed network."""
    rows = []
    for scale in "nsmlx":
        cost = summarize(scale, len(COCO_17), _INPUT_SIZE)
        rows.append([scale, f"{cost['parameters']:,}", f"{cost['gflops']:.2f}"])
    return rows


def gradient(r: torch.Tensor, smooth: float) -> torch.Tensor:
    """Return the derivative of the loss by r, at each distance ``r`` (N,)."""
    r = r.clone().requires_grad_()
    count = len(r)
    predicted = torch.stack([r, torch.zeros(count)], -1)[:, None]  # (N, 1, 2)
    loss = smooth_oks_loss(
        predicted,
        torch.zeros(count, 1, 2),
        torch.ones(count, 1, dtype=torch.bool),
        torch.ones(count),
        torch.tensor([_SIGMA]),
        smooth,
    )
    (found,) = torch.autograd.grad(loss.sum(), r)
    return found


def plot(weights: dict[str, float], path: Path) -> None:
    """Draw the gradients over r."""
    from matplotlib.figure import Figure

    r = torch.linspace(0, 10, 401)
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    for name, weight in weights.items():
        axes.plot(r.numpy(), gradient(r, weight).numpy(), label=name)
    axes.set(xlabel="r = d / (s k)", ylabel="dL / dr", xlim=(0, 10), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _shown(value: float) -> str:
    return f"{value:.3f}" if value >= 1e-3 else f"{value:.0e}" if value else "0"


if __name__ == "__main__":
    main()
