"""OpenVINO IR from the ONNX graph, and the proof that what should run in int8 does.

OpenVINO decides by itself in which precision it runs a layer and falls back to float in silence.
So the model is compiled on this machine and its execution graph read back.

Ref: https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/low-precision-transformations.html
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
    import openvino

    from erpose_edge.exporters.engine_export import EngineExport

PRECISIONS = ("fp32", "fp16", "int8")  # CPUs compute fp16 in float32 all the same
LAYOUT = "NCHW"
MODEL_XML = "model.xml"
MODEL_BIN = "model.bin"

# OpenVINO makes two layers of a convolution with bias; this is the first.
_CONVOLUTION_OF_TWO = "/WithoutBiases"


def model_files(export: EngineExport) -> dict[str, bytes]:
    """Return the IR by file name.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ExportError: OpenVINO does not take the graph, or runs in float what should be int8.
    """
    graph = spelled_for("openvino", export.graph, export.dialect("openvino"))
    files = convert(graph, half=export.precision == "fp16")
    if export.int8:
        require_int8("openvino", convolution_precisions(files), export.int8)
        require_clean("openvino", graph, export.policy)
    return files


def convert(model: onnx.ModelProto, *, half: bool) -> dict[str, bytes]:
    """Return the IR of ``model`` by file name.

    Args:
        model: Checked ONNX graph.
        half: Store float constants as float16; the CPU still computes in float32.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ExportError: OpenVINO does not take the graph.
    """
    ov = _openvino()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(serialize(model))
        try:
            converted = ov.Core().read_model(folder / "model.onnx")
            _name_by_position(converted, model)
            ov.save_model(converted, folder / MODEL_XML, compress_to_fp16=half)
        except RuntimeError as error:
            raise ExportError(
                f"openvino {ov.__version__}: expected to convert the graph, got: "
                f"{_last_line(error)}"
            ) from error
        return {name: (folder / name).read_bytes() for name in (MODEL_XML, MODEL_BIN)}


def convolution_precisions(files: dict[str, bytes]) -> dict[str, str]:
    """Compile an IR on this CPU and return in which type each convolution takes its data.

    Args:
        files: As `convert` returns them.

    Returns:
        ``f32``, ``i8``, ``u8``, ... by the names that the convolution had in the ONNX graph.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ExportError: The CPU plugin does not compile the model.
    """
    ov = _openvino()
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            (Path(name) / file).write_bytes(content)
        try:
            # As the runner compiles it: without the hint, CPUs with AMX compute float in bfloat16.
            compiled = ov.Core().compile_model(
                Path(name) / MODEL_XML, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
            )
        except RuntimeError as error:
            raise ExportError(
                f"openvino {ov.__version__}: expected to compile for this CPU, got: "
                f"{_last_line(error)}"
            ) from error
        return _read_precisions(compiled.get_runtime_model())


def _name_by_position(converted: openvino.Model, model: onnx.ModelProto) -> None:
    """Rename what has no name in ``model``: OpenVINO numbers it anew at every conversion."""
    named = {tensor.name for tensor in (*model.graph.input, *model.graph.initializer)}
    for node in model.graph.node:
        named |= {node.name, *node.output}
    for position, layer in enumerate(converted.get_ordered_ops()):
        if layer.get_friendly_name().removesuffix(_CONVOLUTION_OF_TWO) not in named:
            layer.set_friendly_name(f"{layer.get_type_name()}_{position}")


def _read_precisions(execution: openvino.Model) -> dict[str, str]:
    found: dict[str, str] = {}
    for layer in execution.get_ordered_ops():
        facts = layer.get_rt_info()
        if facts["layerType"].astype(str) != "Convolution":
            continue
        # A layer lists everything that was fused into it.
        for original in facts["originalLayersNames"].astype(str).split(","):
            name = original.removesuffix(_CONVOLUTION_OF_TWO)
            found[name] = facts["runtimePrecision"].astype(str)
    return found


def _last_line(error: RuntimeError) -> str:
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1]


def _openvino() -> ModuleType:
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "openvino: expected the package openvino, got none; "
            "run `pip install 'erpose-edge[openvino]'`"
        ) from error
    return openvino
