#!/usr/bin/env python3
"""Write the tables and the plot of docs/method.md: costs, contrast of the assignment, gradients.

The cost is what ``erpose-edge info`` counts. The contrast is that of the bundled weights' dense
branch on generated scenes, with its errors as they are and made smaller, as those of a network
that has learnt longer. The gradients are those of the loss that training uses, by autograd, for one
person of area 1 with one labelled keypoint.

    python scripts/method_tables.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

from erpose_edge.config import AssignmentConfig, LossConfig, NetworkConfig
from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.data.sample import clip_people, sample_of
from erpose_edge.network.checkpoint import load_weights, network_of
from erpose_edge.network.pose_network import Predictions, predictions
from erpose_edge.network.summary import summarize
from erpose_edge.skeleton import COCO_17
from erpose_edge.training.assignment import AssignmentRule, alignment
from erpose_edge.training.loader import collate, rgb_input
from erpose_edge.training.log_oks import Rows, log_oks, oks_weights, rows_of
from erpose_edge.training.losses import smooth_oks_loss

_DISTANCES = (0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
_DOCUMENT = ROOT / "docs" / "method.md"
_INPUT_SIZE = (640, 640)
_PLOT = ROOT / "docs" / "images" / "smooth-oks.png"
_WEIGHTS = ROOT / "erpose_edge" / "weights" / "erpose-n-mobile.safetensors"
_SCENES, _SCENE_SIZE = 64, (256, 320)  # input pixels, near those of training
_LARGEST = {"small": 32.0, "medium": 96.0, "large": math.inf}  # roots of areas, as COCO has them
_FOUND = 0.5  # OKS of the best grid point; others are not found at all
_ERRORS = {"as predicted": 1.0, "half": 0.5, "a quarter": 0.25}
_HEADINGS = [
    *("people", "errors", "number", "best OKS", "OKS of the first, contrast 1"),
    *("with contrast", "spread, contrast 1", "with contrast"),
]
_SIGMA = 0.5  # so that k = 1, and r is the distance in pixels of a person of area 1


def main() -> None:
    """Compute, and write tables and plot."""
    replace_block(_DOCUMENT, "scales", table(["scale", "parameters", "GFLOPs"], costs()))
    replace_block(_DOCUMENT, "contrast", table(_HEADINGS, contrasts(_SCENES), 2))
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
        cost = summarize(NetworkConfig(scale=scale), len(COCO_17), _INPUT_SIZE)
        rows.append([scale, f"{cost['parameters']:,}", f"{cost['gflops']:.2f}"])
    return rows


def contrasts(scenes: int) -> list[list[str]]:
    """Return how far people's first grid point is above their tenth, by size and error."""
    rule = AssignmentRule(10, contrast=AssignmentConfig().contrast)
    rules = (replace(rule, contrast=1.0), rule)
    found: dict[tuple[str, str], list[list[float]]] = {}
    for guess, people in _looked_at(scenes):
        quality = _quality(guess, people)
        for name, factor in _ERRORS.items():
            better = _with_errors(guess, people, quality, factor)
            reached = _quality(better, people)
            values = [reached.amax(-1)]
            for each in rules:
                metric = alignment(better, people, _sigmas(), each)
                best = metric.topk(10)
                values.append((best.values[:, 0] - best.values[:, 9]).exp())
                values.append(reached.gather(1, best.indices[:, :1])[:, 0])
            for n in (quality.amax(-1) >= _FOUND).nonzero().flatten().tolist():
                size = next(s for s, top in _LARGEST.items() if people.areas[n] < top**2)
                found.setdefault((size, name), []).append([float(v[n]) for v in values])
    rows = []
    for key in ((size, name) for size in _LARGEST for name in _ERRORS if (size, name) in found):
        best, _, first, _, first_sharp = np.mean(found[key], axis=0)
        _, plain, _, sharp, _ = np.median(found[key], axis=0)
        cells = [
            f"{best:.3f}",
            f"{first:.3f}",
            f"{first_sharp:.3f}",
            f"{plain:.2f}",
            f"{sharp:.2f}",
        ]
        rows.append([*key, str(len(found[key])), *cells])
    return rows


def _looked_at(scenes: int) -> Iterator[tuple[Predictions, Rows]]:
    """Yield what the bundled weights' dense branch predicts, and the people of each scene."""
    network = network_of(load_weights(_WEIGHTS)).eval()
    height, width = _SCENE_SIZE
    for image, labels in GeneratedPeople(scenes, 0, _SCENE_SIZE):
        sample = clip_people(sample_of(image, labels, complete=True), (0, 0, width, height))
        batch = collate([sample])
        with torch.no_grad():
            _, dense = network.head.forward_both(network.features(rgb_input(batch.images)))
        people = rows_of(batch.people)
        if len(people.image):
            yield predictions(dense, _SCENE_SIZE), people


def _with_errors(
    guess: Predictions, people: Rows, quality: torch.Tensor, factor: float
) -> Predictions:
    """Return ``guess`` with smaller errors, to the person that a grid point meets best."""
    nearest = quality.argmax(0)  # (G,)
    target = people.places.permute(2, 1, 0)[nearest]  # (G, K, 2)
    labelled = people.labelled.T[nearest][..., None]
    moved = target + factor * (guess.keypoints[0] - target)
    return replace(guess, keypoints=torch.where(labelled, moved, guess.keypoints[0])[None])


def _quality(guess: Predictions, people: Rows) -> torch.Tensor:
    """Return the OKS (P, G) of every person with every grid point."""
    return log_oks(guess.keypoints, people, oks_weights(people.areas, _sigmas())).exp()


def _sigmas() -> torch.Tensor:
    return torch.tensor(COCO_17.sigmas)


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
