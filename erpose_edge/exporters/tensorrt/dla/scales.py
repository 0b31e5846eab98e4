"""One scale for each tensor of the network without Q/DQ, as implicit int8 wants them.

A scale is known where a QuantizeLinear stood. It holds for the neighbours of layers that change no
scale as well: what only picks values keeps it, and an activation that is computed with the
convolution before it has no other. Where none is known, TensorRT computes in float16.

Ref: https://github.com/NVIDIA/Deep-Learning-Accelerator-SW/tree/main/tools/qdq-translator (which
    carries scales through the same kinds of layers)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import ExportError
from erpose_edge.exporters.onnx_graph import Graph, data_inputs, picks_values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import onnx

_KEEPING = ("Relu", "Clip", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity")
# Computed in float16 on DLA whatever the scales are.
# Ref: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/dla-layer-restrictions.html
_FLOAT16_ONLY = ("Split", "Slice", "Sigmoid", "Tanh", "Softmax", "Reshape", "Transpose")


def quantizer_scales(model: onnx.ModelProto) -> dict[str, float]:
    """Return the scale of every tensor that is quantized.

    Args:
        model: With Q/DQ, as `graphs.flagged` returns it.

    Raises:
        ExportError: One is quantized twice, with different scales.
    """
    from onnx import numpy_helper

    graph = Graph(model)
    alias: dict[str, str] = {}
    scales: dict[str, float] = {}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        name = alias.get(node.input[0], node.input[0])
        alias[node.output[0]] = name
        if node.op_type == "DequantizeLinear" or name in graph.constants:
            continue
        scale = float(np.float32(numpy_helper.to_array(graph.constants[node.input[1]])))
        if scales.setdefault(name, scale) != scale:
            raise ExportError(
                f"tensorrt dla: {name}: expected one scale, got {scales[name]:.6g} and "
                f"{scale:.6g}; DLA has one for each tensor: mend the policy"
            )
    return scales


def spread_scales(model: onnx.ModelProto, scales: Mapping[str, float]) -> dict[str, float]:
    """Return ``scales`` and those that follow from them, in the order of the graph.

    Args:
        model: Without Q/DQ.
        scales: As `quantizer_scales` returns them.
    """
    graph = Graph(model)
    known = dict(scales)
    keeping = [node for node in model.graph.node if _keeps_scale(node)]
    before = -1
    while before != len(known):
        before = len(known)
        for node in (*keeping, *reversed(keeping)):
            inputs = [name for name in data_inputs(node) if name not in graph.constants]
            if node.op_type in _KEEPING:
                inputs = inputs[:1]
            both = [*inputs, *node.output]
            found = {known[name] for name in both if name in known}
            # A Concat of tensors on several scales has none of its own.
            full = all(name in known for name in inputs)
            if len(found) == 1 and (full or any(name in known for name in node.output)):
                known.update(dict.fromkeys(both, found.pop()))
    tensors = [info.name for info in model.graph.input]
    tensors += [name for node in model.graph.node for name in node.output]
    return {name: known[name] for name in tensors if name in known}


def half_layers(
    model: onnx.ModelProto, scales: Mapping[str, float], int8: Collection[str]
) -> dict[str, str]:
    """Return every layer that has to run in float16, and why, in the order of the graph.

    Args:
        model: Without Q/DQ.
        scales: As `spread_scales` returns them.
        int8: Names of the convolutions whose weights are int8.
    """
    graph = Graph(model)
    found: dict[str, str] = {}
    for node in model.graph.node:
        inputs = [n for n in data_inputs(node) if n and n not in graph.constants]
        missing = [n for n in (*inputs, *node.output) if n not in scales]
        if node.op_type == "Conv" and node.name not in int8:
            found[node.name] = "float by the policy"
        elif node.op_type in _FLOAT16_ONLY:
            found[node.name] = f"{node.op_type} is float16 on DLA"
        elif missing:
            found[node.name] = f"{missing[0]} has no scale"
        elif node.op_type == "Concat" and len({scales[n] for n in (*inputs, *node.output)}) > 1:
            found[node.name] = "its inputs have several scales"
    return found


def _keeps_scale(node: onnx.NodeProto) -> bool:
    return node.op_type in _KEEPING or picks_values(node)
