"""Every step from the box-driven baseline to ER-Pose trains, by the same lines."""

from __future__ import annotations

import math

import pytest
import torch
from quantized_network import smooth_images
from small_people import ABLATION, INPUT_SIZE, people_at, small_config

from erpose_edge.network.pose_network import ERPose
from erpose_edge.skeleton import COCO_17
from erpose_edge.training.objective import Objective, TrainingNetwork

PEOPLE = people_at([[(20.3, 21.1), (44.2, 40.7)], [(30.0, 33.0)]])
CROSSES = {
    "boxes by keypoints": ("network.boxes=true",),
    "one-to-one by boxes": ("network.boxes=true", "training.assignment.metric=box"),
}
ROWS = {**ABLATION, **CROSSES}


@pytest.fixture(params=ROWS)
def row(request):
    config = small_config(*ROWS[request.param])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ERPose(config.network, len(COCO_17))
    objective = Objective(config.training, COCO_17, INPUT_SIZE, lambda t: t.clamp(min=1))
    return config, TrainingNetwork(network, imitates=False).train(), objective


def test_it_learns_one_batch_by_heart(row):
    config, network, objective = row
    images = smooth_images(2, 0, INPUT_SIZE)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for step in range(12):
        loss, parts = objective(network(images), PEOPLE, step / 6)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        assert all(math.isfinite(value) for value in parts.values())
    assert losses[-1] < 0.8 * losses[0]
    branches = {name.rpartition("_")[0] for name in parts}
    assert branches == ({"one_to_one", "dense"} if config.network.one_to_one else {"dense"})
    kinds = {name.rpartition("_")[2] for name in parts}
    boxes = {"box", "dfl"} if config.network.boxes else set()
    assert kinds == {"score", "pose", "visibility"} | boxes


def test_every_number_gets_a_gradient_even_from_nobody(row):
    # A distributed run waits for the gradient of every parameter.
    _, network, objective = row
    total, _ = objective(network(smooth_images(2, 0, INPUT_SIZE)), people_at([[], []]), 0.5)
    total.backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_the_total_is_the_weighed_sum_of_the_parts(row):
    config, network, objective = row
    with torch.no_grad():
        total, parts = objective(network(smooth_images(2, 0, INPUT_SIZE)), PEOPLE, 0.0)
    weights = config.training.loss
    expected = sum(getattr(weights, name.rpartition("_")[2]) * v for name, v in parts.items())
    assert float(total) == pytest.approx(expected, rel=1e-5)
