"""A backbone that starts from EfficientNet-Lite0's checkpoint computes what the checkpoint does."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from erpose_edge.config import NetworkConfig
from erpose_edge.errors import RequestError, WeightsError
from erpose_edge.network.pose_network import ERPose
from erpose_edge.training.efficientnet import start_from_efficientnet
from erpose_edge.training.pretrained import start_backbone

CHECKPOINT = os.environ.get("ERPOSE_EFFICIENTNET")
# Channels out, blocks, kernel, stride, expansion: Tan and Le's table for B0.
STAGES = [
    (16, 1, 3, 1, 1),
    (24, 2, 3, 2, 6),
    (40, 2, 5, 2, 6),
    (80, 3, 3, 2, 6),
    (112, 3, 5, 1, 6),
    (192, 4, 5, 2, 6),
    (320, 1, 3, 1, 6),
]
LEVELS = {4: 8, 10: 16, 15: 32}  # block: stride of its output
STEM = [("_conv_stem", "_bn0", (32, 3, 3, 3), 2)]


def blocks():
    """Yield name, convolutions as (name, batch norm, shape of the weight, stride), and residual."""
    c_in, number = 32, 0
    for c_out, count, kernel, stride, expansion in STAGES:
        for place in range(count):
            hidden, name = c_in * expansion, f"_blocks.{number}."
            step = stride if place == 0 else 1
            found = [("_expand_conv", "_bn0", (hidden, c_in, 1, 1), 1)] if expansion > 1 else []
            found.append(("_depthwise_conv", "_bn1", (hidden, 1, kernel, kernel), step))
            found.append(("_project_conv", "_bn2", (c_out, hidden, 1, 1), 1))
            yield [(name + c, name + n, shape, s) for c, n, shape, s in found], place > 0
            c_in, number = c_out, number + 1


def features(state, images, pad):
    """Return the levels of a checkpoint for images in [0, 1]; ``pad(x, kernel, stride)`` pads."""

    def run(x, layer, *, active):
        conv, norm, (_, inside, kernel, _), stride = layer
        groups = x.shape[1] // inside
        x = functional.conv2d(pad(x, kernel, stride), state[f"{conv}.weight"], None, stride,
                              groups=groups)  # fmt: skip
        numbers = (state[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        x = functional.batch_norm(x, *numbers, eps=1e-3)
        return x.clamp(0, 6) if active else x

    x = run((images * 255 - 127) / 128, *STEM, active=True)
    for number, (layers, residual) in enumerate(blocks()):
        before = x
        for layer in layers:
            x = run(x, layer, active=layer is not layers[-1])
        x = x + before if residual else x
        if number in LEVELS:
            yield x


def evenly(x, kernel, _):
    """Pad as ours does: the border of the image is black, which is not 0 to the checkpoint."""
    return functional.pad(x, [kernel // 2] * 4, value=-127 / 128 if x.shape[1] == 3 else 0)


def as_tensorflow(x, kernel, stride):
    """Pad as TensorFlow's SAME does: at even sizes and stride 2, one more behind than in front."""
    before = (kernel - stride) // 2
    return functional.pad(x, [before, kernel - stride - before] * 2)


@pytest.fixture(scope="module")
def checkpoint():
    """Return random numbers under the names and in the shapes of the checkpoint."""
    draw = torch.Generator().manual_seed(0)
    state = {}
    for conv, norm, shape, _ in [*STEM, *(layer for layers, _ in blocks() for layer in layers)]:
        spread = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        state[f"{conv}.weight"] = spread * torch.randn(shape, generator=draw)
        for name, mean in (("weight", 1), ("bias", 0.2), ("running_mean", 0), ("running_var", 1)):
            noise = torch.rand(shape[0], generator=draw) - 0.5
            state[f"{norm}.{name}"] = mean + 0.5 * noise
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)
    return state | {"_fc.weight": torch.zeros(1000, 1280)}


def new_network(backbone="efficientnet-lite0"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ERPose(NetworkConfig(scale="n", backbone=backbone), 17)


def saved(content, folder):
    torch.save(content, folder / "lite0.pth")
    return folder / "lite0.pth"


def test_the_backbone_computes_what_the_checkpoint_does(checkpoint, tmp_path):
    backbone = new_network().backbone
    start_from_efficientnet(backbone, saved(checkpoint, tmp_path))
    assert not backbone.training
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for ours, theirs in zip(
            backbone(images), features(checkpoint, images, evenly), strict=True
        ):
            assert theirs.std() > 0.1
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["_conv_stem.weight", "_blocks.15._bn2.running_var"])
@pytest.mark.parametrize("instead", [None, torch.zeros(7), [1.0]])
def test_another_network_is_named_with_file_and_tensor(checkpoint, tmp_path, name, instead):
    path = saved({**checkpoint, name: instead}, tmp_path)
    got = "shape (7,)" if isinstance(instead, torch.Tensor) else "none"
    expected = rf"training\.backbone .*lite0\.pth: {name}: expected shape .*, got {re.escape(got)}"
    with pytest.raises(WeightsError, match=expected):
        start_from_efficientnet(new_network().backbone, path)


