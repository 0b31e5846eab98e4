"""What a TFLite file holds against the network that it was made from.

The file runs as it is written: an operation on int8 tensors is an int8 operation. So the proof is
in the file, and every number of it can be compared with the network's.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import fx, nn

from erpose_edge.errors import ExportError
from erpose_edge.exporters.tflite.graph import CONVOLUTIONS, TfliteOperation
from erpose_edge.quantization.fake_quantize import (
    ActivationQuantizer,
    QuantizedConv2d,
    quantized_convolutions,
)

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_COPIES = (nn.MaxPool2d, nn.Upsample, torch.cat, operator.getitem, "chunk", "detach")


def convolution_precisions(
    operations: Sequence[TfliteOperation], network: fx.GraphModule
) -> dict[str, str]:
    """Return in which type each int8 convolution of ``network`` takes its data in the file.

    The file knows no module names: a convolution is recognised by its integer weights.

    Returns:
        ``i8``, or ``f32`` where only the weights are int8, by module name; a convolution whose
        weights are not in the file, integer by integer, is left out.
    """
    return {
        name: "i8" if _all_int8(operation) else "f32"
        for name, operation in _matched(operations, network)
    }


def convolution_places(
    operations: Sequence[TfliteOperation], network: fx.GraphModule
) -> dict[str, int]:
    """Return which operation each convolution of ``network`` became, by module name.

    They are recognised by their weights: integers, float32, or float16 that a DEQUANTIZE widens.
    """
    makers = {id(out): operation for operation in operations for out in operation.outputs}
    known: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for position, operation in enumerate(operations):
        if operation.kind not in CONVOLUTIONS:
            continue
        weight = operation.inputs[1]
        if weight.content is None and id(weight) in makers:
            weight = makers[id(weight)].inputs[0]
        known[weight.kind, weight.shape, weight.content].append(position)
    found = {}
    for name, conv in network.named_modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        for kind, values in _spellings(conv):
            places = known.get((kind, tuple(values.shape), values.contiguous().numpy().tobytes()))
            if places:
                found[name] = places.pop(0)
                break
    return found


def _spellings(conv: nn.Conv2d) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the type and values that the weights of ``conv`` may have in a file."""
    # Outputs first for ordinary convolutions, last for depthwise ones.
    order = (1, 2, 3, 0) if conv.groups > 1 else (0, 2, 3, 1)
    if isinstance(conv, QuantizedConv2d):
        yield "INT8", conv.integer_weight().permute(order)
    weight = conv.weight.detach().permute(order)
    yield "FLOAT32", weight
    yield "FLOAT16", weight.half()


def check_scales(operations: Sequence[TfliteOperation], network: fx.GraphModule) -> None:
    """Check that every int8 convolution has the very scales that ``network`` learnt.

    Raises:
        ExportError: A scale differs, be it by one bit, or a zero point is not 0.
    """
    learnt = _learnt_scales(network)
    modules = quantized_convolutions(network)
    for name, operation in _matched(operations, network):
        source, weight = operation.inputs[:2]
        own = modules[name].weight_scale().numpy()
        before, after = learnt[name]
        for what, tensor, scales in (
            ("input", source, [before]),
            ("weight", weight, own),
            ("output", operation.outputs[0], [after]),
        ):
            expected = np.asarray(scales, np.float32)
            if not np.array_equal(tensor.scales, expected) or tensor.zero_points.any():
                raise ExportError(
                    f"tflite {name}: {what} scale: expected {_shown(expected)} with zero point 0 "
                    f"as the network has it, got {_shown(tensor.scales)} with "
                    f"{_shown(tensor.zero_points)}; use the tested version of litert-torch"
                )


def check_float(operations: Sequence[TfliteOperation], network: fx.GraphModule) -> None:
    """Check that no convolution is int8 but those of ``network``.

    litert-torch quantizes a float convolution between two int8 ones by itself, with scales of its
    own choice.

    Raises:
        ExportError: One is.
    """
    matched = {id(operation) for _, operation in _matched(operations, network)}
    more = [o for o in operations if _has_integer_weights(o) and id(o) not in matched]
    if more:
        shape = more[0].outputs[0].shape
        raise ExportError(
            f"tflite: expected {len(matched)} int8 convolutions as the policy says, got "
            f"{len(more)} more, one that makes {shape}: a float layer between int8 ones does not "
            "stay float; name what follows it in keep_float too, up to the outputs"
        )


def check_islands(
    operations: Sequence[TfliteOperation], network: fx.GraphModule, allowed: int
) -> None:
    """Check that int8 and float meet nowhere but where the policy makes them meet.

    Args:
        operations: Of the file.
        network: What it was made from.
        allowed: Conversions that are taken beyond those, `Policy.max_extra_conversions`.

    Raises:
        ExportError: There are more.
    """
    needed, got = needed_conversions(network), count_conversions(operations)
    if got > needed + allowed:
        raise ExportError(
            f"tflite: QUANTIZE and DEQUANTIZE: expected {needed} at the borders of the policy's "
            f"keep_float and {allowed} more, got {got}: {got - needed} make float islands; keep "
            "float what lies between them or raise max_extra_conversions"
        )


