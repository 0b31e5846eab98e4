#!/usr/bin/env python3
"""Print the peak memory in MB that the assignment needs for a crowd, beyond its inputs.

Every image has 100 people, and all 8,400 grid points of a 640 x 640 input. Linux only: a process
is asked for its highest resident memory, so every number needs a process of its own.

    python scripts/assignment_memory.py BATCH
"""

from __future__ import annotations

import sys
from pathlib import Path

from measured_block import ROOT

sys.path.insert(0, str(ROOT))

import torch
from torch import Tensor

from erpose_edge.network.decode import grid_points
from erpose_edge.network.pose_network import Predictions
from erpose_edge.skeleton import COCO_17
from erpose_edge.training.assignment import AssignmentRule, assign
from erpose_edge.training.people import People

PEOPLE = 100
_SIZE = (640, 640)
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def crowd(batch: int) -> tuple[Predictions, People, Tensor, Tensor]:
    """Return predictions, people, grid points and strides of full images."""
    points, strides = grid_points(_SIZE)
    grid, count = len(points), len(COCO_17)
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=draw) * _SIZE[0]

    keypoints = random(batch, PEOPLE, count, 2)
    every = torch.ones(batch, PEOPLE, count, dtype=torch.bool)
    people = People(
        keypoints=keypoints,
        labelled=every,
        visible=every.float(),
        visibility_known=every,
        areas=torch.full((batch, PEOPLE), 2500.0),
        boxes=torch.cat([keypoints.amin(2), keypoints.amax(2)], -1),
        present=every[..., 0],
        ignored=torch.zeros(batch, 1, 4),
    )
    guess = Predictions(
        scores=random(batch, grid),
        keypoints=random(batch, grid, count, 2),
        visibility=random(batch, grid, count),
    )
    return guess, people, points, strides


def peak_mb(batch: int) -> float:
    """Return the peak memory of `assign` beyond its inputs."""
    assign(*crowd(1), torch.tensor(COCO_17.sigmas), AssignmentRule(10))  # its code is loaded
    inputs = crowd(batch)
    _RESET.write_text("5", encoding="ascii")  # the peak starts again from what is in use
    before = _status_kb("VmRSS")
    assign(*inputs, torch.tensor(COCO_17.sigmas), AssignmentRule(10))
    return (_status_kb("VmHWM") - before) * 1024 / 1e6


def _status_kb(name: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    print(f"{peak_mb(int(sys.argv[1])):.1f}")
