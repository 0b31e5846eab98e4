"""ONNX for TensorRT: what is built into an engine on the device, and how.

Engines are never shipped: they are good for one version and one board. The artifact holds the
graph in the spellings that the versions need, and the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from erpose_edge.errors import ExportError
from erpose_edge.exporters.lint.linter import require_clean
from erpose_edge.exporters.onnx import serialize
from erpose_edge.exporters.tensorrt.command import (
    BUILD_TEXT,
    decoding_layers,
    instructions,
    remaining_steps,
)
from erpose_edge.exporters.tensorrt.dialect import require_dialect
from erpose_edge.exporters.tensorrt.dla import DLA_TEXT, dla_files
from erpose_edge.exporters.tensorrt.graphs import flagged, typed
from erpose_edge.runtime.tensorrt.versions import MODEL_ONNX, TYPED_ONNX

if TYPE_CHECKING:
    from erpose_edge.exporters.engine_export import EngineExport

__all__ = ["LAYOUT", "PRECISIONS", "model_files", "remaining_steps"]

PRECISIONS = ("fp32", "fp16", "int8")
LAYOUT = "NCHW"


def model_files(export: EngineExport) -> dict[str, bytes]:
    """Return the graphs and the text that says how to build them, by file name.

    Raises:
        ExportError: The graph is not one that TensorRT reads as the policy means it.
        RequestError: DLA was asked for in float32.
    """
    dialect = export.dialect("tensorrt")
    if dialect is not None and dialect.not_negative != "int8":
        raise ExportError(
            f"tensorrt: policy.dialects.tensorrt.not_negative: expected int8, got "
            f"{dialect.not_negative}; TensorRT reads uint8 as int8"
        )
    model = flagged(export.graph)
    require_dialect(model, export.int8)
    if export.int8:
        require_clean("tensorrt", model, export.policy)
    files = {MODEL_ONNX: serialize(model)}
    if export.precision != "fp32":
        strong = typed(export.graph)
        require_dialect(strong, export.int8)
        files[TYPED_ONNX] = serialize(strong)
    text = instructions(export.precision, decoding_layers(model))
    if export.dla is not None:
        files.update(dla_files(model, export.precision, export.dla.max_transitions))
        text += DLA_TEXT
    return {**files, BUILD_TEXT: text.encode()}
