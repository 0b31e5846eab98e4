"""The two spellings of a graph that TensorRT reads; its scales are the same in both.

*Flagged*, for TensorRT 8.5 to 10.x, where the builder chooses types as its flags FP16 and INT8
allow: float32 and Q/DQ. Weights are float32 behind QuantizeLinear and DequantizeLinear: NVIDIA's
guide to 8.x wants weights of Q/DQ networks in float32, and 10.x takes them as well.

*Typed*, for TensorRT 11, where every tensor has the type that the graph gives it: with float16
where that is enough, and int8 weights behind DequantizeLinear.

Both are in opset 17, the last that 8.5 and 8.6 read; 11 reads opsets 9 to 24.

Ref: https://github.com/onnx/onnx-tensorrt/blob/release/8.5-GA/docs/operators.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import ExportError
from erpose_edge.exporters.onnx_graph import Graph, replace_nodes
from erpose_edge.exporters.tensorrt.half import with_half_precision

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8
# What opset 18 added to operations that are otherwise those of 17, and the value that means the
# same as leaving it out. The checker refuses everything else that 17 does not have.
_SINCE_18: dict[str, dict[str, int | bytes | None]] = {
    "Resize": {"antialias": 0, "keep_aspect_ratio_policy": b"stretch"},
    "Split": {"num_outputs": None},
}


def flagged(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` for builders with precision flags (TensorRT 8.5 to 10.x).

    Args:
        model: As `export_onnx` returns it; left as it is.

    Raises:
        ExportError: It has something that opset 17 cannot say.
    """
    copy = _in_opset_17(model)
    graph = Graph(copy)
    nodes: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in graph.constants:
            nodes.append(_float_weights(graph, node))
        nodes.append(node)
    return _checked(copy, nodes)


def typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` for strongly typed networks (TensorRT 11), with float16 in it.

    Args:
        model: As `export_onnx` returns it; left as it is.

    Raises:
        ExportError: It has something that opset 17 cannot say, or a constant that float16 cannot
            hold.
    """
    copy = _in_opset_17(model)
    return _checked(copy, with_half_precision(copy))


def _in_opset_17(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx
    from onnx import helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        _as_in_17(node)
    del copy.opset_import[:]
    copy.opset_import.append(helper.make_opsetid("", OPSET))
    copy.ir_version = IR_VERSION
    return copy


def _checked(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    import onnx

    try:
        replace_nodes(model, nodes)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"tensorrt: expected a graph of ONNX opset {OPSET}, got: "
            f"{str(error).strip().splitlines()[0]}; build the network without it"
        ) from error
    return model


def _as_in_17(node: onnx.NodeProto) -> None:
    from onnx import helper

    new = _SINCE_18.get(node.op_type, {})
    kept = []
    for attribute in node.attribute:
        if attribute.name not in new:
            kept.append(attribute)
            continue
        value, same = helper.get_attribute_value(attribute), new[attribute.name]
        # Split: without sizes both versions make equal parts, one for each output.
        if value != (len(node.output) if same is None else same):
            raise ExportError(
                f"tensorrt {node.name}: {attribute.name}: expected what opset {OPSET} can say, "
                f"got {value!r}; build the network without it"
            )
    del node.attribute[:]
    node.attribute.extend(kept)


def _float_weights(graph: Graph, dequantize: onnx.NodeProto) -> onnx.NodeProto:
    """Make ``dequantize`` read what it read from a QuantizeLinear of float weights; return that."""
    from onnx import helper, numpy_helper

    name, scale_name, zero_point = dequantize.input
    integers = numpy_helper.to_array(graph.constants[name])
    scale = numpy_helper.to_array(graph.constants[scale_name])
    axis = next((a.i for a in dequantize.attribute if a.name == "axis"), 1)
    shape = [-1 if place == axis else 1 for place in range(integers.ndim)]
    values = integers.astype(np.float32) * (scale.reshape(shape) if scale.ndim else scale)
    graph.constants[name].CopyFrom(numpy_helper.from_array(values, name))
    dequantize.input[0] = f"{name}_quantized"
    return helper.make_node(
        "QuantizeLinear",
        [name, scale_name, zero_point],
        [dequantize.input[0]],
        f"{dequantize.name}_quantize",
        axis=axis,
    )
