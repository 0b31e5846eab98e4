"""Spell a Q/DQ graph the way an engine runs it best; scales and values stay what they are.

CPUs with AVX2 but without VNNI add pairs of products of an unsigned activation and a signed weight
in 16 bits. A signed activation is moved by 128 for that, so that two products overflow, silently
and by far more than the noise of quantization. An activation that is never negative avoids the
move as uint8 with zero point 0, and keeps below the overflow as long as it stays at 127 or less,
which a Clip in front makes sure of.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import ExportError
from erpose_edge.quantization.fake_quantize import ACTIVATION_LIMIT

if TYPE_CHECKING:
    import onnx

_ALWAYS_POSITIVE = ("Relu", "Sigmoid")
# The output is never negative if no input is.
_SIGN_KEEPING = (
    "MaxPool", "Concat", "Split", "Slice", "Add", "QuantizeLinear", "DequantizeLinear", "Identity",
)  # fmt: skip
_FIRST_INPUT_ONLY = ("Split", "Slice", "QuantizeLinear", "DequantizeLinear", "Resize")


@dataclass
class _Graph:
    """An ONNX graph with the look-ups that rewriting needs."""

    model: onnx.ModelProto
    known: dict[str, bool] = field(default_factory=dict)
    added: dict[str, str] = field(default_factory=dict)

    @cached_property
    def producers(self) -> dict[str, onnx.NodeProto]:
        return {out: node for node in self.model.graph.node for out in node.output}

    @cached_property
    def consumers(self) -> dict[str, list[onnx.NodeProto]]:
        found = defaultdict(list)
        for node in self.model.graph.node:
            for name in node.input:
                found[name].append(node)
        return found

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    def value(self, name: str) -> float:
        from onnx import numpy_helper

        return float(numpy_helper.to_array(self.constants[name]))

    def add_constant(self, name: str, value: np.generic) -> str:
        """Add a scalar, once for each ``name``, and return what it is called in the graph."""
        from onnx import numpy_helper

        if name not in self.added:
            free = name
            while free in self.constants:
                free += "_"
            tensor = numpy_helper.from_array(np.asarray(value), free)
            self.model.graph.initializer.append(tensor)
            self.constants[free] = tensor
            self.added[name] = free
        return self.added[name]

    def never_negative(self, name: str) -> bool:
        """Return whether the graph alone proves that no value of ``name`` is below 0."""
        if name not in self.known:
            self.known[name] = False
            self.known[name] = self._proof(name)
        return self.known[name]

    def _proof(self, name: str) -> bool:
        node = self.producers.get(name)
        if node is None:
            return False
        if node.op_type in _ALWAYS_POSITIVE:
            return True
        if node.op_type == "Clip":
            low = node.input[1] if len(node.input) > 1 else ""
            return low in self.constants and self.value(low) >= 0
        if node.op_type == "Resize":
            mode = next((a.s for a in node.attribute if a.name == "mode"), b"nearest")
            return mode == b"nearest" and self.never_negative(node.input[0])
        if node.op_type not in _SIGN_KEEPING:
            return False
        inputs = node.input[:1] if node.op_type in _FIRST_INPUT_ONLY else node.input
        return all(self.never_negative(name) for name in inputs)


def not_negative_as_uint8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with activations that are never negative as uint8 0..127, zero point 0.

    Args:
        model: As `export_onnx` returns it; left as it is.

    Raises:
        ExportError: A QuantizeLinear has another zero point than 0.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = _Graph(copy)
    zero_point = graph.add_constant("zero_point_uint8", np.uint8(0))
    # Every proof before the first change: the look-ups do not follow the rewriting.
    not_negative = {
        node.output[0]
        for node in copy.graph.node
        if node.op_type == "QuantizeLinear" and graph.never_negative(node.input[0])
    }
    nodes: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        if node.op_type == "QuantizeLinear" and graph.value(node.input[2]) != 0:
            raise ExportError(
                f"onnx {node.name}: zero point: expected 0, got {graph.value(node.input[2])}"
            )
        if node.op_type == "QuantizeLinear" and node.output[0] in not_negative:
            nodes += _cut_at_limit(graph, node)
            node.input[2] = zero_point
            for reader in graph.consumers[node.output[0]]:
                reader.input[2] = zero_point
        nodes.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    # Types recorded for the rewritten tensors no longer hold; every engine infers them itself.
    del copy.graph.value_info[:]
    _drop_unused_constants(copy)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _cut_at_limit(graph: _Graph, quantize: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Keep values at or below 127 steps in front of ``quantize``; return the nodes to insert."""
    from onnx import helper

    source, scale = quantize.input[0], quantize.input[1]
    limit = np.float32(ACTIVATION_LIMIT) * np.float32(graph.value(scale))
    low = graph.add_constant("zero", np.float32(0))
    producer = graph.producers[source]
    if producer.op_type in ("Relu", "Clip") and len(graph.consumers[source]) == 1:
        if producer.op_type == "Clip" and len(producer.input) > 2:
            limit = min(limit, np.float32(graph.value(producer.input[2])))
        high = graph.add_constant(f"{source}_limit", limit)
        producer.op_type = "Clip"
        producer.input[:] = [producer.input[0], low, high]
        return []
    high = graph.add_constant(f"{scale}_limit", limit)
    clip = helper.make_node("Clip", [source, low, high], [f"{source}_cut"], f"{source}_cut")
    quantize.input[0] = clip.output[0]
    return [clip]


def _drop_unused_constants(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
