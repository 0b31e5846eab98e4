"""Float16 in the graph, where float16 is enough.

Float convolutions take and give float16, with what stands behind them up to the next Q/DQ. In
float32 stay the last convolutions and the decoding, because half precision has steps of half a
pixel at 640, and everything between Q/DQ: there TensorRT computes in int8, and float16 would only
change the scales (tensorrt-rtx turns those of convolutions back into float32, and says so).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import ExportError
from erpose_edge.exporters.onnx_graph import Graph, data_inputs

if TYPE_CHECKING:
    import onnx

_LARGEST = float(np.finfo(np.float16).max)


def with_half_precision(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes of ``model`` with float16 and Casts; the model gets new constants.

    Args:
        model: Float or Q/DQ graph; its nodes are changed.

    Raises:
        ExportError: A constant is too large for float16.
    """
    return _Rewriting(model).nodes


def last_stage(graph: Graph) -> set[str]:
    """Return the float convolutions that no other comes after, and all behind them.

    Returns:
        The first output of each node, which names it.
    """
    leading: set[str] = set()  # tensors that lead to a convolution
    for node in reversed(graph.model.graph.node):
        if node.op_type == "Conv" or leading.intersection(node.output):
            leading.update(node.input)
    return {
        node.output[0]
        for node in graph.model.graph.node
        if not leading.intersection(node.output) and not _is_int8(graph, node)
    }


def _is_int8(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type != "Conv":
        return False
    producer = graph.producers.get(node.input[1])
    return producer is not None and producer.op_type == "DequantizeLinear"


class _Rewriting:
    """One pass over one graph.

    Attributes:
        nodes: The new nodes.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._model = model
        self._graph = Graph(model)
        self._last = last_stage(self._graph)
        self._outputs = {tensor.name for tensor in model.graph.output}
        self._halves: set[str] = set()  # tensors that are float16
        self._converted: dict[str, str] = {}
        for node in model.graph.node:
            if self._wants_half(node):
                self._halve(node)
            else:
                for position, name in enumerate(node.input):
                    if name in self._halves:
                        node.input[position] = self._cast(name, "_float")
                self.nodes.append(node)

    def _wants_half(self, node: onnx.NodeProto) -> bool:
        if node.output[0] in self._last or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            return False
        if node.op_type == "Conv":
            return not _is_int8(self._graph, node)
        sources = [name for name in data_inputs(node) if name not in self._graph.constants]
        return bool(sources) and all(name in self._halves for name in sources if name)

    def _halve(self, node: onnx.NodeProto) -> None:
        for position, name in enumerate(data_inputs(node)):
            if name in self._graph.constants:
                node.input[position] = self._constant(name, node)
            elif name and name not in self._halves:
                node.input[position] = self._cast(name, "_half")
        self.nodes.append(node)
        for position, name in enumerate(node.output):
            self._halves.add(name)
            if name in self._outputs:  # who runs the network gets float32
                self._halves.add(f"{name}_half")
                node.output[position] = f"{name}_half"
                for user in self._graph.consumers[name]:
                    user.input[:] = [f"{name}_half" if n == name else n for n in user.input]
                self.nodes.append(_cast_node(f"{name}_half", name, "_float"))

    def _constant(self, name: str, node: onnx.NodeProto) -> str:
        from onnx import numpy_helper

        array = np.asarray(numpy_helper.to_array(self._graph.constants[name]))
        if array.dtype != np.float32:
            return name
        largest = float(np.abs(array).max(initial=0.0))
        if largest > _LARGEST:
            raise ExportError(
                f"tensorrt {node.name}: expected constants that float16 holds (up to "
                f"{_LARGEST:.0f}), got {largest:.4g}; export fp32"
            )
        if name not in self._converted:
            self._converted[name] = f"{name}_half"
            tensor = numpy_helper.from_array(array.astype(np.float16), f"{name}_half")
            self._model.graph.initializer.append(tensor)
        return self._converted[name]

    def _cast(self, name: str, suffix: str) -> str:
        if name not in self._converted:
            self._converted[name] = f"{name}{suffix}"
            self.nodes.append(_cast_node(name, self._converted[name], suffix))
        return self._converted[name]


def _cast_node(source: str, output: str, suffix: str) -> onnx.NodeProto:
    from onnx import TensorProto, helper

    to = TensorProto.FLOAT16 if suffix == "_half" else TensorProto.FLOAT
    return helper.make_node("Cast", [source], [output], f"{output}_cast", to=to)