def count_conversions(operations: Sequence[TfliteOperation]) -> int:
    """Return how often the file converts: to int8, from int8, or from one scale to another.

    Float16 weights that are widened when the model is loaded do not count.
    """
    return sum(
        operation.kind in _CONVERSIONS and operation.inputs[0].kind != "FLOAT16"
        for operation in operations
    )


def needed_conversions(network: fx.GraphModule) -> int:
    """Return how often a file of ``network`` has to convert: where float and int8 layers meet.

    That is once where an int8 layer reads what a float one made, and once for every int8 tensor
    that float layers, or whoever asked for the outputs, read.
    """
    return sum(1 for _ in _entries(network)) + sum(1 for _ in _exits(network))


def _all_int8(operation: TfliteOperation) -> bool:
    return operation.inputs[0].kind == operation.outputs[0].kind == "INT8"


def _has_integer_weights(operation: TfliteOperation) -> bool:
    return operation.kind in CONVOLUTIONS and operation.inputs[1].kind == "INT8"


def _matched(
    operations: Sequence[TfliteOperation], network: fx.GraphModule
) -> Iterator[tuple[str, TfliteOperation]]:
    """Yield convolutions by the names of the modules whose integer weights they have."""
    names: dict[tuple[object, ...], list[str]] = defaultdict(list)
    for name, conv in quantized_convolutions(network).items():
        depthwise = conv.groups > 1
        # Outputs first for ordinary convolutions, last for depthwise ones.
        integers = conv.integer_weight().permute((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        names[tuple(integers.shape), integers.contiguous().numpy().tobytes()].append(name)
    for operation in operations:
        if _has_integer_weights(operation):
            weight = operation.inputs[1]
            known = names.get((weight.shape, weight.content))
            if known:
                yield known.pop(0), operation


def _learnt_scales(network: fx.GraphModule) -> dict[str, tuple[float, float]]:
    """Return the scales of what every int8 convolution takes and gives, by name."""
    found = {}
    for node in network.graph.nodes:
        if isinstance(_module(network, node), QuantizedConv2d):
            before, after = node.all_input_nodes[0], node
            while (scale_before := _scale(network, before)) is None:  # a copy
                before = before.all_input_nodes[0]
            while (scale_after := _scale(network, after)) is None:  # an activation
                (after,) = after.users
            found[str(node.target)] = (scale_before, scale_after)
    return found


def _scale(network: fx.GraphModule, node: fx.Node) -> float | None:
    """Return the scale of the quantizer that ``node`` calls; None if it calls something else."""
    module = _module(network, node)
    return float(module.scale) if isinstance(module, ActivationQuantizer) else None


def _entries(network: fx.GraphModule) -> Iterator[fx.Node]:
    """Yield the quantizers that read what a float layer computed."""
    for node in network.graph.nodes:
        if isinstance(_module(network, node), ActivationQuantizer):
            source = node.args[0]
            if not (_on_grid(network, source) or _in_integers(network, source)):
                yield node


def _exits(network: fx.GraphModule) -> Iterator[fx.Node]:
    """Yield what is on an int8 grid and read by a float layer or returned."""
    for node in network.graph.nodes:
        if _on_grid(network, node) and any(_in_float(network, user) for user in node.users):
            yield node


def _in_float(network: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether ``node`` reads its inputs as float numbers."""
    return not (_on_grid(network, node) or _in_integers(network, node))


def _on_grid(network: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether ``node`` only quantizes or copies, so that its values are integers of a scale."""
    if node.op in ("placeholder", "output"):
        return False
    module = _module(network, node)
    if isinstance(module, ActivationQuantizer):
        return True
    return (type(module) if module else node.target) in _COPIES and all(
        _on_grid(network, source) for source in node.all_input_nodes
    )


def _in_integers(network: fx.GraphModule, node: fx.Node) -> bool:
    """Say whether ``node`` computes in int8: a convolution, its activation, or an addition."""
    if node.op in ("placeholder", "output"):
        return False
    module = _module(network, node)
    if isinstance(module, QuantizedConv2d):
        return True
    if isinstance(module, nn.Conv2d):
        return False
    if module is not None:  # an activation
        return all(_in_integers(network, source) for source in node.all_input_nodes)
    rounded = any(isinstance(_module(network, u), ActivationQuantizer) for u in node.users)
    return rounded and all(_on_grid(network, source) for source in node.all_input_nodes)


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return network.get_submodule(str(node.target)) if node.op == "call_module" else None


def _shown(values: np.ndarray) -> str:
    if values.size != 1:
        return f"{values.size} values {values[:2].tolist()}..."
    return str(values.item())
