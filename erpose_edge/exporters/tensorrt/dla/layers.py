"""What DLA takes and what it leaves to the GPU, by NVIDIA's list of layers and their limits.

A prediction: the builder decides, and it knows limits of memory that no list has. Rules that differ
between versions are those of TensorRT 8.5 to 10.3, the strictest.

Ref: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/dla-layer-restrictions.html,
    https://github.com/NVIDIA/Deep-Learning-Accelerator-SW/tree/main/operators (ONNX operators on
    Orin), and IResizeLayer in the documentation of TensorRT's Python interface
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import ExportError
from erpose_edge.exporters.onnx_graph import Graph, data_inputs
from erpose_edge.exporters.tensorrt.half import last_stage
from erpose_edge.runtime.tensorrt.dla import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx

_MOST_IMAGES, _LARGEST_SIDE = 4096, 8192
_NEAREST = (
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
)
_PLAIN = ("Relu", "Sigmoid", "Tanh", "Abs", "BatchNormalization")
DECODING = "decoding stays float32, which DLA does not have"


class _Node:
    """A node with everything that a rule asks of it."""

    def __init__(
        self, node: onnx.NodeProto, graph: Graph, shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        from onnx import helper

        self.node, self.graph = node, graph
        self.settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.inputs = [n for n in data_inputs(node) if n and n not in graph.constants]
        self.shapes = {n: shapes[n] for n in (*self.inputs, *node.output)}

    def get(self, name: str, default: Any) -> Any:  # noqa: ANN401 - an attribute's value
        value = self.settings.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def constant(self, position: int) -> np.ndarray | None:
        from onnx import numpy_helper

        name = self.node.input[position] if position < len(self.node.input) else ""
        if name not in self.graph.constants:
            return None
        return np.asarray(numpy_helper.to_array(self.graph.constants[name]))

    def within(self, name: str, default: list[int], low: int, high: int) -> bool:
        return all(low <= value <= high for value in self.get(name, default))


def dla_layers(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """Return every layer, its multiply-accumulates, and why it is expected on the GPU if it is.

    Args:
        model: Without Q/DQ, in static shapes.

    Raises:
        ExportError: A shape is not known.
    """
    graph, shapes = Graph(model), _shapes(model)
    last = last_stage(graph)
    places: dict[str, int] = {}
    found: list[Layer] = []
    for node in model.graph.node:
        missing = [n for n in (*data_inputs(node), *node.output) if n and n not in shapes]
        if missing:
            raise ExportError(
                f"tensorrt dla: {missing[0]}: expected a shape that is known, got none; DLA has "
                "static shapes only"
            )
        decodes = node.op_type != "Conv" and node.output[0] in last
        reason = DECODING if decodes else why_not(node, graph, shapes)
        sources = sorted({places[name] for name in node.input if name in places})
        macs = _macs(node, graph, shapes)
        places.update(dict.fromkeys(node.output, len(found)))
        found.append(Layer(node.name, node.op_type, macs, tuple(sources), reason))
    return tuple(found)


def why_not(
    node: onnx.NodeProto, graph: Graph, shapes: Mapping[str, tuple[int, ...]]
) -> str | None:
    """Return why DLA does not take a layer; None if nothing speaks against it.

    Args:
        node: Of ``graph``.
        graph: Without Q/DQ.
        shapes: Of all tensors.
    """
    rule = _RULES.get(node.op_type)
    if node.op_type not in _PLAIN and rule is None:
        return f"DLA has no {node.op_type}"
    asked = _Node(node, graph, shapes)
    for name, shape in asked.shapes.items():
        if len(shape) != 4:
            return f"{name} has {len(shape)} dimensions, DLA takes 4"
        if shape[0] > _MOST_IMAGES or max(shape[1:]) > _LARGEST_SIDE:
            return f"{name} is {shape}, larger than DLA takes"
    return None if rule is None else rule(asked)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    values = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    for value in values:
        sizes = value.type.tensor_type.shape.dim
        if all(size.dim_value > 0 for size in sizes):
            shapes[value.name] = tuple(size.dim_value for size in sizes)
    return shapes


def _macs(node: onnx.NodeProto, graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> int:
    if node.op_type != "Conv":
        return 0
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _convolution(node: _Node) -> str | None:
    weight = node.constant(1)
    if weight is None:
        return "its weights are computed"
    kernel = weight.shape[2:]
    pads = node.get("pads", [0] * 4)
    if not all(1 <= size <= 32 for size in kernel):
        return f"kernel {kernel[0]}x{kernel[1]}, DLA takes 1 to 32"
    if not node.within("strides", [1], 1, 8):
        return f"strides {node.get('strides', [])}, DLA takes 1 to 8"
    if not node.within("dilations", [1], 1, 32):
        return f"dilations {node.get('dilations', [])}, DLA takes 1 to 32"
    if not all(
        0 <= pad <= 31 and pad < size for pad, size in zip(pads, (*kernel,) * 2, strict=True)
    ):
        return f"pads {list(pads)}, DLA takes 0 to 31 and less than the kernel"
    return None


def _pooling(node: _Node) -> str | None:
    for name, default, low, high in (
        ("kernel_shape", [1], 1, 8), ("pads", [0], 0, 7), ("strides", [1], 1, 16),
        ("dilations", [1], 1, 1), ("ceil_mode", 0, 0, 0),
    ):  # fmt: skip
        value = node.get(name, default)
        values = value if isinstance(value, (list, tuple)) else [value]
        if not all(low <= number <= high for number in values):
            return f"{name} {value}, DLA takes {low} to {high}"
    return None


def _clip(node: _Node) -> str | None:
    low, high = node.constant(1), node.constant(2)
    if low is None or high is None or float(low) != 0 or not 1 <= float(high) <= 127:
        return "DLA clips from 0 to between 1 and 127"
    return None


def _leaky(node: _Node) -> str | None:
    return "a negative slope" if node.get("alpha", 0.01) < 0 else None


def _elementwise(node: _Node) -> str | None:
    shapes = [node.shapes[name] for name in node.inputs]
    if len(shapes) == 1:  # with a constant: a scale of each channel, or of all
        other = next(c for c in map(node.constant, (0, 1)) if c is not None)
        per_channel = (shapes[0][1], 1, 1)
        fits = other.size == 1 or other.shape[-3:] == per_channel
        return None if fits else "a constant that is not one number for each channel"
    return None if len(set(shapes)) == 1 else "inputs of different shapes"


def _concatenation(node: _Node) -> str | None:
    if node.get("axis", 0) not in (1, -3):
        return "DLA concatenates channels only"
    return None if len(node.inputs) >= 2 else "a single input"


def _slicing(node: _Node) -> str | None:
    return "DLA slices channels and sides only" if node.get("axis", 0) % 4 == 0 else None


def _resize(node: _Node) -> str | None:
    mode = node.get("mode", "nearest")
    how = node.get("coordinate_transformation_mode", "half_pixel")
    rounding = node.get("nearest_mode", "round_prefer_floor")
    if mode == "nearest":
        fits = (how, rounding) in _NEAREST
    else:
        fits = mode == "linear" and how == "half_pixel"
    if not fits:
        return f"Resize {mode} {how} {rounding}"
    before, after = node.shapes[node.inputs[0]], node.shapes[node.node.output[0]]
    most = 32 if mode == "nearest" else 4
    whole = all(b % a == 0 and 1 <= b // a <= most for a, b in zip(before, after, strict=True))
    if not whole or before[:2] != after[:2]:
        return f"Resize from {before} to {after}, DLA enlarges sides by 1 to {most}"
    return None


def _deconvolution(node: _Node) -> str | None:
    weight = node.constant(1)
    plain = node.get("group", 1) == 1 and node.within("dilations", [1], 1, 1)
    if weight is None or not plain or any(node.get("pads", [0])):
        return "DLA takes ConvTranspose without groups, dilations and pads"
    if not all(1 <= size <= 32 for size in weight.shape[2:]):
        return f"kernel {weight.shape[2]}x{weight.shape[3]}, DLA takes 1 to 32"
    return None


def _softmax(node: _Node) -> str | None:
    return "only Orin's DLA has Softmax, in float16"


_RULES: dict[str, Callable[[_Node], str | None]] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "Add": _elementwise,
    "Sub": _elementwise,
    "Mul": _elementwise,
    "Max": _elementwise,
    "Concat": _concatenation,
    "Split": _slicing,
    "Slice": lambda node: None,
    "Resize": _resize,
    "Softmax": _softmax,
    "Reshape": lambda node: None,
    "Transpose": lambda node: None,
}
