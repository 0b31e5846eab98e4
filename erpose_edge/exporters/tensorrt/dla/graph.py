"""The network for DLA: without Q/DQ, its tensors under the names that the scales have.

Weights are what quantization made of them, so the graph computes what the quantized network would
with activations in float. One thing is written otherwise: DLA slices in float16 only, so a
convolution whose output is split becomes one convolution for each part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import ExportError
from erpose_edge.exporters.onnx_graph import Graph, replace_nodes

if TYPE_CHECKING:
    import onnx

_POINTWISE = ("Relu", "Clip")


@dataclass(frozen=True)
class PlainNetwork:
    """A network without Q/DQ.

    Attributes:
        model: The graph.
        int8: Names of the convolutions whose weights were quantized.
        weight_scales: Of these, per output channel or one for all.
    """

    model: onnx.ModelProto
    int8: tuple[str, ...]
    weight_scales: dict[str, np.ndarray]


def without_quantizers(model: onnx.ModelProto) -> PlainNetwork:
    """Return ``model`` without Q/DQ.

    Args:
        model: As `graphs.flagged` returns it; left as it is.

    Raises:
        ExportError: An output of the network is a dequantized tensor.
    """
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = Graph(copy)
    alias: dict[str, str] = {}
    scale_of: dict[str, str] = {}
    int8: dict[str, np.ndarray] = {}
    nodes = []
    for node in copy.graph.node:
        source = alias.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            alias[node.output[0]] = source
            scale_of[node.output[0]] = node.input[1]
            continue
        if node.op_type == "Conv" and node.input[1] in scale_of:
            int8[node.name] = numpy_helper.to_array(graph.constants[scale_of[node.input[1]]])
        node.input[:] = [alias.get(name, name) for name in node.input]
        nodes.append(node)
    for output in copy.graph.output:
        if output.name in alias:
            raise ExportError(
                f"tensorrt dla: {output.name}: expected float outputs, got a quantized one; "
                "let the policy keep the last layers in float"
            )
    replace_nodes(copy, nodes)
    return PlainNetwork(copy, tuple(int8), int8)


def split_early(network: PlainNetwork) -> tuple[PlainNetwork, dict[str, str]]:
    """Return the network with a convolution for each part of an output that is split.

    Only where nothing else reads what is split, and nothing but an activation is in between.

    Args:
        network: Its model is changed.

    Returns:
        The network, and for each new tensor the one that it is a part of.
    """
    rewriting = _Splitting(network)
    int8, scales = [], {}
    for name in network.int8:
        parts = rewriting.parts.get(name, [])
        int8 += [part for part, _ in parts] or [name]
        whole = network.weight_scales[name]
        for part, (start, stop) in parts or [(name, (0, whole.size))]:
            scales[part] = whole[start:stop] if whole.ndim else whole
    replace_nodes(network.model, rewriting.nodes)
    return PlainNetwork(network.model, tuple(int8), scales), rewriting.part_of


class _Splitting:
    """One pass over one graph.

    Attributes:
        nodes: The new nodes, in order.
        part_of: Tensor that each new one is a part of.
        parts: New convolutions and their channels, by the old one.
    """

    def __init__(self, network: PlainNetwork) -> None:
        self.part_of: dict[str, str] = {}
        self.parts: dict[str, list[tuple[str, tuple[int, int]]]] = {}
        self._model = network.model
        self._graph = Graph(network.model)
        replaced: dict[str, list[onnx.NodeProto]] = {}  # by the name of the first of a chain
        dropped: set[str] = set()
        for node in network.model.graph.node:
            chain = self._chain(node)
            if chain:
                replaced[chain[0].name] = self._rewrite(chain, node)
                dropped.update(part.name for part in (*chain, node))
        self.nodes: list[onnx.NodeProto] = []
        for node in network.model.graph.node:
            if node.name in replaced:
                self.nodes += replaced[node.name]
            elif node.name not in dropped:
                self.nodes.append(node)

    def _chain(self, split: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return the convolution and the activations before ``split``; none if there is more."""
        axis = next((a.i for a in split.attribute if a.name == "axis"), 0)
        if split.op_type != "Split" or axis != 1:
            return []
        chain: list[onnx.NodeProto] = []
        name = split.input[0]
        while True:
            node = self._graph.producers.get(name)
            if node is None or len(self._graph.consumers[name]) != 1:
                return []
            chain.insert(0, node)
            if node.op_type == "Conv":
                groups = next((a.i for a in node.attribute if a.name == "group"), 1)
                return chain if groups == 1 else []
            if node.op_type not in _POINTWISE:
                return []
            name = node.input[0]

    def _rewrite(self, chain: list[onnx.NodeProto], split: onnx.NodeProto) -> list[onnx.NodeProto]:
        import onnx

        channels = self._graph.constants[chain[0].input[1]].dims[0]
        made, start = [], 0
        for part, size in enumerate(self._sizes(split, channels)):
            stop, source = start + size, ""
            for place, old in enumerate(chain):
                node = onnx.NodeProto()
                node.CopyFrom(old)
                node.name = f"{old.name}.{part}"
                if place:
                    node.input[0] = source
                else:
                    self.parts.setdefault(old.name, []).append((node.name, (start, stop)))
                    for position in range(1, len(old.input)):
                        node.input[position] = self._slice(old.input[position], part, start, stop)
                last = place == len(chain) - 1
                source = split.output[part] if last else f"{old.output[0]}.{part}"
                node.output[0] = source
                self.part_of[source] = old.output[0]
                made.append(node)
            start = stop
        return made

    def _sizes(self, split: onnx.NodeProto, channels: int) -> list[int]:
        from onnx import numpy_helper

        if len(split.input) > 1 and split.input[1]:
            return [int(n) for n in numpy_helper.to_array(self._graph.constants[split.input[1]])]
        return [channels // len(split.output)] * len(split.output)

    def _slice(self, name: str, part: int, start: int, stop: int) -> str:
        from onnx import numpy_helper

        array = numpy_helper.to_array(self._graph.constants[name])[start:stop]
        tensor = numpy_helper.from_array(np.ascontiguousarray(array), f"{name}.{part}")
        self._model.graph.initializer.append(tensor)
        return tensor.name
