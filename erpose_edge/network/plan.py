"""The dimensions of ER-Pose at every scale, and its convolutions counted without torch.

Widths and depths scale as in the YOLO family (Ref: Ultralytics' published YOLOv8 scale table,
numbers only). The head is ours: a light score tower and a wider pose tower; there is no box
branch.
"""

from __future__ import annotations

from dataclasses import dataclass

STRIDES = (8, 16, 32)
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
class NetworkPlan:
    """Dimensions of one ER-Pose.

    Attributes:
        scale: One of n, s, m, l, x.
        keypoints: K.
        widths: Channels at strides 2, 4, 8, 16, 32.
        depths: Bottlenecks of the backbone's blocks at strides 4, 8, 16, 32.
        neck_depth: Bottlenecks of each block of the neck.
        head_width: Channels inside the score tower and the pose tower.
    """

    scale: str
    keypoints: int
    widths: tuple[int, int, int, int, int]
    depths: tuple[int, int, int, int]
    neck_depth: int
    head_width: int


def plan_network(scale: str, keypoints: int) -> NetworkPlan:
    """Return the dimensions of ``scale``, which is one of n, s, m, l, x."""
    depth, width, most = _SCALES[scale]
    widths = tuple(_of_eight(min(w, most) * width) for w in _BASE_WIDTHS)
    depths = tuple(max(1, round(d * depth)) for d in _BASE_DEPTHS)
    return NetworkPlan(
        scale=scale,
        keypoints=keypoints,
        widths=widths,  # type: ignore[arg-type]
        depths=depths,  # type: ignore[arg-type]
        neck_depth=max(1, round(_NECK_DEPTH * depth)),
        head_width=_of_eight(_HEAD_WIDTH * width),
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
    for c_in, c_out, depth, stride in zip(
        plan.widths, plan.widths[1:], plan.depths, (4, 8, 16, 32), strict=False
    ):
        conv(f"backbone.stride_{stride}", c_in, c_out, 3, stride)
        csp(f"backbone.stride_{stride}", c_out, c_out, depth, stride)
    conv("backbone.pool", w32, w32 // 2, 1, 32)
    conv("backbone.pool", w32 * 2, w32, 1, 32)

    csp("neck.up_16", w32 + w16, w16, plan.neck_depth, 16)
    csp("neck.up_8", w16 + w8, w8, plan.neck_depth, 8)
    conv("neck.down_16", w8, w8, 3, 16)
    csp("neck.down_16", w8 + w16, w16, plan.neck_depth, 16)
    conv("neck.down_32", w16, w16, 3, 32)
    csp("neck.down_32", w16 + w32, w32, plan.neck_depth, 32)

    hidden, points = plan.head_width, plan.keypoints
    for c_in, stride in zip((w8, w16, w32), STRIDES, strict=True):
        tower = f"head.score_tower_{stride}"
        conv(tower, c_in, c_in, 3, stride, groups=c_in)
        conv(tower, c_in, hidden, 1, stride)
        conv(tower, hidden, hidden, 3, stride, groups=hidden)
        conv(tower, hidden, hidden, 1, stride)
        conv(tower, hidden, 1, 1, stride)
        tower = f"head.pose_tower_{stride}"
        conv(tower, c_in, hidden, 3, stride)
        conv(tower, hidden, hidden, 3, stride)
        conv(tower, hidden, 2 * points, 1, stride)
        conv(tower, hidden, points, 1, stride)
    return layers
