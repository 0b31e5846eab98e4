"""Backbone and neck: from an image to features at strides 8, 16 and 32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from erpose_edge.network.blocks import ConvBlock, CspBlock, PoolPyramid
from erpose_edge.network.mobile import MobileBackbone
from erpose_edge.network.plan import NetworkPlan


class CspBackbone(nn.Module):
    """CSP backbone; returns features at strides 8, 16, 32."""

    def __init__(self, plan: NetworkPlan, *, activation: str) -> None:
        super().__init__()
        widths = plan.widths
        self.stem = ConvBlock(3, widths[0], 3, 2, activation=activation)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ConvBlock(c_in, c_out, 3, 2, activation=activation),
                CspBlock(c_out, c_out, depth, residual=True, activation=activation),
            )
            for c_in, c_out, depth in zip(widths, widths[1:], plan.depths, strict=False)
        )
        self.pool = PoolPyramid(widths[4], activation=activation)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (B, 3, H, W) to features (B, C, H / s, W / s) at strides s of 8, 16, 32."""
        stride_4 = self.stages[0](self.stem(images))
        stride_8 = self.stages[1](stride_4)
        stride_16 = self.stages[2](stride_8)
        stride_32 = self.pool(self.stages[3](stride_16))
        return stride_8, stride_16, stride_32


def make_backbone(plan: NetworkPlan, *, activation: str) -> CspBackbone | MobileBackbone:
    """Return the backbone of a plan; ``activation`` is that of a CSP backbone."""
    if plan.mobile_stages:
        return MobileBackbone(plan)
    return CspBackbone(plan, activation=activation)


class Neck(nn.Module):
    """Path aggregation: meaning flows down to stride 8, place flows back up to stride 32.

    Ref: Liu et al., "PANet", 2018, https://arxiv.org/abs/1803.01534
    """

    def __init__(self, plan: NetworkPlan, *, activation: str) -> None:
        super().__init__()
        _, _, w8, w16, w32 = plan.widths
        n8, n16, n32 = plan.neck_widths

        def csp(c_in: int, c_out: int) -> CspBlock:
            return CspBlock(c_in, c_out, plan.neck_depth, residual=False, activation=activation)

        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.up_16 = csp(w32 + w16, n16)
        self.up_8 = csp(n16 + w8, n8)
        self.shrink_8 = ConvBlock(n8, n8, 3, 2, activation=activation)
        self.down_16 = csp(n8 + n16, n16)
        self.shrink_16 = ConvBlock(n16, n16, 3, 2, activation=activation)
        self.down_32 = csp(n16 + w32, n32)

    def forward(self, features: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Map the backbone's features to as many of the same sizes."""
        stride_8, stride_16, stride_32 = features
        up_16 = self.up_16(torch.cat([self.enlarge(stride_32), stride_16], 1))
        out_8 = self.up_8(torch.cat([self.enlarge(up_16), stride_8], 1))
        out_16 = self.down_16(torch.cat([self.shrink_8(out_8), up_16], 1))
        out_32 = self.down_32(torch.cat([self.shrink_16(out_16), stride_32], 1))
        return out_8, out_16, out_32
