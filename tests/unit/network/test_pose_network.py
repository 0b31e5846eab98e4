"""The network as a whole: what it gives, what is deployed of it, and what it does not have."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from erpose_edge.config import NetworkConfig
from erpose_edge.network.blocks import ConvBlock
from erpose_edge.network.decode import bins_to_boxes, grid_points, offsets_to_pixels
from erpose_edge.network.plan import BOX_BINS, STRIDES
from erpose_edge.network.pose_network import (
    DeployNetwork,
    ERPose,
    output_names,
    predictions,
)
from erpose_edge.runtime.decode import CONTRACTS, OFFSET_UNIT
from erpose_edge.runtime.decode import output_names as runtime_output_names
from erpose_edge.training.objective import TrainingNetwork

SIZE = (64, 96)
POINTS = sum((SIZE[0] // s) * (SIZE[1] // s) for s in STRIDES)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ERPose(NetworkConfig(scale="n"), 17).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def test_every_level_gives_scores_keypoints_and_visibility(network, images):
    scores, keypoints, visibility = network(images)
    for i, stride in enumerate(STRIDES):
        cells = (SIZE[0] // stride, SIZE[1] // stride)
        assert scores[i].shape == (2, 1, *cells)
        assert keypoints[i].shape == (2, 34, *cells)
        assert visibility[i].shape == (2, 17, *cells)


def test_there_is_no_box_branch(network):
    output_channels = {
        name: conv.out_channels
        for name, conv in network.head.named_modules()
        if type(conv) is nn.Conv2d and conv.bias is not None
    }
    assert set(output_channels.values()) == {1, 17, 34}  # score, visibility, x and y: no 4, no 64
    assert not [name for name, _ in network.named_modules() if "box" in name or "bbox" in name]


def test_every_convolution_but_the_outputs_is_a_conv_block(network):
    inside = {id(m.conv) for m in network.modules() if isinstance(m, ConvBlock)}
    others = [
        name
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d) and id(m) not in inside
    ]
    assert all(name.startswith("head.") and name.count(".") == 2 for name in others)
    assert all(not m.conv.bias for m in network.modules() if isinstance(m, ConvBlock))


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_dense_branch_is_not_deployed(network, images, contract):
    ran = []
    hooks = [
        m.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, m in network.named_modules()
    ]
    DeployNetwork(network, contract, SIZE)(images)
    for hook in hooks:
        hook.remove()
    assert any(name.startswith("head.scores") for name in ran)
    assert not [name for name in ran if "dense" in name]


def test_an_exported_graph_holds_no_number_of_the_dense_branch(network, images):
    program = torch.export.export(DeployNetwork(network, "compact", SIZE), (images[:1],))
    used = {
        program.graph_signature.inputs_to_parameters[node.name]
        for node in program.graph.nodes
        if node.name in program.graph_signature.inputs_to_parameters and node.users
    }
    assert any("head.scores" in name for name in used)
    assert not [name for name in used if "dense" in name]


def test_training_and_deployment_see_the_same_one_to_one_branch(network, images):
    outputs = TrainingNetwork(network, imitates=False).eval()(images)
    for ours, theirs in zip(outputs.one_to_one, network(images), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)


def test_one_to_one_scores_do_not_teach_the_features(network, images):
    outputs = TrainingNetwork(network, imitates=False)(images)
    sum(s.sum() for s in outputs.one_to_one[0]).backward()
    assert network.head.scores[0].weight.grad is not None
    assert all(p.grad is None for p in network.backbone.parameters())
    network.zero_grad(set_to_none=True)
    outputs = TrainingNetwork(network, imitates=False)(images)
    sum(s.sum() for s in outputs.dense[0]).backward()
    assert all(p.grad is not None for p in network.backbone.parameters())
    network.zero_grad(set_to_none=True)


def test_an_untrained_network_starts_with_few_people(network, images):
    scores = predictions(network(images), SIZE).scores.sigmoid()
    assert float(scores.detach().mean()) == pytest.approx(0.01, rel=0.5)


def test_grid_points_are_cell_centres_level_by_level_and_row_by_row():
    points, strides = grid_points(SIZE)
    assert points.shape == (POINTS, 2)
    assert points[:2].tolist() == [[4, 4], [12, 4]]
    assert points[SIZE[1] // 8].tolist() == [4, 12]  # the second row
    first_of_16 = (SIZE[0] // 8) * (SIZE[1] // 8)
    assert points[first_of_16].tolist() == [8, 8]
    assert strides[[0, first_of_16, -1]].tolist() == [8, 16, 32]


def test_an_offset_of_one_is_two_strides():
    points, strides = grid_points(SIZE)
    offsets = torch.zeros(1, POINTS, 17, 2)
    offsets[..., 0] = 1
    keypoints = offsets_to_pixels(offsets, points, strides)
    assert torch.equal(keypoints[0, :, 0, 0], points[:, 0] + OFFSET_UNIT * strides)
    assert torch.equal(keypoints[0, :, 0, 1], points[:, 1])


@pytest.mark.parametrize("contract", CONTRACTS)
def test_outputs_stand_in_the_order_of_their_names(network, images, contract):
    assert output_names(contract) == runtime_output_names(contract, STRIDES)
    with torch.inference_mode():
        outputs = DeployNetwork(network, contract, SIZE, 5)(images)
    count = POINTS if contract == "decoded" else 5
    together = {"scores": (count,), "keypoints": (count, 17, 2), "visibility": (count, 17)}
    channels = {"scores": 1, "keypoints": 34, "visibility": 17}
    for name, output in zip(output_names(contract), outputs, strict=True):
        kind, _, stride = name.partition("_")
        cells = [side // int(stride or 1) for side in SIZE]
        expected = (channels[kind], *cells) if contract == "raw" else together[kind]
        assert output.shape == (2, *expected), name


@pytest.mark.parametrize("activation", ["relu", "relu6", "silu", "hardswish"])
def test_the_activation_is_the_one_asked_for(activation):
    network = ERPose(NetworkConfig(scale="n", activation=activation), 14)
    blocks = [m for m in network.modules() if isinstance(m, ConvBlock)]
    names = {type(block.activation).__name__.lower() for block in blocks}
    assert names == {activation}


@pytest.fixture(scope="module")
def baseline():
    return ERPose(NetworkConfig(scale="n", boxes=True, one_to_one=False), 17).eval()


def test_a_dense_network_has_the_deployed_names_and_no_others(network):
    dense = ERPose(NetworkConfig(scale="n", one_to_one=False), 17)
    deployed = {n: t.shape for n, t in network.state_dict().items() if ".dense_" not in n}
    assert {n: t.shape for n, t in dense.state_dict().items()} == deployed


def test_the_dense_branch_alone_is_what_is_trained_and_what_is_deployed(baseline, images):
    outputs = TrainingNetwork(baseline, imitates=False).eval()(images)
    assert outputs.one_to_one is None
    for ours, theirs in zip(outputs.dense, baseline(images), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)


def test_the_deployed_scores_of_a_dense_network_teach_the_features(baseline, images):
    outputs = TrainingNetwork(baseline, imitates=False)(images)
    sum(s.sum() for s in outputs.dense[0]).backward()
    assert all(p.grad is not None for p in baseline.backbone.parameters())
    baseline.zero_grad(set_to_none=True)


def test_boxes_come_with_both_branches(images):
    network = ERPose(NetworkConfig(scale="n", boxes=True), 17).eval()
    for levels in network.head.forward_both(network.features(images)):
        found = predictions(levels, SIZE)
        assert found.boxes.shape == (2, POINTS, 4)
        assert found.bins.shape == (2, POINTS, 4, BOX_BINS)


def test_a_side_lies_at_the_mean_of_its_distribution():
    points, strides = grid_points(SIZE)
    bins = torch.full((1, POINTS, 4, BOX_BINS), -50.0)
    for side, distance in enumerate((3, 0, 7, 15)):
        bins[:, :, side, distance] = 0
    bins[:, :, 0, 4] = 0  # between 3 and 4
    boxes = bins_to_boxes(bins, points, strides)[0]
    sides = torch.tensor([-3.5, 0, 7, 15]) * strides[:, None]
    torch.testing.assert_close(boxes, torch.cat([points, points], -1) + sides)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_boxes_stand_behind_the_other_outputs(baseline, images, contract):
    deployed = DeployNetwork(baseline, contract, SIZE, 5)
    assert deployed.output_names == runtime_output_names(contract, STRIDES, boxes=True)
    with torch.inference_mode():
        outputs = dict(zip(deployed.output_names, deployed(images), strict=True))
        every = predictions(baseline(images), SIZE)
    if contract == "raw":
        assert outputs["boxes_16"].shape == (2, 4 * BOX_BINS, SIZE[0] // 16, SIZE[1] // 16)
        return
    order = every.scores.topk(5, 1).indices
    order = order if contract == "compact" else torch.arange(POINTS).expand(2, -1)
    expected = every.boxes.gather(1, order[..., None].expand(-1, -1, 4))
    torch.testing.assert_close(outputs["boxes"], expected, atol=1e-3, rtol=1e-5)
