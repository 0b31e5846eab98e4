"""The three blocks that ER-Pose is built from.

Every convolution but the head's outputs is a `ConvBlock`, so that folding batch norm and placing
fake-quantization need to know one pattern only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}


class ConvBlock(nn.Module):
    """Convolution, batch norm, activation; padding keeps the size at stride 1.

    Args:
        c_in: Input channels.
        c_out: Output channels.
        kernel: Side of the square kernel, odd.
        stride: Step in pixels.
        groups: Channel groups; ``c_in`` makes it depthwise.
        activation: Name of the activation, a key of the config's ``network.activation``; None
            leaves the convolution linear.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        activation: str | None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(c_out, eps=1e-3, momentum=0.03)
        self.activation = None if activation is None else _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) to (B, c_out, H / stride, W / stride)."""
        y = self.norm(self.conv(x))
        return y if self.activation is None else self.activation(y)


class Bottleneck(nn.Module):
    """Two 3x3 convolutions, with a residual where ``residual`` says so."""

    def __init__(self, channels: int, *, residual: bool, activation: str) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels, 3, activation=activation)
        self.second = ConvBlock(channels, channels, 3, activation=activation)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        y = self.second(self.first(x))
        return x + y if self.residual else y


class CspBlock(nn.Module):
    """Cross-stage partial block: half the channels pass by, half go through bottlenecks.

    Every intermediate result is joined at the end.

    Ref: Wang et al., "CSPNet", 2019, https://arxiv.org/abs/1911.11929; joining every step follows
    ELAN, https://arxiv.org/abs/2211.04800
    """

    def __init__(
        self, c_in: int, c_out: int, depth: int, *, residual: bool, activation: str
    ) -> None:
        super().__init__()
        half = c_out // 2
        self.split = ConvBlock(c_in, c_out, activation=activation)
        self.bottlenecks = nn.ModuleList(
            Bottleneck(half, residual=residual, activation=activation) for _ in range(depth)
        )
        self.join = ConvBlock((2 + depth) * half, c_out, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c_in, H, W) to (B, c_out, H, W)."""
        parts = list(self.split(x).chunk(2, 1))
        for bottleneck in self.bottlenecks:
            parts.append(bottleneck(parts[-1]))
        return self.join(torch.cat(parts, 1))


class PoolPyramid(nn.Module):
    """Spatial pyramid of max pools, computed one after the other.

    Ref: He et al., "Spatial pyramid pooling", 2014, https://arxiv.org/abs/1406.4729
    """

    def __init__(self, channels: int, *, activation: str) -> None:
        super().__init__()
        self.reduce = ConvBlock(channels, channels // 2, activation=activation)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.join = ConvBlock(channels * 2, channels, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        levels = [self.reduce(x)]
        for _ in range(3):
            levels.append(self.pool(levels[-1]))
        return self.join(torch.cat(levels, 1))
