"""Shapes of all tensors of a graph, also where the graph computes them from one another.

Exporters write sizes as Shape, Gather, Div and so on, which ONNX's inference follows only a part of
the way. What is missing is computed here, and inference run again with it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

# Dimensions that the graph leaves open, for the shares of multiply-accumulates.
_BATCH, _SIDE = 1, 320
_LARGE = 64  # constants with more elements travel to shape inference by shape alone
_ROUNDS = 24  # a round follows one chain of sizes to its end; deep networks have one in each block
_ARITHMETIC = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.floor_divide,
}  # fmt: skip

Shapes = dict[str, tuple[int, ...]]


def infer_shapes(
    model: onnx.ModelProto,
    nodes: list[onnx.NodeProto],
    inputs: list[str],
    constants: dict[str, NDArray[Any] | None],
) -> Shapes:
    """Return the shapes that can be told.

    Args:
        model: Whose inputs, outputs and initialisers; left as it is.
        nodes: In its place of the model's own.
        inputs: Names of what the graph is given.
        constants: Values of constants, None where they are not in the file.
    """
    import onnx

    bare = _without_weights(model, nodes, inputs)
    known = {n: v for n, v in constants.items() if v is not None and v.size <= _LARGE}
    shapes: Shapes = {}
    for _ in range(_ROUNDS):
        try:
            graph = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
            graph = bare.graph
        shapes = _read(graph)
        if not _compute_sizes(bare.graph, shapes, known):
            break
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return shapes | {n: v.shape for n, v in constants.items() if v is not None}


def _without_weights(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], inputs: list[str]
) -> onnx.ModelProto:
    """Return a copy with weights as inputs and open dimensions closed."""
    import onnx
    from onnx import helper

    graph = onnx.GraphProto()
    graph.name = "shapes"
    graph.node.extend(nodes)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _LARGE and tensor.data_location != tensor.EXTERNAL:
            graph.initializer.append(tensor)
        else:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(info)
    graph.input.extend(_closed(info) for info in model.graph.input if info.name in inputs)
    for output in model.graph.output:
        made = graph.output.add()
        made.name = output.name
        made.type.tensor_type.elem_type = output.type.tensor_type.elem_type
    known = {i.domain: i for i in model.opset_import}
    return helper.make_model(
        graph, opset_imports=list(known.values()), ir_version=model.ir_version or 8
    )


def _closed(info: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    import onnx

    copy = onnx.ValueInfoProto()
    copy.CopyFrom(info)
    if copy.type.tensor_type.HasField("shape"):
        for position, dim in enumerate(copy.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value") or dim.dim_value <= 0:
                dim.dim_value = _SIDE if position else _BATCH
    return copy


def _read(graph: onnx.GraphProto) -> Shapes:
    shapes = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        if info.type.tensor_type.HasField("shape"):
            dims = info.type.tensor_type.shape.dim
            if all(d.HasField("dim_value") for d in dims):
                shapes[info.name] = tuple(d.dim_value for d in dims)
    return shapes


def _compute_sizes(graph: onnx.GraphProto, shapes: Shapes, known: dict[str, NDArray[Any]]) -> bool:
    """Replace nodes that compute sizes by what they give; return whether there were any."""
    from onnx import numpy_helper

    kept, found = [], False
    for node in graph.node:
        size = _size(node, shapes, known) if len(node.output) == 1 else None
        if size is None:
            kept.append(node)
            continue
        found = True
        known[node.output[0]] = size
        graph.initializer.append(numpy_helper.from_array(size, node.output[0]))
    if found:
        del graph.node[:]
        graph.node.extend(kept)
    return found


def _size(
    node: onnx.NodeProto, shapes: Shapes, known: dict[str, NDArray[Any]]
) -> NDArray[Any] | None:
    """Return what ``node`` gives if it computes with whole numbers that are known."""
    if node.op_type == "Shape" and not node.attribute:
        shape = shapes.get(next(iter(node.input), ""))
        return None if shape is None else np.array(shape, np.int64)
    taken = [known.get(name) for name in node.input]
    values = [v for v in taken if v is not None and v.dtype.kind == "i"]
    if not values or len(values) < len(taken):
        return None
    if node.op_type in _ARITHMETIC and len(values) == 2:
        zero = node.op_type == "Div" and not np.all(values[1])
        return None if zero else np.asarray(_ARITHMETIC[node.op_type](*values))
    if node.op_type == "Gather" and values[0].ndim == 1 and values[1].ndim <= 1:
        inside = np.all(np.abs(values[1]) < len(values[0]))
        return np.asarray(values[0][values[1]]) if inside else None
    if node.op_type == "Unsqueeze" and values[0].ndim == 0:
        return values[0].reshape(1)
    if node.op_type == "Concat" and all(v.ndim == 1 for v in values):
        return np.concatenate(values)
    return None
