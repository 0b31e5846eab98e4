"""The plan against the network: what is counted without torch is what torch has."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from erpose_edge.config import NetworkConfig
from erpose_edge.network.plan import plan_network
from erpose_edge.network.pose_network import ERPose
from erpose_edge.network.summary import summarize

SCALES = "nsmlx"
BACKBONES = get_args(NetworkConfig.model_fields["backbone"].annotation)
DEPLOYED_HEAD = ("score_tower", "pose_tower", "scores", "keypoints", "visibility")
BOX_BRANCH = ("box_tower", "boxes")


def deployed_modules(network):
    """Every module with numbers of its own that inference runs."""
    names = DEPLOYED_HEAD + (BOX_BRANCH if network.config.boxes else ())
    parts = [network.backbone, network.neck, *(getattr(network.head, n) for n in names)]
    return [m for part in parts for m in part.modules()]


def folded_parameters(network):
    """Weights, and one bias for each output channel: batch norm folds into both."""
    convolutions = [m for m in deployed_modules(network) if isinstance(m, nn.Conv2d)]
    return sum(conv.weight.numel() + conv.out_channels for conv in convolutions)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize(("keypoints", "size"), [(17, (64, 96)), (14, (128, 64))])
def test_parameters_and_gflops_are_torchs_own(scale, baseline, keypoints, size):
    check_cost(NetworkConfig(scale=scale, boxes=baseline, one_to_one=not baseline), keypoints, size)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("scale", "nl")
def test_so_they_are_of_every_backbone(backbone, scale):
    check_cost(NetworkConfig(scale=scale, backbone=backbone), 17, (64, 96))


def check_cost(config, keypoints, size):
    with torch.device("meta"):
        network = ERPose(config, keypoints).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            network(torch.empty(1, 3, *size))
    cost = summarize(config, keypoints, size)
    assert cost["parameters"] == folded_parameters(network)
    assert cost["gflops"] == round(counter.get_total_flops() * 1e-9, 4)
    assert cost["input_size"] == list(size)


def test_the_box_branch_costs_and_the_one_to_one_branch_does_not():
    def cost(**switches):
        found = summarize(NetworkConfig(scale="n", **switches), 17, (640, 640))
        return found["parameters"], found["gflops"]

    assert cost(one_to_one=False) == cost()
    assert cost(boxes=True) == cost(boxes=True, one_to_one=False)
    assert all(more > less for more, less in zip(cost(boxes=True), cost(), strict=True))


def test_the_nano_network_keeps_to_its_budget():
    cost = summarize(NetworkConfig(scale="n"), 17, (640, 640))
    assert cost["parameters"] <= 2.8e6
    assert cost["gflops"] <= 7.0


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("scale", SCALES)
def test_stages_add_up_to_the_whole(backbone, scale):
    cost = summarize(NetworkConfig(scale=scale, backbone=backbone), 17, (640, 640))
    assert sum(stage["parameters"] for stage in cost["stages"]) == cost["parameters"]
    total = sum(stage["gflops"] for stage in cost["stages"])
    assert total == pytest.approx(cost["gflops"], abs=1e-4 * len(cost["stages"]))


def test_every_scale_costs_more_than_the_one_before():
    costs = [summarize(NetworkConfig(scale=scale), 17, (640, 640)) for scale in SCALES]
    for smaller, larger in itertools.pairwise(costs):
        assert larger["parameters"] > smaller["parameters"]
        assert larger["gflops"] > smaller["gflops"]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("scale", SCALES)
def test_widths_are_multiples_of_eight(backbone, scale):
    plan = plan_network(NetworkConfig(scale=scale, backbone=backbone), 17)
    assert all(width % 8 == 0 for width in (*plan.widths, *plan.neck_widths, plan.head_width))