class Odd:
    """What a file of tensors does not hold."""


@pytest.mark.parametrize(
    "content",
    [b"", b"nothing", b"PK\x03\x04 cut short", pickle.dumps(Odd()), pickle.dumps([1, 2])],
)
def test_a_file_without_tensors_by_name_is_refused(content, tmp_path):
    path = tmp_path / "lite0.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"^training\.backbone .*lite0\.pth: expected.*, got.+$"):
        start_from_efficientnet(new_network().backbone, path)


@pytest.mark.parametrize("content", [Odd(), [torch.zeros(3)]])
def test_code_in_a_file_is_not_run(content, tmp_path):
    with pytest.raises(WeightsError, match=r"^training\.backbone .*: expected the checkpoint"):
        start_from_efficientnet(new_network().backbone, saved(content, tmp_path))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.pth: expected .*No such file"):
        start_from_efficientnet(new_network().backbone, tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("file", "backbone", "expected"),
    [
        ("a.tflite", "efficientnet-lite0", "mobile for a .tflite file, got efficientnet-lite0"),
        ("a.tflite", "csp", "mobile for a .tflite file, got csp"),
        ("a.pth", "mobile", "efficientnet-lite0 for a .pth file, got mobile"),
        ("a.PTH", "csp", "efficientnet-lite0 for a .pth file, got csp"),
    ],
)
def test_a_file_for_another_backbone_is_refused(file, backbone, expected):
    with pytest.raises(RequestError) as caught:
        start_backbone(new_network(backbone), Path(file), lambda: pytest.fail("not needed"))
    assert str(caught.value).startswith(
        f"training.backbone {file}: expected network.backbone to be {expected}; "
    )


@pytest.mark.parametrize(("file", "got"), [("a.onnx", ".onnx"), ("a", "a name without an ending")])
def test_a_file_of_neither_kind_is_refused(file, got):
    with pytest.raises(RequestError, match=rf"training\.backbone {file}: .*\.pth, got {got}; "):
        start_backbone(new_network(), Path(file), lambda: pytest.fail("not needed"))


def test_the_checkpoint_needs_no_images(checkpoint, tmp_path):
    network = new_network()
    start_backbone(network, saved(checkpoint, tmp_path), lambda: pytest.fail("not needed"))
    assert torch.equal(network.backbone.stem.norm.bias, checkpoint["_bn0.bias"])


def of_the_package(path):
    """Return the levels as the checkpoint's own package computes them."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=1024).eval()
    network.load_state_dict(torch.load(path, weights_only=True))
    levels = {}
    for number in LEVELS:
        network._blocks[number].register_forward_hook(
            lambda _module, _inputs, output, number=number: levels.update({number: output})
        )

    def run(images):
        network.extract_features((images * 255 - 127) / 128)
        return [levels[number] for number in LEVELS]

    return run


@pytest.mark.skipif(not CHECKPOINT, reason="ERPOSE_EFFICIENTNET names no .pth file")
@pytest.mark.parametrize("reference", ["by hand", "the package"])
def test_features_are_those_of_the_checkpoint_for_a_moved_image(reference):
    backbone = new_network().backbone
    start_from_efficientnet(backbone, Path(CHECKPOINT))
    if reference == "by hand":
        state = torch.load(CHECKPOINT, weights_only=True)

        def run(images):
            return list(features(state, images, as_tensorflow))
    else:
        run = of_the_package(CHECKPOINT)
    draw = torch.Generator().manual_seed(1)
    middle = (..., slice(14, 18), slice(14, 18))  # the border, padded differently, is out of sight
    for place, stride in enumerate(LEVELS.values()):
        images = torch.rand(1, 3, stride, stride, generator=draw)
        images = functional.interpolate(images, scale_factor=32, mode="bilinear")
        with torch.no_grad():
            ours = backbone(images)[place][middle]
            theirs = run(torch.roll(images, (stride - 1, stride - 1), (2, 3)))[place][middle]
        assert float(theirs.std()) > 1
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)
