"""Graphs that other programs write: integer operators, joined outputs, computed sizes, anything."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from erpose_edge.errors import RequestError
from erpose_edge.exporters.lint.contract import LintOptions, Precision, parse_output
from erpose_edge.exporters.lint.graph import LintGraph
from erpose_edge.exporters.lint.linter import RULES, lint, read_model
from erpose_edge.exporters.lint.report import SEVERITIES

OPSETS = (11, 13, 17, 21)


class Drawing:
    """A graph drawn node by node."""

    def __init__(self, *shape: int | str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shape = shape or (1, 8, 16, 16)

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        made = [name] if outputs == 1 else [f"{name}_{i}" for i in range(outputs)]
        domain = attributes.pop("domain", None)
        node = helper.make_node(kind, list(inputs), made, f"n_{name}", None, domain, **attributes)
        self.nodes.append(node)
        return made[0] if outputs == 1 else made

    def constant(self, value, dtype=np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def grid(self, scale: float, zero: int = 0, dtype=np.int8) -> tuple[str, str]:
        return self.constant(scale), self.constant(zero, dtype)

    def pair(self, name: str, scale: float, zero: int = 0, dtype=np.int8) -> str:
        grid = self.grid(scale, zero, dtype)
        return self.add("DequantizeLinear", self.add("QuantizeLinear", name, *grid), *grid)

    def weights(self, *shape: int, axis: int = 0, seed: int = 0) -> str:
        """Return int8 weights behind a DequantizeLinear with a scale for each channel."""
        values = np.random.default_rng(seed).integers(-127, 128, shape)
        grid = (
            self.constant(np.linspace(0.01, 0.02, shape[axis])),
            self.constant(np.zeros(shape[axis]), np.int8),
        )
        return self.add("DequantizeLinear", self.constant(values, np.int8), *grid, axis=axis)

    def conv(self, name: str, c_out: int = 8, c_in: int = 8, **attributes) -> str:
        weights = self.weights(c_out, c_in, 1, 1, seed=len(self.nodes))
        return self.add("Conv", name, weights, **attributes)

    def model(self, *outputs: str, opset: int = 17) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            infos,
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def two_convolutions(drawing: Drawing) -> str:
    y = drawing.conv(drawing.pair("x", 0.1))
    return drawing.conv(drawing.pair(drawing.add("Relu", y), 0.2))


def rules(model, **options):
    return {f.rule: f for f in lint(model, LintOptions(**options)).findings}


@pytest.mark.parametrize("opset", OPSETS)
def test_a_plain_qdq_graph_is_clean_in_every_opset(opset):
    drawing = Drawing()
    model = drawing.model(two_convolutions(drawing), opset=opset)
    report = lint(model, LintOptions(engine="tensorrt"))
    assert report.findings == ()
    assert (report.summary.convolutions, report.summary.int8_convolutions) == (2, 2)
    assert report.summary.macs == 2 * 8 * 8 * 16 * 16
    assert report.summary.float_share == 0


def test_an_absent_zero_point_is_uint8_and_0():
    drawing = Drawing()
    scale = drawing.constant(0.1)
    quantized = drawing.add("QuantizeLinear", "x", scale)
    y = drawing.conv(drawing.add("DequantizeLinear", quantized, scale))
    found = rules(drawing.model(y), engine="tensorrt")
    assert list(found) == ["unsigned"]
    assert lint(drawing.model(y)).findings == ()


def integer_convolutions(drawing: Drawing, zero: int = 0, step: float = 0.2) -> str:
    """Draw two QLinearConv between QuantizeLinear and DequantizeLinear."""
    grids = [drawing.grid(0.1, zero), drawing.grid(0.2, zero), drawing.grid(step, zero)]
    y = drawing.add("QuantizeLinear", "x", *grids[0])
    for before, after in ((grids[0], grids[1]), (grids[1], grids[2])):
        weights = np.random.default_rng(1).integers(-127, 128, (8, 8, 1, 1))
        weight = (
            drawing.constant(weights, np.int8),
            drawing.constant(np.linspace(0.01, 0.02, 8)),
            drawing.constant(np.zeros(8), np.int8),
        )
        y = drawing.add("QLinearConv", y, *before, *weight, *after)
    return drawing.add("DequantizeLinear", y, *grids[2])


def test_integer_operators_are_read_as_qdq():
    drawing = Drawing()
    report = lint(drawing.model(integer_convolutions(drawing)), LintOptions(engine="tensorrt"))
    assert report.findings == ()
    assert report.summary.int8_convolutions == 2
    assert report.summary.nodes == 4
    assert report.summary.macs == 2 * 8 * 8 * 16 * 16


def test_faults_of_integer_operators_are_found_at_their_own_names():
    drawing = Drawing()
    model = drawing.model(integer_convolutions(drawing, zero=5))
    found = [f for f in lint(model).findings if f.rule == "asymmetric-zero-point"]
    assert len(found) == 3
    assert any(f.node.startswith("n_qlinearconv") for f in found)


def test_an_integer_operator_that_reads_with_another_scale_multiplies_the_values():
    drawing = Drawing()
    model = drawing.model(integer_convolutions(drawing, step=0.4))
    convs = [n for n in model.graph.node if n.op_type == "QLinearConv"]
    convs[1].input[1] = convs[1].input[6]
    assert rules(model)["mismatched-pair"].cost == "every value multiplied by 2"


def test_joins_of_integer_operators_are_compared():
    drawing = Drawing()
    grids = [drawing.grid(0.1), drawing.grid(0.4), drawing.grid(0.4)]
    parts = [drawing.add("QuantizeLinear", "x", *grid) for grid in grids[:2]]
    triples = [name for part, grid in zip(parts, grids, strict=False) for name in (part, *grid)]
    joined = drawing.add("QLinearConcat", *grids[2], *triples, axis=1, domain="com.microsoft")
    y = drawing.conv(drawing.add("DequantizeLinear", joined, *grids[2]), c_in=16)
    finding = rules(drawing.model(y))["unequal-scales"]
    assert finding.node == "n_" + joined
    assert "differ by 4 x" in finding.what


@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_matrix_products_count_and_can_be_int8(kind):
    drawing = Drawing(1, 32)
    quantized = drawing.pair("x", 0.1)
    y = drawing.add(kind, quantized, drawing.weights(32, 10, axis=1))
    summary = lint(drawing.model(y)).summary
    assert (summary.macs, summary.int8_convolutions) == (320, 1)


def test_weights_may_be_turned_behind_their_dequantization():
    drawing = Drawing(1, 32)
    weights = drawing.add("Transpose", drawing.weights(10, 32), perm=[1, 0])
    y = drawing.add("MatMul", drawing.pair("x", 0.1), weights)
    assert lint(drawing.model(y)).summary.int8_convolutions == 1


def test_a_float_residual_is_blamed_and_not_what_follows():
    drawing = Drawing()
    body = drawing.pair(drawing.conv(drawing.pair("x", 0.1)), 0.2)
    soft = drawing.add("Softmax", body, axis=1)
    joined = drawing.add("Add", drawing.pair(drawing.conv(body), 0.2), soft)
    found = rules(drawing.model(drawing.conv(drawing.pair(joined, 0.3))))
    assert found["unquantized-input"].nodes == (f"n_{joined}", f"n_{soft}")
    assert found["float-island"].nodes == (f"n_{soft}",)


def test_a_change_of_layout_between_convolutions_is_a_note():
    drawing = Drawing()
    y = drawing.pair(drawing.conv(drawing.pair("x", 0.1)), 0.2)
    turned = drawing.add("Transpose", y, perm=[0, 2, 3, 1])
    back = drawing.add("Transpose", turned, perm=[0, 3, 1, 2])
    found = lint(drawing.model(drawing.conv(back))).findings
    assert [(f.rule, f.severity) for f in found] == [("transpose", "note")] * 2
    assert "a copy of 2,048 values" in found[0].cost


def test_ranges_that_are_looked_up_at_run_time_are_a_warning():
    drawing = Drawing()
    integers, scale, zero = drawing.add("DynamicQuantizeLinear", "x", outputs=3)
    weight = drawing.constant(np.ones((8, 8, 1, 1)), np.int8)
    y = drawing.add("ConvInteger", integers, weight, zero)
    y = drawing.add("Mul", drawing.add("Cast", y, to=TensorProto.FLOAT), scale)
    report = lint(drawing.model(y))
    assert [(f.rule, f.severity) for f in report.findings] == [("dynamic-range", "warning")]
    assert report.summary.int8_convolutions == 1


def test_batch_normalization_in_a_float_graph_is_a_note():
    drawing = Drawing()
    weight = drawing.constant(np.ones((8, 8, 1, 1)))
    numbers = [drawing.constant(np.ones(8)) for _ in range(4)]
    y = drawing.add("BatchNormalization", drawing.add("Conv", "x", weight), *numbers)
    assert rules(drawing.model(y))["unfolded-batch-norm"].severity == "note"


def joined_output(drawing: Drawing, *, step: float | None = None) -> str:
    """Draw the head of a box-driven network: (distances + grid) x stride beside a sigmoid."""
    body = drawing.pair(drawing.conv(drawing.pair("x", 0.1)), 0.2)
    boxes = drawing.add("Reshape", drawing.conv(body, 4), drawing.constant([1, 4, -1], np.int64))
    scores = drawing.add("Reshape", drawing.conv(body, 1), drawing.constant([1, 1, -1], np.int64))
    moved = drawing.add("Add", boxes, drawing.constant(np.arange(256.0).reshape(1, 1, -1) / 16))
    if step is not None:
        moved = drawing.pair(moved, step)
    pixels = drawing.add("Mul", moved, drawing.constant(np.full((1, 1, 256), 8.0)))
    return drawing.add("Concat", pixels, drawing.add("Sigmoid", scores), axis=1)


def test_scores_and_pixels_in_one_output_are_found_without_a_declaration():
    drawing = Drawing()
    output = joined_output(drawing)
    finding = rules(drawing.model(output))["mixed-output"]
    assert (finding.node, finding.severity) == (output, "warning")
    drawing = Drawing()
    output = drawing.pair(joined_output(drawing), 1.5)
    finding = rules(drawing.model(output))["mixed-output"]
    assert finding.severity == "error"
    assert "scores below 0.75 become 0" in finding.cost


def test_steps_are_counted_in_pixels_without_a_declaration():
    drawing = Drawing()
    output = joined_output(drawing, step=0.25)
    finding = rules(drawing.model(output))["coarse-step"]
    assert finding.what.startswith(f"one step is 2 input px in output {output}, tolerance 0.5")
    assert finding.op == "Add"
    assert rules(drawing.model(output))["quantized-decoding"].severity == "error"
    declared = {output: Precision("px", 0.1)}
    assert "coarse-step" not in rules(drawing.model(output), outputs=declared)


def test_the_mean_of_a_distribution_belongs_to_decoding():
    drawing = Drawing()
    body = drawing.pair(drawing.conv(drawing.pair("x", 0.1), 16), 0.2)
    bins = drawing.add("Softmax", drawing.conv(body, 16, 16), axis=1)
    mean = drawing.add("Conv", bins, drawing.constant(np.arange(16.0).reshape(1, 16, 1, 1)))
    report = lint(drawing.model(mean))
    assert report.findings == ()
    graph = LintGraph(drawing.model(mean))
    assert [graph.learned(node) for node in graph.macs] == [True, True, False]


def test_sizes_that_the_graph_computes_are_followed():
    drawing = Drawing()
    y = "x"
    for _ in range(3):
        shape = drawing.add("Shape", y)
        channels = drawing.add("Gather", shape, drawing.constant([1], np.int64), axis=0)
        more = drawing.add("Add", channels, drawing.constant([1], np.int64))
        half = drawing.add("Div", more, drawing.constant([2], np.int64))
        start = drawing.constant([0], np.int64)
        part = drawing.add("Slice", y, start, half, drawing.constant([1], np.int64))
        y = drawing.add("Conv", part, drawing.constant(np.ones((8, 4, 1, 1))))
    assert lint(drawing.model(y)).summary.macs == 3 * 8 * 4 * 16 * 16


def test_open_dimensions_are_closed_for_the_shares():
    drawing = Drawing("batch", 8, "height", "width")
    summary = lint(drawing.model(two_convolutions(drawing))).summary
    assert summary.macs == 2 * 8 * 8 * 320 * 320


def test_nodes_without_names_are_called_by_what_they_give():
    drawing = Drawing()
    output = drawing.pair(joined_output(drawing), 1.5)
    for node in drawing.nodes:
        node.name = ""
    assert rules(drawing.model(output))["quantized-decoding"].node.startswith(("mul", "add"))


def test_a_graph_whose_weights_are_gone_is_read_all_the_same(tmp_path):
    drawing = Drawing()
    y = drawing.conv("x", 64, 8)
    model = drawing.model(y)
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=64)
    assert lint(read_model(path)).summary.macs == 64 * 8 * 256
    (tmp_path / "w.bin").unlink()
    assert lint(read_model(path)).summary.macs == 64 * 8 * 256


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out=px:0.5", ("out", Precision("px", 1.0, 0.5))),
        ("a/b:0=px*16", ("a/b:0", Precision("px", 16.0, None))),
        ("s=score:0.01", ("s", Precision("score", 1.0, 0.01))),
        ("s=logit", ("s", Precision("score", 0.25, None))),
    ],
)
def test_an_output_is_declared_in_one_word(text, expected):
    assert parse_output(text) == expected


@pytest.mark.parametrize("text", ["out", "=px", "out=mm", "out=px*:0.5", "out=px:", "out=px*1.1.1"])
def test_another_spelling_is_refused(text):
    with pytest.raises(RequestError, match="expected NAME=UNIT"):
        parse_output(text)


KINDS = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Sub", "Div", "Concat", "Relu", "Clip",
    "Sigmoid", "Softmax", "MaxPool", "AveragePool", "Resize", "Reshape", "Transpose", "Slice",
    "Split", "Gather", "TopK", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
    "QLinearConv", "QLinearConcat", "QLinearAdd", "QLinearMatMul", "QGemm", "QLinearSigmoid",
    "BatchNormalization", "Identity", "Constant", "Shape", "Where", "Unsqueeze", "Nonsense", "Cast",
)  # fmt: skip
VALUES = (
    np.float32(0.1), np.float32(0), np.float32(np.nan), np.int8(3), np.uint8(200), np.int64(2),
    np.zeros(0, np.float32), np.zeros((0, 3), np.int8), np.ones((4, 4, 1, 1), np.float32),
    np.ones((4, 4, 1, 1), np.int8), np.full(4, 0.01, np.float32), np.arange(4), np.array(["a"]),
    np.array(True), np.ones((1, 4), np.float16), np.float32(np.inf), np.arange(16.0)[None, :, None],
)  # fmt: skip


@st.composite
def graphs(draw):
    constants = []
    for value in draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=6)):
        constants.append(numpy_helper.from_array(np.asarray(value), f"c{len(constants)}"))
    names = ["x", "", *(c.name for c in constants)]
    nodes = []
    for position in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(KINDS))
        inputs = draw(st.lists(st.sampled_from(names), min_size=0, max_size=9))
        outputs = [f"t{position}_{i}" for i in range(draw(st.integers(0, 2)))]
        title = draw(st.sampled_from(["", "same", f"n{position}"]))
        node = helper.make_node(kind, inputs, outputs, title)
        if kind == "Constant":
            node.attribute.append(helper.make_attribute("value_float", 2.0))
        if draw(st.booleans()):
            node.attribute.append(helper.make_attribute("axis", draw(st.integers(-2, 3))))
        nodes.append(node)
        names += outputs
    made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None)
            for n in draw(st.lists(st.sampled_from(names), max_size=3))]  # fmt: skip
    shape = draw(st.sampled_from([None, [], [1, 4, 8, 8], ["n", 4, None, 8], [0, 4]]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "random", [x], made, constants)
    if draw(st.booleans()):
        graph.node.sort(key=lambda node: node.op_type)  # no order that can be run
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@settings(max_examples=150, deadline=None)
@given(graphs(), st.sampled_from([None, "tensorrt", "openvino", "onnxruntime", "tflite"]))
def test_no_graph_is_too_broken_to_be_read(model, engine):
    known = {rule for rules in RULES for rule in rules}
    report = lint(model, LintOptions(engine=engine))
    for finding in report.findings:
        assert finding.rule in known
        assert finding.severity in SEVERITIES
        assert finding.node
        assert finding.what and finding.cost and finding.mend
    order = [SEVERITIES.index(finding.severity) for finding in report.findings]
    assert order == sorted(order)
    report.to_json()
