"""Spell a Q/DQ graph the way an engine runs it best; scales and values stay what they are.

CPUs with AVX2 but without VNNI add pairs of products of an unsigned activation and a signed weight
in 16 bits. A signed activation is moved by 128 for that, so that two products overflow, silently
and by far more than the noise of quantization. An activation that is never negative avoids the
move as uint8 with zero point 0, and keeps below the overflow as long as it stays at 127 or less,
which a Clip makes sure of.

OpenVINO gets that Clip in float, in place of the Relu. ONNX Runtime would fuse it with the
convolution before it looks for Q/DQ, and compute both in float: it gets the Clip on integers, right
behind QuantizeLinear, and no float operation between two convolutions. It also wants one integer
type at both ends of a convolution, and uint8 on x86: tensors that can be negative (bottlenecks
without activation) are uint8 with zero point 128 there. They need 7-bit weights without VNNI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import ExportError
from erpose_edge.exporters.onnx_graph import Graph, data_inputs, picks_values, replace_nodes
from erpose_edge.quantization.fake_quantize import ACTIVATION_LIMIT

if TYPE_CHECKING:
    import onnx

    from erpose_edge.quantization.recipe import Dialect

# They run a convolution in int8 only if it has Q/DQ, and nothing else, at both ends.
_ENGINES_OF_INTEGERS = ("onnxruntime",)
_MIDDLE = 128  # zero point of a symmetric range in uint8


def spelled_for(engine: str, model: onnx.ModelProto, dialect: Dialect | None) -> onnx.ModelProto:
    """Return ``model`` as ``engine`` runs it in int8; its values stay the same.

    Args:
        engine: Name as in profiles.
        model: Q/DQ graph as `export_onnx` returns it; left as it is.
        dialect: What the policy says of the engine; None if nothing.

    Raises:
        ExportError: A QuantizeLinear has another zero point than 0.
    """
    integers = engine in _ENGINES_OF_INTEGERS
    if dialect is not None and dialect.not_negative == "uint8":
        model = not_negative_as_uint8(model, cut_integers=integers)
        if integers:
            model = signed_as_uint8(model)
    return with_integers_picked(model) if integers else model


def signed_as_uint8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with int8 activations as uint8, zero point 128; their values stay the same.

    Where one of them is behind a Relu, as it shares its scale with one that is not, the Relu is cut
    on the integers.

    Args:
        model: Q/DQ graph with zero points 0; left as it is.
    """
    import onnx
    from onnx import helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = Graph(copy)
    middle = graph.add_constant("zero_point_middle", np.uint8(_MIDDLE))
    dropped: set[str] = set()  # what they gave
    nodes: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        nodes.append(node)
        # Weights have no QuantizeLinear and stay int8.
        if node.op_type != "QuantizeLinear" or not graph.is_int8(node.input[2]):
            continue
        for user in (node, *graph.consumers[node.output[0]]):
            user.input[2] = middle
        producer = graph.producers.get(node.input[0])
        if producer is None or not _cuts_at_zero(graph, producer):
            continue
        dropped.add(producer.output[0])
        limit = _MIDDLE + _limit_in_steps(graph, producer, node)
        high = graph.add_constant(f"limit_{limit}", np.uint8(limit))
        output = node.output[0]
        node.input[0], node.output[0] = producer.input[0], f"{output}_uncut"
        clip = [node.output[0], middle, high]
        nodes.append(helper.make_node("Clip", clip, [output], f"{output}_cut"))
    replace_nodes(copy, [node for node in nodes if node.output[0] not in dropped])
    return copy


