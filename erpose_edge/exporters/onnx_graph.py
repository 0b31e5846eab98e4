"""Look-ups and proofs in an ONNX graph that rewriting it needs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_ALWAYS_POSITIVE = ("Relu", "Sigmoid")
# The output is never negative if no input is.
_SIGN_KEEPING = ("Slice", "Add", "QuantizeLinear", "DequantizeLinear", "Identity")
# These pick values: on integers of one scale they do the same.
_PICKING = ("Concat", "MaxPool", "Resize", "Split")
_FIRST_INPUT_ONLY = ("Split", "Slice", "QuantizeLinear", "DequantizeLinear", "Resize")


@dataclass
class Graph:
    """An ONNX graph with the look-ups that rewriting needs, as they were before the rewriting."""

    model: onnx.ModelProto
    known: dict[str, bool] = field(default_factory=dict)
    added: dict[str, str] = field(default_factory=dict)

    @cached_property
    def producers(self) -> dict[str, onnx.NodeProto]:
        """What makes each tensor."""
        return {out: node for node in self.model.graph.node for out in node.output}

    @cached_property
    def consumers(self) -> dict[str, list[onnx.NodeProto]]:
        """What reads each tensor."""
        found = defaultdict(list)
        for node in self.model.graph.node:
            for name in node.input:
                found[name].append(node)
        return found

    @cached_property
    def constants(self) -> dict[str, onnx.TensorProto]:
        """Initialisers by name."""
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    def value(self, name: str) -> float:
        """Return the number that the scalar constant ``name`` holds."""
        from onnx import numpy_helper

        return float(numpy_helper.to_array(self.constants[name]))

    def is_int8(self, name: str) -> bool:
        """Return whether the constant ``name`` is int8."""
        from onnx import TensorProto

        return bool(self.constants[name].data_type == TensorProto.INT8)

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
        if node.op_type not in _SIGN_KEEPING and not picks_values(node):
            return False
        return all(self.never_negative(name) for name in data_inputs(node))


def picks_values(node: onnx.NodeProto) -> bool:
    """Return whether ``node`` does the same to integers on one scale as to their values."""
    if node.op_type == "Resize":
        return all(a.s == b"nearest" for a in node.attribute if a.name == "mode")
    return node.op_type in _PICKING


def data_inputs(node: onnx.NodeProto) -> list[str]:
    """Return what ``node`` computes with, scales and sizes left out."""
    return list(node.input[:1] if node.op_type in _FIRST_INPUT_ONLY else node.input)


def replace_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Put ``nodes`` in the place of all of ``model``'s and check what comes out."""
    import onnx

    del model.graph.node[:]
    model.graph.node.extend(nodes)
    # Types recorded for the rewritten tensors no longer hold; every engine infers them itself.
    del model.graph.value_info[:]
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.checker.check_model(model, full_check=True)
