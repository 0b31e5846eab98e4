"""A backbone that starts from one that has learnt before, and one that learns no more.

MoveNet MultiPose's has learnt people. Its .tflite file holds convolutions with batch norm folded
in; they are read in the order of its graph, without lateral connections and heads. MoveNet
MultiPose is Apache-2.0. EfficientNet-Lite0's is read by `erpose_edge.training.efficientnet`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from erpose_edge.errors import RequestError, WeightsError
from erpose_edge.network.blocks import ConvBlock
from erpose_edge.network.mobile import MobileBackbone
from erpose_edge.network.pose_network import ERPose
from erpose_edge.training.efficientnet import start_from_efficientnet
from erpose_edge.training.loader import rgb_input
from erpose_edge.training.movenet import read_movenet
from erpose_edge.training.on_openvino import compile_model

if TYPE_CHECKING:
    from openvino import CompiledModel, Node

_Folded = tuple[Tensor, Tensor]  # weights (out, in, k, k) of a convolution, and its bias
_STARTS = {".tflite": "mobile", ".pth": "efficientnet-lite0"}  # file: backbone that it fills


def start_backbone(network: ERPose, path: Path, images: Callable[[], Tensor]) -> None:
    """Fill the backbone of ``network`` from a file of its kind.

    Args:
        network: Its backbone is filled and left in eval mode.
        path: ``training.backbone`` of the config.
        images: Called for RGB images (B, 3, H, W) in [0, 1], where the file needs some.

    Raises:
        RequestError: The file is for another backbone.
        WeightsError: The file is not what its name says.
        MissingExtraError: OpenVINO, which reads MoveNet, is not installed.
    """
    kind, backbone = path.suffix.lower(), network.backbone
    if kind not in _STARTS:
        raise RequestError(
            f"training.backbone {path}: expected MoveNet MultiPose as .tflite or "
            f"EfficientNet-Lite0 as .pth, got {kind or 'a name without an ending'}; "
            "weights files go to training.init"
        )
    if network.config.backbone != _STARTS[kind] or not isinstance(backbone, MobileBackbone):
        raise RequestError(
            f"training.backbone {path}: expected network.backbone to be {_STARTS[kind]} for a "
            f"{kind} file, got {network.config.backbone}; change one of the two"
        )
    if kind == ".pth":
        start_from_efficientnet(backbone, path)
    else:
        start_from_movenet(backbone, path, images())


def start_from_movenet(backbone: MobileBackbone, path: Path, images: Tensor) -> None:
    """Fill ``backbone`` with MoveNet MultiPose's convolutions.

    The file knows no batch norm, so its statistics are measured on ``images`` and its factors are
    set such that the network computes what the file's does: it can then be trained on.

    Args:
        backbone: Filled; left in eval mode.
        path: The ``.tflite`` file.
        images: RGB images (B, 3, H, W) in [0, 1], as training sees them.

    Raises:
        WeightsError: The file is not MoveNet MultiPose.
        MissingExtraError: OpenVINO, which reads the file, is not installed.
    """
    blocks = [m for m in backbone.modules() if isinstance(m, ConvBlock)]
    found = _matching(_convolutions(path), blocks, path)
    weight, bias = found[0]
    # The file expects [-1, 1]: 2 x - 1 goes into the first convolution.
    found[0] = (2 * weight, bias - weight.sum((1, 2, 3)))
    biases = {}
    with torch.no_grad():
        for block, (weight, bias) in zip(blocks, found, strict=True):
            block.conv.weight.copy_(weight)
            biases[block.norm] = bias
            nn.init.ones_(block.norm.weight)
            block.norm.bias.copy_(bias)
            block.norm.running_mean.zero_()  # type: ignore[union-attr]
            block.norm.running_var.fill_(1 - block.norm.eps)  # type: ignore[union-attr]
        backbone.eval()
        _measure_batch_norm(backbone, biases, images)


def _measure_batch_norm(
    backbone: nn.Module, biases: dict[nn.BatchNorm2d, Tensor], images: Tensor
) -> None:
    """Give batch norm the statistics of ``images`` without changing what the network computes."""
    seen: dict[nn.BatchNorm2d, tuple[Tensor, Tensor]] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)
        seen[norm] = (mean, variance)  # type: ignore[index]

    hooks = [norm.register_forward_pre_hook(note) for norm in biases]
    backbone(images)
    for hook in hooks:
        hook.remove()
    for norm, (mean, variance) in seen.items():
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(biases[norm] + mean)


def _matching(
    convolutions: Iterator[_Folded], blocks: list[ConvBlock], path: Path
) -> list[_Folded]:
    """Return the convolution of every block; those in between are lateral and left out."""
    found = []
    for number, block in enumerate(blocks):
        wanted = tuple(block.conv.weight.shape)
        for weight, bias in convolutions:
            if tuple(weight.shape) == wanted:
                found.append((weight, bias))
                break
        else:
            raise WeightsError(
                f"training.backbone {path}: expected MoveNet MultiPose, got a network without "
                f"convolution {number} of its backbone, of shape {wanted}"
            )
    return found


def _convolutions(path: Path) -> Iterator[_Folded]:
    """Yield weights and bias of every convolution, in the order of the graph."""
    model = read_movenet(path, "training.backbone")
    for node in model.get_ordered_ops():
        if node.get_type_name() not in ("Convolution", "GroupConvolution"):
            continue
        weight = _constant(node.input_value(1).get_node())
        if weight.ndim == 5:  # groups, out per group, in per group, k, k
            weight = weight.reshape(-1, *weight.shape[2:])
        add = next(iter(node.output(0).get_target_inputs())).get_node()
        bias = _constant(add.input_value(1).get_node()).reshape(-1)
        if bias.shape[:1] == weight.shape[:1]:
            yield torch.from_numpy(weight), torch.from_numpy(bias)


def _constant(node: Node) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return what a node computes from constants alone, such as weights stored as float16."""
    import openvino

    folded = openvino.compile_model(openvino.Model([node.output(0)], [], "constant"), "CPU")
    return np.array(folded([])[0], np.float32)


class FrozenBackbone:
    """A backbone that does not learn, on OpenVINO: on a CPU several times as fast as in torch.

    Args:
        backbone: Its weights as they are now.
        bf16: Compute in bfloat16, for processors that are fast at it.
    """

    def __init__(self, backbone: nn.Module, *, bf16: bool) -> None:
        self._backbone = backbone
        self._bf16 = bf16
        self._compiled: dict[tuple[int, ...], CompiledModel] = {}

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features at strides 8, 16, 32 of BGR uint8 images (B, H, W, 3)."""
        import openvino

        rgb = rgb_input(images)
        shape = tuple(rgb.shape)
        if shape not in self._compiled:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch about itself
                model = openvino.convert_model(torch.export.export(self._backbone, (rgb,)))
            self._compiled[shape] = compile_model(model, bf16=self._bf16)
        found = self._compiled[shape](rgb.contiguous().numpy())
        stride_8, stride_16, stride_32 = (
            torch.from_numpy(found[i]).contiguous(memory_format=torch.channels_last)
            for i in range(3)
        )
        return stride_8, stride_16, stride_32
