"""Backbones of inverted residuals: a depthwise convolution between a wide and a narrow 1x1 one.

They exist because weights exist for them: `erpose_edge.training.pretrained` reads those of MoveNet
MultiPose, a MobileNetV2 that already knows people, and `erpose_edge.training.efficientnet` those
of EfficientNet-Lite0, which knows ImageNet.

Ref: Sandler et al., "MobileNetV2", 2018, https://arxiv.org/abs/1801.04381; Tan and Le,
"EfficientNet", 2019, https://arxiv.org/abs/1905.11946
"""

from __future__ import annotations

from torch import Tensor, nn

from erpose_edge.network.blocks import ConvBlock
from erpose_edge.network.plan import MobileStage, NetworkPlan

_ACTIVATION = "relu6"  # of the weights that it starts from


class InvertedResidual(nn.Module):
    """Widen, look around depthwise, narrow without an activation; a residual where shapes allow."""

    def __init__(self, c_in: int, c_out: int, hidden: int, stride: int, kernel: int) -> None:
        super().__init__()
        self.widen = ConvBlock(c_in, hidden, activation=_ACTIVATION)
        self.around = ConvBlock(hidden, hidden, kernel, stride, hidden, activation=_ACTIVATION)
        self.narrow = ConvBlock(hidden, c_out, activation=None)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) to (B, c_out, H / stride, W / stride)."""
        y = self.narrow(self.around(self.widen(x)))
        return x + y if self.residual else y


class MobileBackbone(nn.Module):
    """MobileNetV2 or EfficientNet-Lite; returns features at strides 8, 16, 32."""

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        first, around = plan.widths[0], plan.mobile_stages[0].kernel
        c_in = plan.mobile_stages[0].channels
        self.stem = ConvBlock(3, first, 3, 2, activation=_ACTIVATION)
        self.around = ConvBlock(first, first, around, groups=first, activation=_ACTIVATION)
        self.narrow = ConvBlock(first, c_in, activation=None)
        self.stages = nn.ModuleList()
        self._levels: list[int] = []
        for index, stage in enumerate(plan.mobile_stages[1:]):
            self.stages.append(_stage(c_in, stage))
            c_in = stage.channels
            if stage.level:
                self._levels.append(index)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (B, 3, H, W) to features (B, C, H / s, W / s) at strides s of 8, 16, 32."""
        x = self.narrow(self.around(self.stem(images)))
        levels = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self._levels:
                levels.append(x)
        stride_8, stride_16, stride_32 = levels
        return stride_8, stride_16, stride_32


def _stage(c_in: int, stage: MobileStage) -> nn.Sequential:
    """Return the blocks of a stage; the first one changes channels and stride."""
    blocks = []
    for block in range(stage.blocks):
        stride = stage.stride if block == 0 else 1
        hidden = stage.expansion * c_in
        blocks.append(InvertedResidual(c_in, stage.channels, hidden, stride, stage.kernel))
        c_in = stage.channels
    return nn.Sequential(*blocks)
