"""What the linter knows of operators, and integer operators spelled as Q/DQ.

Graphs come in two spellings: float operators between QuantizeLinear and DequantizeLinear, and
integer operators that carry scales themselves (QLinearConv). The second is rewritten as the first
under the same node names, so that every rule is written once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
# Multiply-accumulates with weights, in the order in which inputs are data and weight.
COMPUTE = ("Conv", "ConvTranspose", "Gemm", "MatMul", "ConvInteger", "MatMulInteger")
# They give values that they were given: on integers of one scale they do the same.
PICKING = (
    "Concat", "MaxPool", "Split", "Slice", "Reshape", "Transpose", "Squeeze", "Unsqueeze",
    "Flatten", "Gather", "GatherElements", "GatherND", "Pad", "Identity", "DepthToSpace",
    "SpaceToDepth", "Expand", "Tile", "Cast", "Dropout", "ReduceMax", "Max", "Where",
)  # fmt: skip
# Of these all inputs are data; of other operators that pick, the first is (Where: all but it).
_ALL_INPUTS = ("Concat", "Max", "Add", "Sub", "Mul", "Div", "Sum", "Min", "MatMul", "Pow")
# An engine computes them together with the convolution in front, before rounding.
EPILOGUES = ("Relu", "Clip", "LeakyRelu", "Add", "Sum", "PRelu")
CURVES = ("Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Mish", "Gelu", "Elu", "Tanh", "Softplus")
# These engines have int8 kernels of their own, and none that ends in a curve.
NO_CURVES = ("onnxruntime", "tflite")
POOLS = ("AveragePool", "GlobalAveragePool", "ReduceMean", "Resize", "Upsample")
ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "PRelu", *CURVES)
JOINS = ("Add", "Sum", "Concat")
PROBABILITIES = ("Sigmoid", "HardSigmoid", "Softmax")

# Operator in float; (value, scale, zero point) of each input; (scale, zero point) of the output.
_TRIPLE, _TWO = ((0, 1, 2),), ((0, 1, 2), (3, 4, 5))
_INTEGER_OPERATORS: dict[str, tuple[str, tuple[tuple[int, int, int], ...], tuple[int, int]]] = {
    "QLinearConv": ("Conv", _TWO, (6, 7)),
    "QLinearMatMul": ("MatMul", _TWO, (6, 7)),
    "QLinearAdd": ("Add", _TWO, (6, 7)),
    "QLinearMul": ("Mul", _TWO, (6, 7)),
    "QGemm": ("Gemm", _TWO, (7, 8)),
    "QLinearSigmoid": ("Sigmoid", _TRIPLE, (3, 4)),
    "QLinearLeakyRelu": ("LeakyRelu", _TRIPLE, (3, 4)),
    "QLinearSoftmax": ("Softmax", _TRIPLE, (3, 4)),
    "QLinearAveragePool": ("AveragePool", _TRIPLE, (3, 4)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", _TRIPLE, (3, 4)),
    "QLinearReduceMean": ("ReduceMean", _TRIPLE, (3, 4)),
}


def data_inputs(node: onnx.NodeProto) -> list[str]:
    """Return the names of the values that ``node`` computes with: no sizes, scales or indices."""
    if node.op_type in _ALL_INPUTS:
        names = node.input
    elif node.op_type == "Where":
        names = node.input[1:]
    elif node.op_type in COMPUTE:
        names = node.input[:2]
    else:
        names = node.input[:1]
    return [name for name in names if name]


def picks(node: onnx.NodeProto) -> bool:
    """Return whether ``node`` gives values that it was given, and no others."""
    if node.op_type in ("Resize", "Upsample"):
        modes = [a.s for a in node.attribute if a.name == "mode"]
        return modes in ([], [b"nearest"])
    return node.op_type in PICKING


def as_qdq(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return ``nodes`` with integer operators as float ones between DQ and Q, named as before."""
    expanded: list[onnx.NodeProto] = []
    for node in nodes:
        if not node.output:
            expanded.append(node)
        elif node.op_type == "QLinearConcat":
            count = (len(node.input) - 2) // 3
            triples = tuple((2 + 3 * i, 3 + 3 * i, 4 + 3 * i) for i in range(count))
            expanded += _expanded(node, "Concat", triples, (0, 1))
        elif node.op_type in _INTEGER_OPERATORS:
            expanded += _expanded(node, *_INTEGER_OPERATORS[node.op_type])
        else:
            expanded.append(node)
    return expanded


def _expanded(
    node: onnx.NodeProto,
    kind: str,
    triples: tuple[tuple[int, int, int], ...],
    output: tuple[int, int],
) -> list[onnx.NodeProto]:
    from onnx import helper

    def given(*positions: int) -> list[str]:
        names = [node.input[p] if p < len(node.input) else "" for p in positions]
        return names if names[-1] else names[:-1]

    parts, floats = [], []
    for position, triple in enumerate(triples):
        # Weights are the second input; their scales belong to output channels.
        axis = {"axis": int(kind != "Conv")} if position == 1 and kind in COMPUTE else {}
        floats.append(f"{node.output[0]}/in{position}")
        title = f"{node.name or node.output[0]}/in{position}"
        parts.append(
            helper.make_node(DEQUANTIZE, given(*triple), [floats[-1]], title, None, None, **axis)
        )
    computed = f"{node.output[0]}/float"
    main = helper.make_node(kind, floats, [computed], node.name)
    main.attribute.extend(a for a in node.attribute if a.name not in ("channels_last", "opset"))
    scale = given(*output)
    if not scale or not scale[0]:  # QGemm may give floats
        main.output[0] = node.output[0]
        return [*parts, main]
    title = f"{node.name or node.output[0]}/out"
    return [*parts, main, helper.make_node(QUANTIZE, [computed, *scale], node.output[:1], title)]
