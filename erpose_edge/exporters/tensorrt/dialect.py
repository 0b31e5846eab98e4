"""What TensorRT asks of a Q/DQ graph, and the proof that a graph keeps to it.

TensorRT's own parser lets some of it pass: uint8 is read as int8 with a warning, which moves every
value above 127; tensors on unequal scales are requantized, or computed in float, in silence.

Ref: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/quantized-types-explicit-quantization.html
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import ExportError
from erpose_edge.exporters.onnx_graph import Graph, data_inputs, picks_values

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
_MEETINGS = ("Concat", "Add")
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One place where a graph is not in TensorRT's dialect.

    Attributes:
        node: Name of the node.
        rule: What is expected, in a few words; the same for every place.
        got: What is there.
    """

    node: str
    rule: str
    got: str

    def __str__(self) -> str:
        return f"{self.node}: expected {self.rule}, got {self.got}"


def find_violations(model: onnx.ModelProto) -> list[Finding]:
    """Return every place where ``model`` is not in TensorRT's dialect, in the order of the graph.

    Args:
        model: Any ONNX graph; one without Q/DQ can only have operations of the wrong domain.
    """
    graph = _Quantized(model)
    found: list[Finding] = []
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            what = f"{node.domain}:{node.op_type}"
            found.append(Finding(node.name, "an operation of ONNX itself, no plugin", what))
        elif node.op_type in _QUANTIZERS:
            found += graph.grid_of(node)
        elif node.op_type == "Conv":
            found += graph.convolution(node)
        elif node.op_type in _MEETINGS:
            found += graph.meeting(node)
    return found


def require_dialect(model: onnx.ModelProto, int8: Collection[str]) -> None:
    """Check that ``model`` is in TensorRT's dialect and that what should be int8 is.

    Args:
        model: Q/DQ graph.
        int8: Names of the convolutions that the policy makes int8.

    Raises:
        ExportError: It is not; the message names the first node.
    """
    found = find_violations(model)
    graph = _Quantized(model)
    convolutions = {node.name: node for node in model.graph.node if node.op_type == "Conv"}
    for name in int8:
        node = convolutions.get(name)
        if node is None or not (graph.scale_of(node.input[0]) and graph.scale_of(node.input[1])):
            got = "no such convolution" if node is None else "a float input"
            found.append(Finding(name, "int8 data and weights as the policy says", got))
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ExportError(f"tensorrt: {found[0]}{more}; mend the policy or the network")


class _Quantized:
    """A Q/DQ graph and what can be looked up in it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = Graph(model)

    def grid_of(self, node: onnx.NodeProto) -> list[Finding]:
        """Check scale and zero point of a QuantizeLinear or DequantizeLinear."""
        found: list[Finding] = []
        zero = self.array(node.input[2]) if len(node.input) > 2 else None
        scale = self.array(node.input[1])
        if zero is None:
            # Without one ONNX means uint8, and TensorRT 8.5 asks for all three inputs.
            return [Finding(node.name, "a constant zero point of type int8", "none")]
        if zero.dtype != np.int8:
            found.append(Finding(node.name, "int8", zero.dtype.name))
        if np.any(zero != 0):
            found.append(Finding(node.name, "zero point 0", str(zero[zero != 0].flat[0])))
        if scale is None or not np.all(np.isfinite(scale) & (scale > 0)):
            found.append(
                Finding(node.name, "constant scales above 0", _shown(scale, "one computed"))
            )
        elif scale.size != zero.size:
            rule = "a zero point for each scale"
            found.append(Finding(node.name, rule, f"{zero.size} for {scale.size}"))
        source = self.array(node.input[0])
        if node.op_type == "DequantizeLinear" and source is not None and source.dtype != np.int8:
            rule = "weights of type int8 and float biases"
            found.append(Finding(node.name, rule, source.dtype.name))
        if source is None and not self.is_weight(node) and scale is not None and scale.size != 1:
            found.append(Finding(node.name, "one scale for activations", f"{scale.size}"))
        return found

    def convolution(self, node: onnx.NodeProto) -> list[Finding]:
        """Check that int8 weights meet int8 data and have a scale per output channel.

        Float weights behind int8 data are a choice: such a convolution is float on purpose.
        """
        data, weight = self.scale_of(node.input[0]), self.scale_of(node.input[1])
        if weight is None:
            return []
        if data is None:
            return [Finding(node.name, "int8 data for int8 weights", "float data")]
        dequantize = self.graph.producers[node.input[1]]
        axis = next((a.i for a in dequantize.attribute if a.name == "axis"), 1)
        scales = self.array(weight)
        if scales is None or scales.size == 1 or axis != 0:
            rule = "weights with one scale per output channel (axis 0)"
            return [Finding(node.name, rule, f"{_shown(scales, '?')} on axis {axis}")]
        return []

    def meeting(self, node: onnx.NodeProto) -> list[Finding]:
        """Check that what meets in a Concat or Add is on one scale, or nothing of it quantized."""
        names = [name for name in node.input if name not in self.graph.constants]
        scales = [self.scale_of(name) for name in names]
        given = [scale for scale in scales if scale is not None]
        if not given:
            return []
        if len(given) < len(scales):
            got = f"{len(given)} of {len(scales)} inputs quantized"
            return [Finding(node.name, "all inputs quantized or none", got)]
        arrays = [self.array(scale) for scale in given]
        values = sorted({float(array.flat[0]) for array in arrays if array is not None})
        if len(values) > 1:
            got = " and ".join(f"{value:.6g}" for value in values)
            return [Finding(node.name, "one scale for all inputs", got)]
        return []

    def scale_of(self, name: str) -> str | None:
        """Return the scale of a float tensor that comes from a DequantizeLinear, by its name."""
        node = self.graph.producers.get(name)
        while node is not None and picks_values(node) and len(set(data_inputs(node))) == 1:
            node = self.graph.producers.get(data_inputs(node)[0])
        if node is None:
            return None
        if node.op_type == "DequantizeLinear":
            return str(node.input[1])
        if node.op_type == "Concat":
            inner = {self.scale_of(name) for name in node.input}
            return inner.pop() if len(inner) == 1 else None
        return None

    def is_weight(self, node: onnx.NodeProto) -> bool:
        """Return whether ``node`` is the second of a weight's QuantizeLinear and Dequantize."""
        producer = self.graph.producers.get(node.input[0])
        return producer is not None and producer.input[0] in self.graph.constants

    def array(self, name: str) -> NDArray[Any] | None:
        """Return the constant called ``name``; None if it is not one."""
        from onnx import numpy_helper

        tensor = self.graph.constants.get(name)
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))


def _shown(array: NDArray[Any] | None, missing: str) -> str:
    if array is None:
        return missing
    if array.size > _SHOWN:
        return f"{array.size} values from {array.min():.3g}"
    return ", ".join(f"{value:.3g}" for value in array.flat)
