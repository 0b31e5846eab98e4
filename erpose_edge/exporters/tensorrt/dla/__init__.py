"""What an artifact needs for DLA, the accelerator of Orin NX, AGX Orin and Xavier.

Before TensorRT 11 that is a graph without Q/DQ and one scale for each tensor; since 11.4.1 DLA
reads the same Q/DQ graph as the GPU. The rest tells where layers should run and what they cost, so
that the board can say what became of it. Nothing here was run on a board.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from erpose_edge.errors import RequestError
from erpose_edge.exporters.onnx import serialize
from erpose_edge.exporters.tensorrt.dla.graph import split_early, without_quantizers
from erpose_edge.exporters.tensorrt.dla.layers import dla_layers
from erpose_edge.exporters.tensorrt.dla.scales import (
    half_layers,
    quantizer_scales,
    spread_scales,
)
from erpose_edge.exporters.tensorrt.dla.weights import weight_moves
from erpose_edge.runtime.tensorrt.dla import DLA_ONNX, DLA_PLAN, DlaPlan
from erpose_edge.runtime.tensorrt.versions import MODEL_ONNX

if TYPE_CHECKING:
    import onnx

__all__ = ["DLA_TEXT", "dla_files"]

DLA_TEXT = """
For DLA (TensorRT 8.5 to 10.7, or 11.4.1 and later), where the module has it:

    PYTHONPATH=ARTIFACT/runtime.zip python3 -m erpose_edge.runtime.tensorrt.build ARTIFACT \\
        --dla-core 0

It builds `model_dla.onnx` with the scales of `dla.json`, says which layers DLA took, and refuses an
engine that changes between GPU and DLA too often. The calibration cache for NVIDIA's own program,
of its very version:

    PYTHONPATH=ARTIFACT/runtime.zip python3 -m erpose_edge.runtime.tensorrt.calibration ARTIFACT \\
        --tensorrt 10.3.0
"""


def dla_files(
    model: onnx.ModelProto, precision: str, max_transitions: int | None
) -> dict[str, bytes]:
    """Return what an artifact for TensorRT needs for DLA as well, by file name.

    Args:
        model: The graph for builders with precision flags, as `graphs.flagged` returns it.
        precision: ``fp16`` or ``int8``.
        max_transitions: More changes between GPU and DLA are refused on the board; None: none are.

    Raises:
        RequestError: It is float32, which DLA does not compute.
        ExportError: A tensor has two scales, or no static shape.
    """
    if precision == "fp32":
        raise RequestError(
            "dla: expected fp16 or int8, got fp32; DLA does not compute in float32: leave --dla out"
        )
    network = without_quantizers(model)
    if precision == "fp16":
        plan = DlaPlan(MODEL_ONNX, {}, (), dla_layers(network.model), max_transitions, {})
        return {DLA_PLAN: plan.to_bytes()}
    whole = spread_scales(network.model, quantizer_scales(model))
    network, part_of = split_early(network)
    parts = {part: whole[tensor] for part, tensor in part_of.items() if tensor in whole}
    scales = spread_scales(network.model, {**whole, **parts})
    half = tuple(half_layers(network.model, scales, network.int8))
    layers, moves = dla_layers(network.model), weight_moves(network).to_json()
    plan = DlaPlan(DLA_ONNX, scales, half, layers, max_transitions, moves)
    return {DLA_ONNX: serialize(network.model), DLA_PLAN: plan.to_bytes()}
