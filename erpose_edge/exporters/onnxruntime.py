"""ONNX for ONNX Runtime, and the proof that it runs in int8 what should.

ONNX Runtime decides when it loads a graph, and falls back to float in silence. So the graph is
loaded on this machine, and the one that ONNX Runtime has made of it read back.

Ref: https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.exporters.dialect import spelled_for
from erpose_edge.exporters.lint.linter import require_clean
from erpose_edge.exporters.onnx import serialize
from erpose_edge.exporters.read_back import require_int8

if TYPE_CHECKING:
    import onnx

    from erpose_edge.exporters.engine_export import EngineExport

PRECISIONS = ("fp32", "int8")
LAYOUT = "NCHW"
MODEL_ONNX = "model.onnx"

_QLINEAR_ZERO_POINT, _QLINEAR_WEIGHT = 2, 3  # inputs of a QLinearConv
_ERRORS_ONLY = 3


def model_files(export: EngineExport) -> dict[str, bytes]:
    """Return the ONNX file by name.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ExportError: ONNX Runtime does not take the graph, or runs in float what should be int8.
    """
    graph = spelled_for("onnxruntime", export.graph, export.dialect("onnxruntime"))
    if export.int8:
        require_int8("onnxruntime", convolution_precisions(graph), export.int8)
        require_clean("onnxruntime", graph, export.policy)
    return {MODEL_ONNX: serialize(graph)}


def convolution_precisions(model: onnx.ModelProto) -> dict[str, str]:
    """Load ``model`` on this CPU and return in which type each convolution takes its data.

    Args:
        model: Q/DQ graph.

    Returns:
        ``f32``, ``i8`` or ``u8`` by the names that the convolutions have in ``model``.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ExportError: ONNX Runtime does not take the graph.
    """
    # Convolutions are renamed, but keep the name of their int8 weights.
    sources = {node.output[0]: node.input[0] for node in model.graph.node if node.input}
    weights, found = {}, {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            weights[sources.get(node.input[1], node.input[1])] = node.name
            found[node.name] = "f32"
    loaded = loaded_graph(model).graph
    types = {tensor.name: tensor.data_type for tensor in loaded.initializer}
    for node in loaded.node:
        if node.op_type == "QLinearConv" and node.input[_QLINEAR_WEIGHT] in weights:
            signed = types.get(node.input[_QLINEAR_ZERO_POINT]) == _int8()
            found[weights[node.input[_QLINEAR_WEIGHT]]] = "i8" if signed else "u8"
    return found


def loaded_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return what ONNX Runtime makes of ``model`` on this CPU.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ExportError: ONNX Runtime does not take the graph.
    """
    import onnx

    ort = _onnxruntime()
    from erpose_edge.runtime.onnx_runner import REFUSALS

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "loaded.onnx")
        options.log_severity_level = _ERRORS_ONLY
        try:
            ort.InferenceSession(serialize(model), options, providers=["CPUExecutionProvider"])
        except REFUSALS as error:
            raise ExportError(
                f"onnxruntime {ort.__version__}: expected to load the graph, got: "
                f"{str(error).splitlines()[0]}"
            ) from error
        return onnx.load(options.optimized_model_filepath)


def _int8() -> int:
    import onnx

    return int(onnx.TensorProto.INT8)


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "onnxruntime: expected the package onnxruntime, got none; "
            "run `pip install 'erpose-edge[ort]'`"
        ) from error
    return onnxruntime
