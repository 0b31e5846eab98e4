"""What OpenVINO runs: its runtime graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from erpose_edge.validate.placement import CONVOLUTION, INT8, UNKNOWN, PlacedLayer, with_missing

if TYPE_CHECKING:
    from erpose_edge.runtime.artifact import Artifact

_PRECISIONS = {
    "f32": "fp32",
    "f16": "fp16",
    "bf16": "bf16",
    "f64": "fp64",
    "i8": INT8,
    "u8": INT8,
    "i16": "int16",
    "u16": "int16",
    "i32": "int32",
    "u32": "int32",
    "i64": "int64",
    "u64": "int64",
    "boolean": "bool",
}
_NOT_RUN = ("Const", "Input", "Output")
# Between a convolution and its constant weights.
_STEPS = ("Convert", "Multiply", "Subtract", "Reshape", "FakeQuantize", "Transpose")
_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_OF_TWO = "/WithoutBiases"  # what the converter adds to the name of a convolution with a bias


def read_placement(runner: Any, artifact: Artifact) -> list[PlacedLayer]:  # noqa: ANN401
    """Return the layers of the compiled model; see `placement_of`."""
    asked = _int8_convolutions(str(artifact.file(".xml", ".onnx")))
    found: list[PlacedLayer] = []
    for layer in runner.compiled.get_runtime_model().get_ordered_ops():
        facts = layer.get_rt_info()
        kind = facts["layerType"].astype(str)
        if kind in _NOT_RUN:
            continue
        precision = _PRECISIONS.get(facts["runtimePrecision"].astype(str), UNKNOWN)
        if kind != "Convolution":
            found.append(PlacedLayer(layer.get_friendly_name(), kind, precision, "cpu"))
            continue
        # A layer lists all that was fused into it: one convolution, or two.
        fused = [_plain(name) for name in facts["originalLayersNames"].astype(str).split(",")]
        names = dict.fromkeys(name for name in fused if name in asked) or fused[:1]
        for name in names:
            how = INT8 if asked.get(name) else None
            found.append(PlacedLayer(name, CONVOLUTION, precision, "cpu", how))
    return with_missing(found, [name for name, int8 in asked.items() if int8], "cpu")


def _int8_convolutions(path: str) -> dict[str, bool]:
    """Return whether each convolution of the file has int8 weights, by name."""
    import openvino as ov

    found = {}
    for layer in ov.Core().read_model(path).get_ordered_ops():
        if layer.get_type_name() in _CONVOLUTIONS:
            weights = layer.input_value(1).get_node()
            while weights.get_type_name() in _STEPS:
                weights = weights.input_value(0).get_node()
            kind = weights.get_element_type().get_type_name()
            found[_plain(layer.get_friendly_name())] = kind in ("i8", "u8")
    return found


def _plain(name: str) -> str:
    return name[: -len(_OF_TWO)] if name.endswith(_OF_TWO) else name
