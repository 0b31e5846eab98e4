"""On graphs of a few nodes: which tensors become uint8, and that values stay what they were."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from erpose_edge.errors import ExportError
from erpose_edge.exporters.dialect import not_negative_as_uint8, spelled_for, with_integers_picked
from erpose_edge.quantization.recipe import load_policy

ort = pytest.importorskip("onnxruntime")

SCALE = 0.1


def quantized(source, name):
    """Return nodes that quantize ``source`` and give ``name``."""
    return [
        helper.make_node("QuantizeLinear", [source, "scale", "zero"], [f"{name}_q"], f"{name}_q"),
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [name], name),
    ]


def graph(nodes, output, zero_point=0):
    constants = [
        numpy_helper.from_array(np.float32(SCALE), "scale"),
        numpy_helper.from_array(np.array(zero_point, np.int8), "zero"),
        numpy_helper.from_array(np.float32(0), "low"),
        numpy_helper.from_array(np.float32(6), "six"),
        numpy_helper.from_array(np.float32(-1), "minus_one"),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    return onnx.shape_inference.infer_shapes(model)


def types(model):
    constants = {t.name: t.data_type for t in model.graph.initializer}
    return {
        n.output[0]: constants[n.input[2]]
        for n in model.graph.node
        if n.op_type == "QuantizeLinear"
    }


def run(model):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    x = np.random.default_rng(0).normal(0, 12, (1, 2, 4, 4)).astype(np.float32)
    return session.run(None, {"x": x})[0]


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], output, **attributes)


CASES = {
    "relu": [node("Relu", ["x"], "r"), *quantized("r", "y")],
    "relu6": [node("Clip", ["x", "low", "six"], "r"), *quantized("r", "y")],
    "add": [
        node("Relu", ["x"], "r"), *quantized("r", "a"), node("Add", ["a", "a"], "s"),
        *quantized("s", "y"),
    ],
    "add, then add": [
        node("Relu", ["x"], "r"), *quantized("r", "a"), node("Add", ["a", "a"], "s"),
        *quantized("s", "b"), node("Add", ["a", "b"], "t"), *quantized("t", "y"),
    ],
    "through concat, pool and resize": [
        node("Relu", ["x"], "r"), *quantized("r", "a"), node("Concat", ["a", "a"], "c", axis=1),
        node("MaxPool", ["c"], "p", kernel_shape=[2, 2]), *quantized("p", "y"),
    ],
    "relu read by two": [
        node("Relu", ["x"], "r"), *quantized("r", "a"), node("Add", ["a", "r"], "y"),
    ],
}  # fmt: skip


CUTS = pytest.mark.parametrize("cut_integers", [False, True], ids=["cut in front", "cut behind"])


@CUTS
@pytest.mark.parametrize("nodes", CASES.values(), ids=CASES)
def test_not_negative_becomes_uint8_and_gives_the_same_values(nodes, cut_integers):
    model = graph(nodes, "y")
    rewritten = not_negative_as_uint8(model, cut_integers=cut_integers)
    assert set(types(rewritten).values()) == {TensorProto.UINT8}
    assert np.array_equal(run(model), run(rewritten))
    assert run(rewritten).max() > 0


@CUTS
def test_values_end_at_127_steps(cut_integers):
    model = graph(CASES["add, then add"], "y")
    rewritten = not_negative_as_uint8(model, cut_integers=cut_integers)
    assert run(rewritten).max() == pytest.approx(127 * SCALE)


def test_the_limit_of_relu6_is_one_of_integers_behind():
    rewritten = not_negative_as_uint8(graph(CASES["relu6"], "y"), cut_integers=True)
    kinds = [n.op_type for n in rewritten.graph.node]
    assert kinds == ["Relu", "QuantizeLinear", "Clip", "DequantizeLinear"]
    assert run(rewritten).max() == pytest.approx(6)


def test_a_limit_above_zero_stays_a_limit():
    above = [node("Clip", ["x", "six"], "r"), *quantized("r", "y")]
    rewritten = not_negative_as_uint8(graph(above, "y"), cut_integers=True)
    assert run(rewritten).min() == pytest.approx(6)


def test_onnxruntime_gets_integers_from_one_quantization_to_the_next():
    nodes = [
        node("Relu", ["x"], "r"), *quantized("r", "a"),
        helper.make_node("Split", ["a"], ["s", "t"], "s", axis=1, num_outputs=2),
        node("Concat", ["t", "s"], "c", axis=1),
        node("MaxPool", ["c"], "p", kernel_shape=[2, 2]), node("Neg", ["p"], "y"),
    ]  # fmt: skip
    model = graph(nodes, "y")
    dialect = load_policy("default").dialects["onnxruntime"]
    rewritten = spelled_for("onnxruntime", model, dialect)
    kinds = [n.op_type for n in rewritten.graph.node]
    assert kinds == [
        "Relu", "QuantizeLinear", "Clip", "Split", "Concat", "MaxPool", "DequantizeLinear", "Neg",
    ]  # fmt: skip
    assert np.array_equal(run(model), run(rewritten))


@pytest.mark.parametrize(
    "others",
    [
        [node("Neg", ["x"], "b")],
        [
            helper.make_node("QuantizeLinear", ["x", "six", "zero"], ["b_q"], "b_q"),
            helper.make_node("DequantizeLinear", ["b_q", "six", "zero"], ["b"], "b"),
        ],
    ],
    ids=["float", "another scale"],
)
def test_what_meets_another_grid_stays_float(others):
    nodes = [*quantized("x", "a"), *others, node("Concat", ["a", "b"], "y", axis=1)]
    model = graph(nodes, "y")
    rewritten = with_integers_picked(model)
    assert [n.op_type for n in rewritten.graph.node] == [n.op_type for n in model.graph.node]


def test_a_resize_that_interpolates_stays_float():
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    model = graph(
        [*quantized("x", "a"), node("Resize", ["a", "", "scales"], "y", mode="linear")], "y"
    )
    model.graph.initializer.append(scales)
    rewritten = with_integers_picked(model)
    assert [n.op_type for n in rewritten.graph.node][-1] == "Resize"


@pytest.mark.parametrize(
    "nodes",
    [
        quantized("x", "y"),
        [node("Clip", ["x", "minus_one", "six"], "r"), *quantized("r", "y")],
        [node("Relu", ["x"], "r"), node("Neg", ["r"], "n"), *quantized("n", "y")],
        [node("Relu", ["x"], "r"), node("Add", ["r", "x"], "s"), *quantized("s", "y")],
    ],
    ids=["input", "clip below zero", "negated", "add with a signed one"],
)
def test_what_is_not_proven_stays_int8(nodes):
    rewritten = not_negative_as_uint8(graph(nodes, "y"))
    assert set(types(rewritten).values()) == {TensorProto.INT8}


def test_given_graph_is_left_alone():
    model = graph(CASES["add"], "y")
    before = model.SerializeToString(deterministic=True)
    not_negative_as_uint8(model)
    assert model.SerializeToString(deterministic=True) == before


def test_another_zero_point_is_an_error():
    with pytest.raises(ExportError, match="zero point: expected 0, got 3"):
        not_negative_as_uint8(graph(CASES["relu"], "y", zero_point=3))
