"""A network as `ERPose` returns it, but shallow: every kind of layer, and exports in seconds."""

from __future__ import annotations

import torch
from quantized_network import smooth_images
from torch import nn

from erpose_edge.network.blocks import ConvBlock, CspBlock, PoolPyramid
from erpose_edge.quantization.recipe import load_policy

SIZE = (96, 128)


class Shallow(nn.Module):
    """Every kind of layer of an `ERPose`, and not more of them than that takes."""

    def __init__(self, activation="relu"):
        super().__init__()

        def block(c_in, c_out, kernel=1, stride=1, groups=1):
            return ConvBlock(c_in, c_out, kernel, stride, groups, activation=activation)

        self.stem = block(3, 16, 3, 2)
        self.stride_8 = nn.Sequential(block(16, 16, 3, 2), block(16, 32, 3, 2))
        self.split = CspBlock(32, 32, 2, residual=True, activation=activation)
        self.stride_16 = nn.Sequential(block(32, 32, 3, 2), PoolPyramid(32, activation=activation))
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.join = block(64, 32, 3)
        self.stride_32 = nn.Sequential(block(32, 32, 3, 2), block(32, 32, 3, groups=32))
        self.heads = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(32, c, 1) for _ in range(3)) for c in (1, 34, 17)
        )

    def forward(self, images):
        fine = self.split(self.stride_8(self.stem(images)))
        middle = self.stride_16(fine)
        fine = self.join(torch.cat([self.enlarge(middle), fine], 1))
        levels = [fine, middle, self.stride_32(middle)]
        return tuple([h(x) for h, x in zip(kind, levels, strict=True)] for kind in self.heads)


def shallow_policy():
    """Return the default policy under the names of `Shallow`."""
    return load_policy("default").model_copy(update={"keep_float": ["stem", "heads.*"]})


def shallow(activation="relu"):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Shallow(activation).train()
        for kind, scale in zip(network.heads, (1.0, 0.3, 1.0), strict=True):
            for head in kind:
                nn.init.normal_(head.weight, std=scale)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        network(smooth_images(8, 0, SIZE))
    return network.eval()
