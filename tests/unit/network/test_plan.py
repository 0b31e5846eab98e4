"""The plan against the network: what is counted without torch is what torch has."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from erpose_edge.network.plan import plan_network
from erpose_edge.network.pose_network import ERPose
from erpose_edge.network.summary import summarize

SCALES = "nsmlx"
DEPLOYED_HEAD = ("score_tower", "pose_tower", "scores", "keypoints", "visibility")


def deployed_modules(network):
    """Every module with numbers of its own that inference runs."""
    parts = [network.backbone, network.neck, *(getattr(network.head, n) for n in DEPLOYED_HEAD)]
    return [m for part in parts for m in part.modules()]


def folded_parameters(network):
    """Weights, and one bias for each output channel: batch norm folds into both."""
    convolutions = [m for m in deployed_modules(network) if isinstance(m, nn.Conv2d)]
    return sum(conv.weight.numel() + conv.out_channels for conv in convolutions)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("keypoints", "size"), [(17, (64, 96)), (14, (128, 64))])
def test_parameters_and_gflops_are_torchs_own(scale, keypoints, size):
    with torch.device("meta"):
        network = ERPose(scale, "relu", keypoints).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            network(torch.empty(1, 3, *size))
    cost = summarize(scale, keypoints, size)
    assert cost["parameters"] == folded_parameters(network)
    assert cost["gflops"] == round(counter.get_total_flops() * 1e-9, 4)
    assert cost["input_size"] == list(size)


def test_the_nano_network_keeps_to_its_budget():
    cost = summarize("n", 17, (640, 640))
    assert cost["parameters"] <= 2.8e6
    assert cost["gflops"] <= 7.0


@pytest.mark.parametrize("scale", SCALES)
def test_stages_add_up_to_the_whole(scale):
    cost = summarize(scale, 17, (640, 640))
    assert sum(stage["parameters"] for stage in cost["stages"]) == cost["parameters"]
    total = sum(stage["gflops"] for stage in cost["stages"])
    assert total == pytest.approx(cost["gflops"], abs=1e-4 * len(cost["stages"]))


def test_every_scale_costs_more_than_the_one_before():
    costs = [summarize(scale, 17, (640, 640)) for scale in SCALES]
    for smaller, larger in itertools.pairwise(costs):
        assert larger["parameters"] > smaller["parameters"]
        assert larger["gflops"] > smaller["gflops"]


@pytest.mark.parametrize("scale", SCALES)
def test_widths_are_multiples_of_eight(scale):
    plan = plan_network(scale, 17)
    assert all(width % 8 == 0 for width in (*plan.widths, plan.head_width))
