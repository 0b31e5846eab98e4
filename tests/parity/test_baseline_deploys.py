"""The box-driven baseline on an engine: the same poses as in torch, suppression included."""

from __future__ import annotations

import functools

import pytest
import torch
from quantized_network import float_network, smooth_images
from torch import nn

pytest.importorskip("openvino")

import numpy as np

from erpose_edge.config import load_config
from erpose_edge.deploy.default import weights_estimator
from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
from erpose_edge.network.checkpoint import Weights
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.nms import CANDIDATES

SIZE = (64, 96)
GRID_POINTS = 8 * 12 + 4 * 6 + 2 * 3
PIXELS = 0.02
SETTINGS = ("network.one_to_one=false", f"network.input_size={list(SIZE)}", "export.nms=0.3")


@functools.cache
def weights_of(*, boxes):
    network = float_network(boxes=boxes, one_to_one=False)
    draw = torch.Generator().manual_seed(0)
    for name, conv in network.head.named_modules():
        if name.startswith(("scores.", "boxes.", "keypoints.")) and isinstance(conv, nn.Conv2d):
            # Scores far apart, boxes and poses of many sizes.
            std = 0.1 if name.startswith("keypoints") else 0.5
            nn.init.normal_(conv.weight, std=std, generator=draw)
    config = load_config("tiny", [*SETTINGS, f"network.boxes={str(boxes).lower()}"])
    state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
    return Weights(state, "float", config.model_dump(mode="json"), sha256="0" * 64)


def photograph():
    return (smooth_images(1, 7, SIZE)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("boxes", "contract"),
    [(True, "raw"), (True, "decoded"), (True, "compact"), (False, "compact")],
)
def test_the_engine_finds_the_poses_that_torch_finds(boxes, contract, tmp_path):
    weights = weights_of(boxes=boxes)
    request = ExportRequest("t", "openvino", "fp32", contract)
    artifact = export_artifact(weights, request, tmp_path / "artifact")
    assert artifact.manifest.nms == 0.3
    named = {spec.name.partition("_")[0] for spec in artifact.manifest.outputs}
    assert ("boxes" in named) == boxes
    if contract == "compact":
        assert artifact.manifest.outputs[0].shape == (1, min(CANDIDATES, GRID_POINTS))
    image = photograph()
    ours, theirs = PoseEstimator(artifact), weights_estimator(weights, "fp32")
    ours.score_threshold = theirs.score_threshold = 0.02
    found, expected = ours(image), theirs(image)
    assert 3 < len(expected) == len(found)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.keypoints, expected.keypoints, atol=PIXELS)


@pytest.mark.parametrize("boxes", [True, False])
def test_fewer_poses_stay_than_without_suppression(boxes):
    weights, image = weights_of(boxes=boxes), photograph()
    suppressed = weights_estimator(weights, "fp32")
    everything = Weights(
        weights.state, "float", {**weights.config, "export": {**weights.config["export"], "nms": 1}}
    )
    kept = weights_estimator(everything, "fp32")
    suppressed.score_threshold = kept.score_threshold = 0.02
    assert 3 < len(suppressed(image)) < len(kept(image))
