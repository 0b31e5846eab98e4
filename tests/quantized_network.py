"""A quantized ER-Pose-n in a second: random weights, but batch norm that knows its inputs.

What it finds means nothing. Errors of rounding travel through it as through any network, only
further: a random network amplifies them, which makes agreement harder, not easier.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from erpose_edge.config import NetworkConfig
from erpose_edge.network.pose_network import ERPose
from erpose_edge.quantization.calibrate import calibrate
from erpose_edge.quantization.prepare import prepare
from erpose_edge.quantization.recipe import Policy, load_policy

INPUT_SIZE = (128, 128)


def smooth_images(count: int, seed: int, size: tuple[int, int] = INPUT_SIZE) -> torch.Tensor:
    """Return images (count, 3, H, W) in [0, 1] with the smoothness of photographs."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


def float_network(activation: str = "relu", seed: int = 0, **switches: Any) -> ERPose:
    """Return an ER-Pose-n whose batch norm has seen images.

    Args:
        activation: Of its blocks.
        seed: Of its weights.
        switches: ``backbone``, ``boxes``, ``one_to_one``, as in a config.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = NetworkConfig(scale="n", activation=activation, **switches)
        network = ERPose(config, 17).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        for batch in range(2):
            images = smooth_images(4, batch)
            network.head.forward_both(network.features(images))
    return network.eval()


def quantized_network(network: ERPose, policy: Policy | None = None) -> fx.GraphModule:
    """Return ``network`` calibrated on smooth images, fake-quantized."""
    prepared = prepare(network, policy or load_policy("default"))
    images = [smooth_images(1, 100 + i).numpy() for i in range(4)]
    calibrate(prepared, images, observer="mse", percentile=99.99)
    return prepared
