"""Faults to plant in a real exported graph, each the smallest change that makes it."""

from __future__ import annotations

import functools

import numpy as np
import onnx
from onnx import helper, numpy_helper
from quantized_network import float_network, quantized_network

from erpose_edge.exporters.onnx import export_onnx
from erpose_edge.quantization.recipe import Policy, load_policy

POLICIES = {"csp": "default", "mobile": "default"}
SIZE = (64, 64)
SIGNED = np.int8(0)  # the zero point of our own graphs


def policy_of(backbone: str) -> Policy:
    return load_policy(POLICIES[backbone])


@functools.cache
def network(backbone: str):
    switches = {} if backbone == "csp" else {"backbone": backbone}
    return quantized_network(float_network(**switches), policy_of(backbone))


@functools.cache
def exported(backbone: str, contract: str) -> onnx.ModelProto:
    """Return the Q/DQ graph; callers copy it before they change it."""
    return export_onnx(network(backbone), contract, SIZE, 10)


class Edit:
    """A copy of a graph that can be changed, ``model``."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        del self.model.graph.value_info[:]

    @property
    def nodes(self):
        return self.model.graph.node

    def named(self, name: str) -> onnx.NodeProto:
        return next(node for node in self.nodes if node.name == name)

    def of_kind(self, kind: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if node.op_type == kind]

    def producer(self, tensor: str) -> onnx.NodeProto:
        return next(node for node in self.nodes if tensor in node.output)

    def consumers(self, tensor: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if tensor in node.input]

    def value(self, tensor: str) -> np.ndarray:
        held = next(t for t in self.model.graph.initializer if t.name == tensor)
        return numpy_helper.to_array(held)

    def constant(self, value: np.ndarray | np.generic) -> str:
        name = f"planted_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def insert(self, tensor: str, kind: str, *more: str, before=None, **attributes) -> str:
        """Put a node between ``tensor`` and those who read it (or ``before`` alone)."""
        name = f"planted_{kind}_{len(self.nodes)}"
        node = helper.make_node(kind, [tensor, *more], [f"{name}_out"], name, **attributes)
        readers = self.consumers(tensor) if before is None else [before]
        self._redirect(readers, tensor, node.output[0])
        place = next((i for i, n in enumerate(self.nodes) if tensor in n.output), -1) + 1
        self.nodes.insert(place, node)
        return node.output[0]

    def insert_pair(self, tensor: str, scale: float, before=None, zero=SIGNED) -> str:
        """Quantize ``tensor``; return the name of the QuantizeLinear."""
        grid = (self.constant(np.float32(scale)), self.constant(zero))
        if before is None and tensor in [o.name for o in self.model.graph.output]:
            producer = self.producer(tensor)
            position = list(producer.output).index(tensor)
            producer.output[position] = f"{tensor}_bare"
            quantized, name = f"{tensor}_planted", f"planted_q_{len(self.nodes)}"
            self.nodes.extend([
                helper.make_node("QuantizeLinear", [f"{tensor}_bare", *grid], [quantized], name),
                helper.make_node("DequantizeLinear", [quantized, *grid], [tensor]),
            ])  # fmt: skip
            return name
        quantized = self.insert(tensor, "QuantizeLinear", *grid, before=before)
        self.insert(quantized, "DequantizeLinear", *grid, before=before)
        return self.producer(quantized).name

    def bypass(self, tensor: str, before: onnx.NodeProto) -> str:
        """Let ``before`` read what stands in front of the Q/DQ that make ``tensor``."""
        quantize = self.producer(self.producer(tensor).input[0])
        self._redirect([before], tensor, quantize.input[0])
        return quantize.input[0]

    def own_grid(self, quantize: onnx.NodeProto, scale: float, zero=SIGNED) -> None:
        """Give a quantizer, and those who read it, a grid of their own."""
        grid = (self.constant(np.float32(scale)), self.constant(zero))
        for node in (quantize, *self.consumers(quantize.output[0])):
            node.input[1:] = grid

    @staticmethod
    def _redirect(nodes, old: str, new: str) -> None:
        for node in nodes:
            for position, name in enumerate(node.input):
                if name == old:
                    node.input[position] = new
