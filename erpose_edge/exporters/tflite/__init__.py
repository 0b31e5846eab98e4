"""TFLite for phones and ARM boards: the flatbuffer, its proof, and what an app has to know of it.

Input and outputs are float32 in every precision: only what lies between them is int8 or has float16
weights. Maps are NHWC inside and out, as the format wants them.
"""

from __future__ import annotations

from erpose_edge.exporters.engine_export import EngineExport
from erpose_edge.exporters.lint.linter import require_clean
from erpose_edge.exporters.read_back import require_int8
from erpose_edge.exporters.tflite.check import (
    check_float,
    check_islands,
    check_scales,
    convolution_precisions,
)
from erpose_edge.exporters.tflite.convert import convert
from erpose_edge.exporters.tflite.graph import read_operations
from erpose_edge.exporters.tflite.half import with_half_weights
from erpose_edge.exporters.tflite.sidecar import SIDECAR_NAME, sidecar

PRECISIONS = ("int8", "fp16", "fp32")
LAYOUT = "NHWC"
MODEL_TFLITE = "model.tflite"


def model_files(export: EngineExport) -> dict[str, bytes]:
    """Return the flatbuffer and its side-car by file name.

    Raises:
        MissingExtraError: A package of the ``tflite-export`` extra is missing.
        ExportError: litert-torch does not take the network; or a convolution that the policy makes
            int8 is not, has another scale than the network, or lies beside a float island.
    """
    content = convert(export)
    operations = read_operations(content)
    if export.int8:
        require_clean("tflite", export.graph, export.policy)
        precisions = convolution_precisions(operations, export.network)
        require_int8("tflite", precisions, export.int8)
        check_scales(operations, export.network)
        check_float(operations, export.network)
        allowed = export.policy.max_extra_conversions if export.policy else 0
        check_islands(operations, export.network, allowed)
    elif export.precision == "fp16":
        content = with_half_weights(content)
        operations = read_operations(content)
    return {MODEL_TFLITE: content, SIDECAR_NAME: sidecar(export, operations)}
