"""The dimensions of ER-Pose at every scale, and its convolutions counted without torch.

Widths and depths scale as in the YOLO family (Ref: Ultralytics' published YOLOv8 scale table,
numbers only). The head is ours: a light score tower and a wider pose tower; a box tower only
where the box-driven baseline is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from erpose_edge.config import NetworkConfig

STRIDES = (8, 16, 32)
BOX_BINS = 16  # a side of a box lies 0, 1, ... or 15 strides from its grid point, or in between
# scale: (depth multiple, width multiple, most channels)
_SCALES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.25, 512),
}
_BASE_WIDTHS = (64, 128, 256, 512, 1024)
_BASE_DEPTHS = (3, 6, 6, 3)
_NECK_DEPTH = 3
_HEAD_WIDTH = 256  # of score and pose tower at width 1


@dataclass(frozen=True)
class MobileStage:
    """Inverted residuals of one width.

    Attributes:
        channels: That go in and out of its blocks.
        blocks: How many.
        stride: Of the first block.
        expansion: Channels inside a block over those that go in.
        kernel: Side of the depthwise kernels.
        level: Its output is one of the features at strides 8, 16, 32.
    """

    channels: int
    blocks: int
    stride: int
    expansion: int = 6
    kernel: int = 3
    level: bool = False


# Channels of the stem, and the stages behind it, of the backbones for which weights exist.
_MOBILE = {
    # MobileNetV2 at width 1.5, as MoveNet MultiPose has it, without its last two blocks: 1.4 of
    # 3.9 M parameters, and 7 % of its work.
    "mobile": (
        48,
        (
            MobileStage(24, 1, 1, expansion=1),
            MobileStage(40, 2, 2),
            MobileStage(48, 3, 2, level=True),
            MobileStage(96, 4, 2),
            MobileStage(144, 3, 1, level=True),
            MobileStage(240, 1, 2, level=True),
        ),
    ),
    "efficientnet-lite0": (
        32,
        (
            MobileStage(16, 1, 1, expansion=1),
            MobileStage(24, 2, 2),
            MobileStage(40, 2, 2, kernel=5, level=True),
            MobileStage(80, 3, 2),
            MobileStage(112, 3, 1, kernel=5, level=True),
            MobileStage(192, 4, 2, kernel=5),
            MobileStage(320, 1, 1, level=True),
        ),
    ),
}
_MOBILE_NECK = (48, 96, 192)


@dataclass(frozen=True)
class NetworkPlan:
    """Dimensions of one ER-Pose.

    Attributes:
        scale: One of n, s, m, l, x.
        keypoints: K.
        widths: Channels of the backbone at strides 2, 4, 8, 16, 32.
        depths: Bottlenecks of the blocks of a CSP backbone at strides 4, 8, 16, 32.
        mobile_stages: Of a backbone of inverted residuals, else empty; the first one belongs to
            the stem.
        neck_widths: Channels of the neck at strides 8, 16, 32.
        neck_depth: Bottlenecks of each block of the neck.
        head_width: Channels inside the score tower and a box tower.
        pose_width: Channels inside the pose tower.
        pose_tower: ``dense`` for 3x3 convolutions, ``depthwise`` for depthwise and 1x1 ones.
        boxes: A box branch beside score and pose tower.
        one_to_one: A one-to-one branch is deployed; otherwise the dense branch is.
    """

    scale: str
    keypoints: int
    widths: tuple[int, int, int, int, int]
    depths: tuple[int, int, int, int]
    mobile_stages: tuple[MobileStage, ...]
    neck_widths: tuple[int, int, int]
    neck_depth: int
    head_width: int
    pose_width: int
    pose_tower: str
    boxes: bool = False
    one_to_one: bool = True


def plan_network(network: NetworkConfig, keypoints: int) -> NetworkPlan:
    """Return the dimensions of the network that a config names."""
    depth, width, most = _SCALES[network.scale]
    widths = tuple(_of_eight(min(w, most) * width) for w in _BASE_WIDTHS)
    neck_widths = widths[2:]
    depths = tuple(max(1, round(d * depth)) for d in _BASE_DEPTHS)
    stem, stages = _MOBILE.get(network.backbone, (0, ()))
    if stages:
        levels = tuple(stage.channels for stage in stages if stage.level)
        widths = (stem, stages[1].channels, *levels)
        neck_widths = _MOBILE_NECK
    head_width = _of_eight(_HEAD_WIDTH * width)
    return NetworkPlan(
        scale=network.scale,
        keypoints=keypoints,
        widths=widths,  # type: ignore[arg-type]
        depths=depths,  # type: ignore[arg-type]
        mobile_stages=stages,
        neck_widths=neck_widths,  # type: ignore[arg-type]
        neck_depth=max(1, round(_NECK_DEPTH * depth)),
        head_width=head_width,
        pose_width=network.pose_width or head_width,
        pose_tower=network.pose_tower,
        boxes=network.boxes,
        one_to_one=network.one_to_one,
    )


def _of_eight(channels: float) -> int:
    return max(8, int(-(-channels // 8)) * 8)


@dataclass(frozen=True)
class ConvLayer:
    """One convolution of the deployed network, batch norm folded.

    Attributes:
        stage: The part of the network that it belongs to.
        parameters: Weights and biases.
        macs: Multiply-accumulates at the plan's input size.
    """

    stage: str
    parameters: int
    macs: int


def deployed_convolutions(plan: NetworkPlan, input_size: tuple[int, int]) -> list[ConvLayer]:
    """List every convolution of the deployed network, in the order in which it runs.

    Args:
        plan: Dimensions.
        input_size: (height, width) in pixels, multiples of 32.
    """
    layers: list[ConvLayer] = []

    def conv(stage: str, c_in: int, c_out: int, kernel: int, stride: int, groups: int = 1) -> None:
        weights = c_in // groups * c_out * kernel * kernel
        pixels = (input_size[0] // stride) * (input_size[1] // stride)
        layers.append(ConvLayer(stage, weights + c_out, weights * pixels))

    def csp(stage: str, c_in: int, c_out: int, depth: int, stride: int) -> None:
        half = c_out // 2
        conv(stage, c_in, c_out, 1, stride)
        for _ in range(2 * depth):
            conv(stage, half, half, 3, stride)
        conv(stage, (2 + depth) * half, c_out, 1, stride)

    w2, _, w8, w16, w32 = plan.widths
    conv("backbone.stem", 3, w2, 3, 2)
    if plan.mobile_stages:
        _mobile_stages(plan.mobile_stages, w2, conv)
    else:
        for c_in, c_out, depth, stride in zip(
            plan.widths, plan.widths[1:], plan.depths, (4, 8, 16, 32), strict=False
        ):
            conv(f"backbone.stride_{stride}", c_in, c_out, 3, stride)
            csp(f"backbone.stride_{stride}", c_out, c_out, depth, stride)
        conv("backbone.pool", w32, w32 // 2, 1, 32)
        conv("backbone.pool", w32 * 2, w32, 1, 32)

    n8, n16, n32 = plan.neck_widths
    csp("neck.up_16", w32 + w16, n16, plan.neck_depth, 16)
    csp("neck.up_8", n16 + w8, n8, plan.neck_depth, 8)
    conv("neck.down_16", n8, n8, 3, 16)
    csp("neck.down_16", n8 + n16, n16, plan.neck_depth, 16)
    conv("neck.down_32", n16, n16, 3, 32)
    csp("neck.down_32", n16 + w32, n32, plan.neck_depth, 32)

    _heads(plan, conv)
    return layers


def _heads(plan: NetworkPlan, conv: Callable[..., None]) -> None:
    """Count the towers and outputs of every level."""

    def light_tower(stage: str, c_in: int, c_out: int, stride: int) -> None:
        for channels in (c_in, c_out):
            conv(stage, channels, channels, 3, stride, groups=channels)
            conv(stage, channels, c_out, 1, stride)

    def dense_tower(stage: str, c_in: int, c_out: int, stride: int) -> None:
        conv(stage, c_in, c_out, 3, stride)
        conv(stage, c_out, c_out, 3, stride)

    pose_tower = light_tower if plan.pose_tower == "depthwise" else dense_tower
    hidden, points = plan.head_width, plan.keypoints
    for c_in, stride in zip(plan.neck_widths, STRIDES, strict=True):
        tower = f"head.score_tower_{stride}"
        light_tower(tower, c_in, hidden, stride)
        conv(tower, hidden, 1, 1, stride)
        tower = f"head.pose_tower_{stride}"
        pose_tower(tower, c_in, plan.pose_width, stride)
        conv(tower, plan.pose_width, 2 * points, 1, stride)
        conv(tower, plan.pose_width, points, 1, stride)
        if plan.boxes:
            tower = f"head.box_tower_{stride}"
            dense_tower(tower, c_in, hidden, stride)
            conv(tower, hidden, 4 * BOX_BINS, 1, stride)


def _mobile_stages(stages: tuple[MobileStage, ...], c_in: int, conv: Callable[..., None]) -> None:
    """Count the inverted residuals of a backbone behind its stem of ``c_in`` channels."""
    stride = 2
    for stage in stages:
        for block in range(stage.blocks):
            hidden = c_in * stage.expansion
            if stage.expansion > 1:
                conv(f"backbone.stride_{stride}", c_in, hidden, 1, stride)
            stride *= stage.stride if block == 0 else 1
            conv(f"backbone.stride_{stride}", hidden, hidden, stage.kernel, stride, groups=hidden)
            conv(f"backbone.stride_{stride}", hidden, stage.channels, 1, stride)
            c_in = stage.channels
