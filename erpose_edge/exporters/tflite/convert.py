"""From the network to a TFLite flatbuffer, by litert-torch.

The quantizers become `quantized_decomposed` operations with constant scales, which litert-torch
carries into the file as they are. Two forms matter, and neither is documented: weights have to be
float behind quantize and dequantize (int8 constants are refused), and only with a PT2E quantizer in
its settings does litert-torch make integer operations of the pairs instead of leaving them between
float ones.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.exporters.onnx import INPUT_NAME
from erpose_edge.exporters.stand_ins import with_stand_ins
from erpose_edge.network.decode import bins_to_boxes, offsets_to_pixels
from erpose_edge.network.plan import BOX_BINS
from erpose_edge.network.pose_network import DeployNetwork
from erpose_edge.quantization.fake_quantize import (
    ACTIVATION_LIMIT,
    ActivationQuantizer,
    QuantizedConv2d,
)

if TYPE_CHECKING:
    from erpose_edge.exporters.engine_export import EngineExport

_LOWEST, _HIGHEST = -ACTIVATION_LIMIT - 1, ACTIVATION_LIMIT


def convert(export: EngineExport) -> bytes:
    """Return the flatbuffer of the deployed network, input and all maps NHWC, outputs by name.

    Raises:
        MissingExtraError: litert-torch is not installed.
        ExportError: A quantizer has no range yet, or litert-torch does not take the network.
    """
    network = with_stand_ins(export.network, "tflite", _Quantizer, _Conv2d)
    deployed = ChannelsLast(network, export.contract, export.input_size, export.answers)
    images = torch.zeros(1, *export.input_size, 3)
    with _quiet():
        litert_torch, settings = _litert_torch(integers=bool(export.int8))
        try:
            return bytes(
                litert_torch.convert(
                    deployed.eval(),
                    sample_kwargs={INPUT_NAME: images},
                    quant_config=settings,
                ).model_content()
            )
        except (RuntimeError, ValueError) as error:
            line = next((s.strip() for s in str(error).splitlines() if s.strip()), repr(error))
            raise ExportError(
                f"tflite: expected litert-torch to convert the network, got: {line}; "
                "export another precision or contract"
            ) from error


class ChannelsLast(nn.Module):
    """A `DeployNetwork` that takes NHWC images and never leaves that layout.

    Level after level is rows of channels here, so that nothing is transposed, and whole rows are
    picked. A test holds it equal to `DeployNetwork`.
    """

    points: Tensor
    strides: Tensor

    def __init__(
        self, network: nn.Module, contract: str, input_size: tuple[int, int], max_poses: int
    ) -> None:
        super().__init__()
        twin = DeployNetwork(network, contract, input_size, max_poses)
        self.network = network
        self.contract, self.max_poses = contract, twin.max_poses
        self.output_names = twin.output_names
        self.register_buffer("points", twin.points, persistent=False)
        self.register_buffer("strides", twin.strides, persistent=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the outputs by name, which names them in the file, for images (1, H, W, 3).

        Maps of ``raw`` are (1, h, w, C); everything else is as `DeployNetwork` returns it.
        """
        levels = self.network(images.permute(0, 3, 1, 2))
        kinds = [[level.permute(0, 2, 3, 1) for level in kind] for kind in levels]
        if self.contract == "raw":
            found = [kind[i] for i in range(len(kinds[0])) for kind in kinds]
        else:
            found = self._decoded([torch.cat([m.flatten(1, 2) for m in k], 1) for k in kinds])
        return dict(zip(self.output_names, found, strict=True))

    def _decoded(self, kinds: list[Tensor]) -> list[Tensor]:
        """Return scores, keypoints and so on from rows (1, G, C) of scores, offsets and so on."""
        scores, points, strides = kinds[0].squeeze(2), self.points, self.strides
        others = kinds[1:]
        if self.contract == "compact":
            scores, best = scores.topk(self.max_poses, 1)
            rows = best.squeeze(0)
            others = [kind.index_select(1, rows) for kind in others]
            points, strides = points.index_select(0, rows), strides.index_select(0, rows)
        offsets, visibility, *bins = others
        offsets = offsets.reshape(1, offsets.shape[1], -1, 2)
        decoded = [
            scores.sigmoid(),
            offsets_to_pixels(offsets, points, strides),
            visibility.sigmoid(),
        ]
        for kind in bins:
            sides = kind.reshape(1, kind.shape[1], 4, BOX_BINS)
            decoded.append(bins_to_boxes(sides, points, strides))
        return decoded


class _Quantizer(nn.Module):
    """Stands for an `ActivationQuantizer`."""

    def __init__(self, quantizer: ActivationQuantizer) -> None:
        super().__init__()
        self.scale = float(quantizer.scale)

    def forward(self, x: Tensor) -> Tensor:
        grid = (self.scale, 0, _LOWEST, _HIGHEST, torch.int8)
        operations = torch.ops.quantized_decomposed
        return operations.dequantize_per_tensor(operations.quantize_per_tensor(x, *grid), *grid)


class _Conv2d(nn.Module):
    """Stands for a `QuantizedConv2d`."""

    weight: Tensor
    scale: Tensor
    zero_point: Tensor

    def __init__(self, conv: QuantizedConv2d) -> None:
        super().__init__()
        scale = conv.weight_scale()
        # On the grid already, so that whoever rounds next cannot take the other neighbour.
        on_grid = conv.integer_weight() * scale[:, None, None, None]
        self.register_buffer("weight", on_grid)
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros(conv.out_channels, dtype=torch.int64))
        self.bias = conv.bias
        self.stride, self.padding, self.groups = conv.stride, conv.padding, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        # The format's narrow range, whatever the limit of the weights: the scales say the rest.
        grid = (self.scale, self.zero_point, 0, -_HIGHEST, _HIGHEST, torch.int8)
        operations = torch.ops.quantized_decomposed
        integers = operations.quantize_per_channel(self.weight, *grid)
        weight = operations.dequantize_per_channel(integers, *grid)
        return functional.conv2d(
            x, weight, self.bias, self.stride, self.padding, groups=self.groups
        )


def _litert_torch(*, integers: bool):  # noqa: ANN202 - a module and its settings, both untyped
    try:
        import litert_torch
        from litert_torch.quantize.pt2e_quantizer import (
            PT2EQuantizer,
            get_symmetric_quantization_config,
        )
        from litert_torch.quantize.quant_config import QuantConfig
        from torch.ao.quantization.fx import _decomposed
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"tflite export: expected the package {error.name}, got none; "
            "run `pip install 'erpose-edge[tflite-export]'`"
        ) from error
    del _decomposed  # its import registers the operations
    if not integers:
        return litert_torch, None
    rule = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
    return litert_torch, QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(rule))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what litert-torch and the compiler below it tell of their work from the terminal."""
    before = os.environ.get("LITERT_TORCH_SHOW_PROGRESS")
    os.environ["LITERT_TORCH_SHOW_PROGRESS"] = "n"
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), _native_stderr_elsewhere():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        if before is None:
            del os.environ["LITERT_TORCH_SHOW_PROGRESS"]
        else:
            os.environ["LITERT_TORCH_SHOW_PROGRESS"] = before


@contextmanager
def _native_stderr_elsewhere() -> Iterator[None]:
    # The compiler writes to file descriptor 2 itself.
    kept = os.dup(2)
    with tempfile.TemporaryDirectory() as folder:
        log = os.open(Path(folder) / "log", os.O_WRONLY | os.O_CREAT)
        try:
            os.dup2(log, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(log)
