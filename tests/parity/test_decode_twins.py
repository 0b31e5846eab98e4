"""Decoding exists twice, in the graph (torch) and on the host (numpy): one answer.

The three contracts of one network give the same poses, whoever decodes, with and without boxes and
suppression.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantized_network import float_network
from torch import nn

from erpose_edge.network.plan import BOX_BINS, STRIDES
from erpose_edge.network.pose_network import DeployNetwork, output_names, predictions
from erpose_edge.runtime.decode import decode
from erpose_edge.runtime.nms import CANDIDATES
from erpose_edge.runtime.preprocess import preprocess

SIZE = (64, 96)
K = 17
MAX_POSES = 12
PIXELS = 1e-3  # largest difference of a keypoint, source pixels
PROBABILITY = 1e-6


class Levels(nn.Module):
    """Stands in for a network: gives the same levels for every image."""

    def __init__(self, seed, spread, *, boxes=False):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.levels = tuple(
            [
                spread * torch.randn(1, channels, SIZE[0] // s, SIZE[1] // s, generator=draw)
                for s in STRIDES
            ]
            for channels in (1, 2 * K, K, *[4 * BOX_BINS] * boxes)
        )

    def forward(self, _):
        return self.levels


def poses_by(network, contract, image, threshold, *, boxes=False, nms=None):
    images, letterbox = preprocess(image, SIZE)
    answers = MAX_POSES if nms is None else CANDIDATES
    with torch.inference_mode():
        outputs = DeployNetwork(network, contract, SIZE, answers)(torch.from_numpy(images))
    names = output_names(contract, boxes=boxes)
    arrays = {n: t.numpy() for n, t in zip(names, outputs, strict=True)}
    return decode(arrays, contract, letterbox, STRIDES, threshold, MAX_POSES, nms)


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=PROBABILITY)
    np.testing.assert_allclose(ours.keypoints, theirs.keypoints, atol=PIXELS)
    np.testing.assert_allclose(ours.visibility, theirs.visibility, atol=PROBABILITY)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.floats(0.1, 4),
    source=st.tuples(st.integers(16, 200), st.integers(16, 200)),
    threshold=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_three_contracts_one_answer(seed, spread, source, threshold):
    network, image = Levels(seed, spread), np.zeros((*source, 3), np.uint8)
    raw, decoded, compact = (
        poses_by(network, contract, image, threshold) for contract in ("raw", "decoded", "compact")
    )
    assert_same(raw, decoded)
    assert_same(compact, decoded)


@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("nms", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))  # not more: two boxes may lie right at the threshold
def test_three_contracts_suppress_the_same_answers(seed, nms, boxes):
    network, image = Levels(seed, 2.0, boxes=boxes), np.zeros((77, 131, 3), np.uint8)
    raw, decoded, compact = (
        poses_by(network, contract, image, 0.3, boxes=boxes, nms=nms)
        for contract in ("raw", "decoded", "compact")
    )
    assert_same(raw, decoded)
    assert_same(compact, decoded)
    unsuppressed = poses_by(network, "decoded", image, 0.3, boxes=boxes)
    assert np.array_equal(decoded.scores, unsuppressed.scores) == (nms == 1.0)


@pytest.mark.parametrize("contract", ["raw", "decoded", "compact"])
def test_a_whole_network_means_on_the_host_what_it_meant_in_training(contract):
    network = float_network()  # random, but with scores that differ
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*SIZE, 3), np.uint8)  # its own size: input px are source px
    poses = poses_by(network, contract, image, 0.0)
    with torch.inference_mode():
        trained = predictions(network(torch.from_numpy(preprocess(image, SIZE)[0])), SIZE)
    scores = trained.scores[0].sigmoid().numpy()
    order = np.argsort(-scores, kind="stable")[:MAX_POSES]
    assert len(poses) == MAX_POSES
    np.testing.assert_allclose(poses.scores, scores[order], atol=PROBABILITY)
    np.testing.assert_allclose(poses.keypoints, trained.keypoints[0].numpy()[order], atol=PIXELS)
    visibility = trained.visibility[0].sigmoid().numpy()[order]
    np.testing.assert_allclose(poses.visibility, visibility, atol=PROBABILITY)


def test_saturated_scores_keep_their_order_in_the_compact_graph():
    network = Levels(0, 1.0)
    for level in network.levels[0]:
        level.fill_(-50)
    network.levels[0][0][0, 0, 3, 4:7] = torch.tensor([60.0, 90.0, 120.0])  # all 1.0 in float32
    poses = poses_by(network, "compact", np.zeros((*SIZE, 3), np.uint8), 0.5)
    assert poses.scores.tolist() == [1, 1, 1]
    offsets = network.levels[1][0][0, 0, 3, 4:7].numpy()
    expected = (np.arange(4, 7) + 0.5 + 2 * offsets) * 8
    np.testing.assert_allclose(poses.keypoints[:, 0, 0], expected[::-1], atol=PIXELS)