def not_negative_as_uint8(model: onnx.ModelProto, *, cut_integers: bool = False) -> onnx.ModelProto:
    """Return ``model`` with activations that are never negative as uint8 0..127, zero point 0.

    Args:
        model: As `export_onnx` returns it; left as it is.
        cut_integers: Cut off at 127 behind QuantizeLinear, not at its value in front.

    Raises:
        ExportError: A QuantizeLinear has another zero point than 0.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = Graph(copy)
    zero_point = graph.add_constant("zero_point_uint8", np.uint8(0))
    # Every proof before the first change: the look-ups do not follow the rewriting. Tensors on one
    # scale meet, say in a Concat, and no engine joins uint8 with int8: there all have to be proven.
    quantizers = [node for node in copy.graph.node if node.op_type == "QuantizeLinear"]
    signed = {node.input[1] for node in quantizers if not graph.never_negative(node.input[0])}
    not_negative = {node.output[0] for node in quantizers if node.input[1] not in signed}
    nodes: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        if node.op_type == "QuantizeLinear" and graph.value(node.input[2]) != 0:
            raise ExportError(
                f"onnx {node.name}: zero point: expected 0, got {graph.value(node.input[2])}"
            )
        if node.op_type == "QuantizeLinear" and node.output[0] in not_negative:
            for user in (node, *graph.consumers[node.output[0]]):
                user.input[2] = zero_point
            nodes += _cut_behind(graph, node) if cut_integers else _cut_in_front(graph, node)
        else:
            nodes.append(node)
    replace_nodes(copy, nodes)
    return copy


def with_integers_picked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with DequantizeLinear behind what only picks values, not in front of it.

    Where the inputs of an operation have different scales it stays float.

    Args:
        model: Q/DQ graph; left as it is.
    """
    import onnx
    from onnx import helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    origins: dict[str, tuple[str, ...]] = {}  # by float tensor: its integers, scale, zero point
    nodes: list[onnx.NodeProto] = []
    for node in copy.graph.node:
        nodes.append(node)
        if node.op_type == "DequantizeLinear":
            origins[node.output[0]] = tuple(node.input)
        names = data_inputs(node)
        grids = {origins[name][1:] if name in origins else None for name in names}
        grid = grids.pop() if len(grids) == 1 else None
        if not picks_values(node) or grid is None:
            continue
        node.input[: len(names)] = [origins[name][0] for name in names]
        for position, name in enumerate(node.output):
            node.output[position] = f"{name}_integers"
            origins[name] = (f"{name}_integers", *grid)
            title = f"{name}_dequantized"
            nodes.append(helper.make_node("DequantizeLinear", origins[name], [name], title))
    used = {name for node in nodes for name in node.input}
    used |= {output.name for output in copy.graph.output}
    replace_nodes(copy, [node for node in nodes if used.intersection(node.output)])
    return copy


def _cuts_at_zero(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether ``node`` is a Relu, or a Clip from 0, that nothing else reads."""
    lone = len(graph.consumers[node.output[0]]) == 1
    return lone and (
        node.op_type == "Relu" or (node.op_type == "Clip" and graph.value(node.input[1]) == 0)
    )


def _limit_in_steps(graph: Graph, cut: onnx.NodeProto, quantize: onnx.NodeProto) -> int:
    """Return the largest integer that ``quantize`` gives behind ``cut``."""
    if cut.op_type != "Clip" or len(cut.input) < 3:
        return ACTIVATION_LIMIT
    steps = np.float32(graph.value(cut.input[2])) / np.float32(graph.value(quantize.input[1]))
    return min(ACTIVATION_LIMIT, int(np.rint(steps)))


def _cut_in_front(graph: Graph, quantize: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Keep what ``quantize`` reads at or below 127 steps; return the nodes in its place."""
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
        return [quantize]
    high = graph.add_constant(f"{scale}_limit", limit)
    clip = helper.make_node("Clip", [source, low, high], [f"{source}_cut"], f"{source}_cut")
    quantize.input[0] = clip.output[0]
    return [clip, quantize]


def _cut_behind(graph: Graph, quantize: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Keep what ``quantize`` gives at or below 127; return the nodes in its place."""
    from onnx import helper

    output = quantize.output[0]
    limit = ACTIVATION_LIMIT
    producer = graph.producers[quantize.input[0]]
    if producer.op_type == "Clip" and _cuts_at_zero(graph, producer):
        # A ReLU6 becomes a Relu, which uint8 makes superfluous, and its limit one of integers.
        limit = _limit_in_steps(graph, producer, quantize)
        producer.op_type = "Relu"
        del producer.input[1:]
    high = graph.add_constant(f"limit_{limit}", np.uint8(limit))
    quantize.output[0] = f"{output}_uncut"
    clip = helper.make_node("Clip", [quantize.output[0], "", high], [output], f"{output}_cut")
    return [quantize, clip]
