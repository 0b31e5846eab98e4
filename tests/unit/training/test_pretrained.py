"""A backbone that starts from MoveNet's, and one that is run frozen, compute what they should."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from erpose_edge.config import NetworkConfig
from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.errors import WeightsError
from erpose_edge.network.blocks import ConvBlock
from erpose_edge.network.pose_network import ERPose
from erpose_edge.training import pretrained
from erpose_edge.training.pretrained import FrozenBackbone, start_from_movenet
from erpose_edge.training.teacher import Teacher

MOVENET = os.environ.get("ERPOSE_MOVENET")


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return ERPose(NetworkConfig(scale="n", backbone="mobile"), 17).backbone.eval()


def scenes(count, size):
    people = GeneratedPeople(count, seed=1, size=size)
    return torch.from_numpy(np.stack([people[i][0] for i in range(count)]))


def rgb(images):
    return images.flip(-1).permute(0, 3, 1, 2).float() / 255


def folded(backbone):
    """Convolutions as a file without batch norm would hold them, for images in [-1, 1]."""
    found = []
    for module in backbone.modules():
        if isinstance(module, ConvBlock):
            fused = nn.utils.fuse_conv_bn_eval(module.conv, module.norm)
            found.append((fused.weight.detach(), fused.bias.detach()))
    weight, bias = found[0]
    found[0] = (weight / 2, bias + weight.sum((1, 2, 3)) / 2)
    lateral = (torch.zeros(7, 48, 1, 1), torch.zeros(7))
    return iter([*found[:5], lateral, *found[5:]])


def started(backbone, monkeypatch):
    """Return a backbone started from ``backbone`` as if that were the file."""
    monkeypatch.setattr(pretrained, "_convolutions", lambda _: folded(backbone))
    other = ERPose(NetworkConfig(scale="n", backbone="mobile"), 17).backbone
    start_from_movenet(other, Path("some.tflite"), rgb(scenes(4, (64, 64))))
    return other


def test_the_start_computes_what_the_file_does(backbone, monkeypatch):
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -1, 1)
    other = started(backbone, monkeypatch)
    images = rgb(scenes(2, (96, 64)))
    with torch.no_grad():
        for ours, theirs in zip(other(images), backbone(images), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.std()))


def test_batch_norm_in_training_keeps_what_the_network_computes(backbone, monkeypatch):
    other = started(backbone, monkeypatch)
    images = rgb(scenes(4, (64, 64)))  # those that it was measured on
    with torch.no_grad():
        evaluated = other(images)
        trained = other.train()(images)
    for ours, theirs in zip(trained, evaluated, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=0.01 * float(theirs.std()))


def test_a_network_without_the_convolutions_is_refused(backbone, monkeypatch):
    monkeypatch.setattr(pretrained, "_convolutions", lambda _: iter([]))
    with pytest.raises(WeightsError, match=r"training\.backbone some\.tflite: expected MoveNet"):
        start_from_movenet(backbone, Path("some.tflite"), torch.zeros(1, 3, 64, 64))


def test_a_file_that_is_no_network_is_named(backbone, tmp_path):
    pytest.importorskip("openvino")
    path = tmp_path / "movenet.tflite"
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"training\.backbone .*movenet\.tflite"):
        start_from_movenet(backbone, path, torch.zeros(1, 3, 64, 64))


def test_the_frozen_backbone_gives_the_features_of_the_backbone(backbone):
    pytest.importorskip("openvino")
    images = scenes(2, (64, 96))
    with torch.no_grad():
        expected = backbone(rgb(images))
    for ours, theirs in zip(FrozenBackbone(backbone, bf16=False)(images), expected, strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not MOVENET, reason="ERPOSE_MOVENET names no movenet.tflite")
def test_features_of_the_file_are_those_of_movenet(backbone):
    images = scenes(2, (512, 512))
    start_from_movenet(backbone, Path(MOVENET), rgb(images))
    # The file pads behind, ours on both sides; in the middle of a large picture only that counts.
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.padding = (0, 0)
            module.register_forward_pre_hook(lambda _, x: (functional.pad(x[0], (0, 1, 0, 1)),))
    with torch.no_grad():
        ours = backbone(rgb(images))[1]
    theirs = Teacher(Path(MOVENET), bf16=False)(images)[2]
    middle = (..., slice(12, 20), slice(12, 20))
    assert torch.allclose(ours[middle], theirs[middle], rtol=0, atol=0.1 * float(theirs.std()))
