"""An ONNX graph as the linter reads it: nodes, constants, shapes, multiply-accumulates.

Nothing here trusts the graph: names may be missing, shapes unknown, weights in another file.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.exporters.lint.operators import COMPUTE, as_qdq, data_inputs, picks
from erpose_edge.exporters.lint.shapes import infer_shapes

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Node:
    """One node.

    Attributes:
        proto: As ONNX has it; of integer operators, the float operator.
        label: Its name, or its first output where it has none.
        inputs: Names of the values that it computes with.
        picks: Whether it gives values that it was given, and no others.
    """

    proto: onnx.NodeProto
    label: str
    inputs: tuple[str, ...]
    picks: bool

    @property
    def op(self) -> str:
        """Name of the operator."""
        return str(self.proto.op_type)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it gives."""
        return tuple(name for name in self.proto.output if name)

    def input(self, position: int) -> str:
        """Return the name of an input, empty if there is none."""
        return str(self.proto.input[position]) if position < len(self.proto.input) else ""

    def attribute(self, name: str, default: Any) -> Any:  # noqa: ANN401 - whatever it holds
        """Return the value of an attribute."""
        from onnx import helper

        found = (a for a in self.proto.attribute if a.name == name)
        return next((helper.get_attribute_value(a) for a in found), default)


class LintGraph:
    """Look-ups in a graph.

    Attributes:
        model: What was read; left as it is.
        nodes: In the order of the file, integer operators as Q/DQ.
        inputs: Names of what the graph is given.
        outputs: Names of what it gives.
        constants: Values of constants, None where they are not in the file.
        fixed: Names of everything that does not depend on the graph's inputs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = [
            Node(p, p.name or next(iter(p.output), p.op_type), tuple(data_inputs(p)), picks(p))
            for p in as_qdq(list(model.graph.node))
        ]
        held = {tensor.name for tensor in model.graph.initializer}
        self.inputs = [i.name for i in model.graph.input if i.name not in held]
        self.outputs = [output.name for output in model.graph.output]
        self.constants: dict[str, NDArray[Any] | None] = {
            tensor.name: _array(tensor) for tensor in model.graph.initializer
        }
        self.fixed = set(self.constants)
        for node in self.nodes:
            self._read_constant(node)

    def _read_constant(self, node: Node) -> None:
        names = [name for name in node.proto.input if name]
        subgraphs = any(a.HasField("g") or a.graphs for a in node.proto.attribute)
        if subgraphs or not all(name in self.fixed for name in names):
            if node.op in ("Shape", "Size"):
                self.fixed.update(node.outputs)
            return
        self.fixed.update(node.outputs)
        if node.op == "Constant" and node.outputs:
            self.constants[node.outputs[0]] = _attribute_value(node)
        elif node.op == "Identity" and node.outputs:
            self.constants[node.outputs[0]] = self.constants.get(node.input(0))

    @cached_property
    def producers(self) -> dict[str, Node]:
        """What makes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs}

    @cached_property
    def consumers(self) -> dict[str, list[Node]]:
        """What computes with each tensor."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of tensors, as far as they can be inferred."""
        return infer_shapes(
            self.model, [node.proto for node in self.nodes], self.inputs, self.constants
        )

    def size(self, name: str) -> int:
        """Return how many elements the tensor ``name`` has, 0 if nobody knows."""
        return math.prod(self.shapes[name]) if name in self.shapes else 0

    @cached_property
    def macs(self) -> dict[Node, int]:
        """Multiply-accumulates of every convolution and matrix product, 0 if nobody knows."""
        return {
            node: self._macs(node)
            for node in self.nodes
            if node.op in COMPUTE and not self.fixed.issuperset(node.outputs)
        }

    def _macs(self, node: Node) -> int:
        data, weight = (self.shapes.get(node.input(position), ()) for position in (0, 1))
        if node.op.startswith("Conv"):
            base = node.input(0) if node.op == "ConvTranspose" else next(iter(node.outputs), "")
            return self.size(base) * math.prod(weight[1:]) if len(weight) > 1 else 0
        transposed = node.op == "Gemm" and node.attribute("transA", 0)
        inner = data[0 if transposed else -1] if data else 0
        return self.size(next(iter(node.outputs), "")) * inner

    def learned(self, node: Node) -> bool:
        """Return whether ``node`` multiplies with weights that were learned.

        The convolution that turns the distribution of a distance into its mean has weights
        0, 1, 2, ... and belongs to decoding.
        """
        if node.op not in COMPUTE or node.input(1) not in self.fixed:
            return False
        weight = self.weight(node)
        if weight is None or node.op != "Conv" or weight.dtype.kind not in "iuf":
            return True
        if weight.ndim < 2 or weight.shape[0] != 1 or weight.size < 2:
            return True
        steps = weight.ravel().astype(np.float64)
        ramp = np.arange(steps.size) * (steps[-1] / (steps.size - 1))
        return not np.allclose(steps, ramp, rtol=0, atol=abs(steps[-1]) / steps.size / 2)

    def weight(self, node: Node) -> NDArray[Any] | None:
        """Return the weights of ``node`` as they are stored, integers if they are quantized."""
        name = node.input(1)
        for _ in range(len(self.nodes)):
            if name in self.constants:
                return self.constants[name]
            if name not in self.producers:
                return None
            name = self.producers[name].input(0)
        return None


def _array(tensor: onnx.TensorProto) -> NDArray[Any] | None:
    from onnx import numpy_helper

    if tensor.data_location == tensor.EXTERNAL:
        return None
    try:
        value = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError):
        return None  # fewer bytes than the shape says, or a type that numpy does not have
    return value if value.dtype.kind in "biuf" else None


def _attribute_value(node: Node) -> NDArray[Any] | None:
    for attribute in node.proto.attribute:
        if attribute.name == "value":
            return _array(attribute.t)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(node.attribute(attribute.name, 0), np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(node.attribute(attribute.name, 0), np.int64)
    return None
