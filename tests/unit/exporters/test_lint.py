"""A fault planted in a graph that was really exported is found, with its node and its number."""

from __future__ import annotations

import time

import numpy as np
import pytest
from lint_faults import Edit, exported, policy_of
from onnx import TensorProto, helper, numpy_helper
from quantized_network import float_network

from erpose_edge.errors import ExportError
from erpose_edge.exporters.dialect import spelled_for
from erpose_edge.exporters.lint.contract import LintOptions
from erpose_edge.exporters.lint.linter import lint, require_clean
from erpose_edge.exporters.onnx import export_onnx
from erpose_edge.quantization.prepare import fold
from erpose_edge.quantization.recipe import load_policy
from erpose_edge.runtime.decode import CONTRACTS

ENGINES = ("tensorrt", "openvino", "onnxruntime", "tflite")
MOST_SECONDS = 1.0

pytestmark = pytest.mark.slow  # torch writes the graphs


def spelled(engine, backbone, contract):
    policy = policy_of(backbone)
    return spelled_for(engine, exported(backbone, contract), policy.dialects.get(engine))


def found(edit, rule, **options):
    return [f for f in lint(edit.model, LintOptions(**options)).findings if f.rule == rule]


def only(edit, rule, **options):
    """Return the one finding of ``rule``, and check that nothing else is blamed as badly."""
    report = lint(edit.model, LintOptions(**options))
    matching = [f for f in report.findings if f.rule == rule]
    assert len(matching) == 1, [f.line for f in report.findings]
    return matching[0]


@pytest.fixture
def edit():
    return Edit(exported("csp", "compact"))


def test_the_clean_graphs_are_silent_for_every_engine():
    # The decoding is the same behind both backbones.
    for backbone, contracts in (("csp", ("compact",)), ("mobile", CONTRACTS)):
        for contract in contracts:
            for engine in ENGINES:
                model = spelled(engine, backbone, contract)
                report = require_clean(engine, model, policy_of(backbone))
                assert report.findings == (), (backbone, contract, engine)
                assert report.summary.islands == 0
                assert 0 < report.summary.float_share < 0.1


@pytest.mark.alone
def test_a_graph_is_read_within_a_second():
    model = exported("mobile", "compact")
    start = time.perf_counter()
    lint(model)
    assert time.perf_counter() - start < MOST_SECONDS


def test_the_graph_is_left_as_it_is(edit):
    before = edit.model.SerializeToString(deterministic=True)
    lint(edit.model)
    assert edit.model.SerializeToString(deterministic=True) == before


def test_multiply_accumulates_are_counted_as_the_network_summary_counts_them(edit):
    stem = edit.named("backbone.stem.conv")
    weight = edit.value(stem.input[1])
    heads = [n for n in edit.of_kind("Conv") if n.name.startswith("head.") and len(n.name) < 20]
    macs = weight.size * 32 * 32
    for node in heads:
        if node.name.split(".")[1] in ("scores", "keypoints", "visibility"):
            side = 64 // (8 << int(node.name[-1]))
            macs += edit.value(node.input[1]).size * side * side
    assert lint(edit.model).summary.float_macs == macs


def test_a_convolution_without_qdq_in_front_is_an_island(edit):
    conv = _middle(edit)
    edit.bypass(conv.input[0], conv)
    finding = only(edit, "float-island")
    assert (finding.severity, finding.node) == ("error", conv.name)
    assert "has no Q/DQ" in finding.what
    share = float(finding.cost.split("%")[0])
    assert 0 < share < 100


def _dequantized(edit, node):
    """Return the first input of ``node`` that a DequantizeLinear makes."""
    return next(n for n in node.input if edit.producer(n).op_type == "DequantizeLinear")


def _middle(edit):
    """Return a convolution that alone reads its input, with int8 before and behind it."""
    return next(
        node
        for node in edit.of_kind("Conv")
        if node.name.startswith("backbone.stages.1")
        and edit.producer(node.input[0]).op_type == "DequantizeLinear"
        and len(edit.consumers(node.input[0])) == 1
    )


def test_a_float_operator_between_qdq_and_convolution_is_an_island(edit):
    conv = _middle(edit)
    planted = edit.producer(edit.insert(conv.input[0], "Erf", before=conv)).name
    finding = only(edit, "float-island")
    assert finding.node == conv.name
    assert planted in finding.nodes


def test_a_softmax_between_int8_convolutions_is_an_island_of_its_own(edit):
    conv = _middle(edit)
    quantize = edit.producer(edit.producer(conv.input[0]).input[0])
    planted = edit.producer(edit.insert(quantize.input[0], "Softmax", before=quantize)).name
    finding = only(edit, "float-island")
    assert (finding.node, finding.op, finding.nodes) == (planted, "Softmax", (planted,))
    assert finding.cost.startswith("0.0% of all MACs")


def test_an_island_that_the_policy_wants_is_a_note(edit):
    conv = _middle(edit)
    edit.bypass(conv.input[0], conv)
    policy = policy_of("csp")
    wished = policy.model_copy(update={"keep_float": [*policy.keep_float, conv.name]})
    assert only(edit, "float-island", policy=wished).severity == "note"
    assert found(edit, "against-policy", policy=wished) == []
    refused = only(edit, "against-policy", policy=policy)
    assert (refused.severity, refused.node) == ("error", conv.name)


def test_an_int8_convolution_that_the_policy_keeps_float_is_a_warning(edit):
    policy = policy_of("csp")
    name = _middle(edit).name
    wished = policy.model_copy(update={"keep_float": [*policy.keep_float, name]})
    finding = only(edit, "against-policy", policy=wished)
    assert (finding.severity, finding.node) == ("warning", name)


def test_a_curve_is_an_island_where_the_engine_has_no_kernel_that_ends_in_it(edit):
    conv = _middle(edit)
    relu = edit.consumers(conv.output[0])[0]
    relu.op_type = "HardSwish"
    for engine in ("tensorrt", "openvino", None):
        assert found(edit, "float-island", engine=engine) == []
    finding = only(edit, "float-island", engine="onnxruntime")
    assert (finding.node, finding.severity) == (relu.name, "error")
    assert "onnxruntime has no int8 kernel that ends in HardSwish" in finding.what


def test_a_residual_without_a_quantizer_is_named(edit):
    add = edit.of_kind("Add")[0]
    bare = edit.bypass(_dequantized(edit, add), add)
    finding = only(edit, "unquantized-input")
    assert (finding.severity, finding.node, finding.op) == ("error", add.name, "Add")
    assert edit.producer(bare).name in finding.nodes
    assert "the residual from" in finding.what


def test_a_concat_with_one_float_input_is_named(edit):
    concat = edit.of_kind("Concat")[0]
    edit.bypass(_dequantized(edit, concat), concat)
    findings = found(edit, "unquantized-input")
    assert [finding.node for finding in findings] == [concat.name]


@pytest.mark.parametrize(("kind", "severity"), [("Concat", "error"), ("Add", "warning")])
def test_unequal_scales_at_a_join_are_measured(edit, kind, severity):
    join = edit.of_kind(kind)[0]
    quantize = edit.producer(edit.producer(_dequantized(edit, join)).input[0])
    scale = float(edit.value(quantize.input[1]))
    edit.own_grid(quantize, 4 * scale)
    finding = next(f for f in found(edit, "unequal-scales") if f.node == join.name)
    assert finding.severity == severity
    assert "differ by 4 x" in finding.what
    assert "loses 2.0 bits" in finding.cost


def test_a_second_quantization_on_another_grid_is_a_requantization(edit):
    conv = _middle(edit)
    quantize = edit.producer(edit.producer(conv.input[0]).input[0])
    scale = float(edit.value(quantize.input[1]))
    planted = edit.insert_pair(conv.input[0], 3 * scale, before=conv)
    finding = only(edit, "requantization")
    assert (finding.node, finding.severity) == (planted, "warning")
    assert "(3 x, int8 to int8)" in finding.what


def test_a_second_quantization_on_the_same_grid_is_a_note(edit):
    conv = _middle(edit)
    quantize = edit.producer(edit.producer(conv.input[0]).input[0])
    planted = edit.insert_pair(conv.input[0], float(edit.value(quantize.input[1])), before=conv)
    finding = only(edit, "dead-pair")
    assert (finding.node, finding.severity) == (planted, "note")


def test_quantizing_what_no_int8_operator_takes_is_dead(edit):
    planted = edit.insert_pair("images", 1 / 127)
    finding = only(edit, "dead-pair")
    assert (finding.node, finding.severity) == (planted, "warning")


def test_qdq_between_a_convolution_and_its_activation_is_found(edit):
    conv = _middle(edit)
    relu = edit.consumers(conv.output[0])[0]
    edit.insert_pair(conv.output[0], 0.01)
    finding = only(edit, "split-activation")
    assert (finding.node, finding.op) == (relu.name, "Relu")
    assert conv.name in finding.nodes


def test_batch_normalization_behind_a_convolution_is_found(edit):
    conv = _middle(edit)
    channels = edit.value(edit.producer(conv.input[1]).input[0]).shape[0]
    numbers = [edit.constant(np.ones(channels, np.float32)) for _ in range(4)]
    planted = edit.producer(edit.insert(conv.output[0], "BatchNormalization", *numbers)).name
    finding = only(edit, "unfolded-batch-norm")
    assert (finding.severity, finding.node) == ("error", planted)
    assert conv.name in finding.what


def test_dequantizing_with_another_scale_multiplies_the_values(edit):
    conv = _middle(edit)
    dequantize = edit.producer(conv.input[0])
    scale = float(edit.value(dequantize.input[1]))
    dequantize.input[1] = edit.constant(np.float32(2 * scale))
    finding = only(edit, "mismatched-pair")
    assert (finding.severity, finding.node) == ("error", dequantize.name)
    assert finding.cost == "every value multiplied by 2"


@pytest.mark.parametrize(
    ("engine", "severity"),
    [("tensorrt", "error"), (None, "warning"), ("openvino", "note"), ("tflite", "note")],
)
def test_a_zero_point_is_as_bad_as_the_engine_makes_it(edit, engine, severity):
    quantize = edit.producer(edit.producer(_middle(edit).input[0]).input[0])
    edit.own_grid(quantize, float(edit.value(quantize.input[1])), np.int8(-3))
    finding = only(edit, "asymmetric-zero-point", engine=engine)
    assert (finding.severity, finding.node) == (severity, quantize.name)
    assert "zero point -3" in finding.what


@pytest.mark.parametrize("engine", ["tensorrt", "tflite"])
def test_uint8_is_an_error_where_the_engine_takes_int8(edit, engine):
    quantize = edit.producer(edit.producer(_middle(edit).input[0]).input[0])
    edit.own_grid(quantize, float(edit.value(quantize.input[1])), np.uint8(0))
    finding = only(edit, "unsigned", engine=engine)
    assert (finding.severity, finding.node) == ("error", quantize.name)
    assert found(edit, "unsigned", engine="openvino") == []


def test_one_scale_for_all_channels_costs_what_the_ranges_differ(edit):
    conv = _middle(edit)
    dequantize = edit.producer(conv.input[1])
    integers, scale = edit.value(dequantize.input[0]), edit.value(dequantize.input[1])
    ranges = np.abs(integers.astype(float) * scale[:, None, None, None]).max((1, 2, 3))
    ranges *= np.geomspace(1, 10, len(ranges))
    weights = integers * (ranges / ranges.max() / 1.0)[:, None, None, None]
    dequantize.input[0] = edit.constant(np.rint(weights).astype(np.int8))
    dequantize.input[1] = edit.constant(np.float32(ranges.max() / 127))
    dequantize.input[2] = edit.constant(np.int8(0))
    kept = np.abs(np.rint(weights)).max((1, 2, 3))
    lost = 20 * np.log10(kept.max() / kept)
    finding = only(edit, "per-tensor-weights")
    assert finding.node == conv.name
    assert finding.severity == ("error" if lost.mean() >= 12 else "warning")
    assert finding.cost.startswith(f"{lost.mean():.1f} dB")
    assert f"{lost.max():.1f} dB in the worst" in finding.cost


def test_equal_scales_for_all_channels_are_one_scale(edit):
    conv = _middle(edit)
    dequantize = edit.producer(conv.input[1])
    scale = edit.value(dequantize.input[1])
    integers = edit.value(dequantize.input[0])
    weights = np.rint(integers * (scale / scale.max())[:, None, None, None])
    dequantize.input[0] = edit.constant(weights.astype(np.int8))
    dequantize.input[1] = edit.constant(np.full_like(scale, scale.max()))
    assert only(edit, "per-tensor-weights").node == conv.name
    wished = policy_of("csp")
    wished = wished.model_copy(
        update={"weights": wished.weights.model_copy(update={"per_channel": False})}
    )
    assert only(edit, "per-tensor-weights", policy=wished).severity == "note"


def test_channels_without_weights_are_counted(edit):
    conv = _middle(edit)
    dequantize = edit.producer(conv.input[1])
    integers = edit.value(dequantize.input[0]).copy()
    integers[:3] = 0
    dequantize.input[0] = edit.constant(integers)
    finding = only(edit, "dead-channels")
    assert (finding.severity, finding.node) == ("note", conv.name)
    assert finding.what.startswith("3 of ")


@pytest.mark.parametrize("scale", [0.0, -0.1, np.nan, np.inf])
def test_a_scale_that_is_no_positive_number_is_broken(edit, scale):
    quantize = edit.producer(edit.producer(_middle(edit).input[0]).input[0])
    edit.own_grid(quantize, scale)
    finding = only(edit, "broken-scale")
    assert (finding.severity, finding.node) == ("error", quantize.name)


def test_the_range_of_a_tensor_that_was_zero_is_found(edit):
    quantize = edit.producer(edit.producer(_middle(edit).input[0]).input[0])
    edit.own_grid(quantize, 1e-8)
    finding = only(edit, "tiny-scale")
    assert (finding.severity, finding.node) == ("warning", quantize.name)


def test_signed_data_with_8_bit_weights_can_saturate_and_the_spelling_mends_it():
    plain = lint(exported("csp", "compact"), LintOptions(engine="openvino"))
    assert {f.rule for f in plain.findings} == {"saturation"}
    assert all("64,770" in f.what for f in plain.findings)  # 2 * (127 + 128) * 127
    for backbone in ("csp", "mobile"):
        dialect = load_policy("default").dialects["openvino"]
        spelled = spelled_for("openvino", exported(backbone, "compact"), dialect)
        assert lint(spelled, LintOptions(engine="openvino")).findings == ()


def test_rounding_coordinates_is_measured_in_pixels(edit):
    multiply = edit.producer(edit.producer("keypoints").input[0])
    assert multiply.op_type == "Mul"
    planted = edit.insert_pair(multiply.output[0], 2.5)
    finding = only(edit, "quantized-decoding")
    assert (finding.severity, finding.node, finding.op) == ("error", multiply.name, "Mul")
    assert planted in finding.nodes
    assert "steps of 2.5 input px" in finding.cost
    step = only(edit, "coarse-step")
    assert step.what.startswith("one step is 2.5 input px in output keypoints, tolerance 0.5")
    assert found(edit, "coarse-step", tolerance_px=2.5) == []


@pytest.mark.parametrize(("level", "stride"), [(0, 8), (2, 32)])
@pytest.mark.parametrize("contract", ["compact", "raw"])
def test_rounding_the_heads_offsets_is_measured_in_pixels(contract, level, stride):
    edit = Edit(exported("csp", contract))
    conv = edit.named(f"head.keypoints.{level}")
    edit.insert_pair(conv.output[0], 0.05)
    finding = only(edit, "coarse-step")
    assert (finding.severity, finding.node) == ("error", conv.name)
    # A compact graph picks the stride at run time: its largest counts.
    pixels = 0.05 * 2 * (32 if contract == "compact" else stride)
    assert finding.what.startswith(f"one step is {pixels:.3g} input px")
    assert found(edit, "quantized-decoding") == []


def test_steps_of_scores_are_measured_as_probabilities(edit):
    conv = edit.named("head.scores.1")
    edit.insert_pair(conv.output[0], 0.1)
    finding = only(edit, "coarse-step")
    assert (finding.severity, finding.node) == ("warning", conv.name)
    assert finding.what.startswith("one step is 0.025 of a probability in output scores")


def test_a_probability_of_8_bits_is_within_the_tolerance(edit):
    edit.insert_pair("scores", 1 / 255, zero=np.uint8(0))
    assert found(edit, "coarse-step") == []
    assert only(edit, "quantized-decoding").severity == "warning"


@pytest.mark.parametrize(("quantized", "severity"), [(False, "warning"), (True, "error")])
def test_an_output_that_joins_scores_and_pixels_is_named(edit, quantized, severity):
    edit.nodes.extend([
        helper.make_node("Reshape", ["keypoints", edit.constant(np.array([1, -1]))], ["flat"]),
        helper.make_node("Concat", ["scores", "flat"], ["everything"], "join", axis=1),
    ])  # fmt: skip
    info = helper.make_tensor_value_info("everything", TensorProto.FLOAT, None)
    edit.model.graph.output.append(info)
    if quantized:
        edit.insert_pair("everything", 3.0)
    finding = only(edit, "mixed-output")
    assert (finding.severity, finding.node) == (severity, "everything")
    assert "join" in finding.nodes
    if quantized:
        assert "steps of 3: every score is 0" in finding.cost


def test_the_error_names_node_cost_and_mend(edit):
    for join in edit.of_kind("Add")[:2]:
        edit.bypass(_dequantized(edit, join), join)
    first = edit.of_kind("Add")[0].name
    with pytest.raises(ExportError) as caught:
        require_clean("tensorrt", edit.model, policy_of("csp"))
    text = str(caught.value)
    assert text.startswith("lint for tensorrt, ")
    assert "expected no unquantized-input, got Add: the residual from" in text
    assert "which costs" in text
    assert "(and 1 more); put Q/DQ on it" in text
    assert first in text or edit.of_kind("Add")[1].name in text


def test_a_float_graph_says_that_nothing_is_quantized():
    model = export_onnx(fold(float_network()), "raw", (64, 64), 10)
    report = require_clean("onnxruntime", model, None)
    assert [(f.rule, f.severity) for f in report.findings] == [("no-quantization", "note")]
    assert report.summary.float_share == 1.0


def test_weights_may_be_floats_with_q_and_dq(edit):
    for node in list(edit.of_kind("Conv")):
        dequantize = next((n for n in edit.nodes if node.input[1] in n.output), None)
        if dequantize is None:
            continue
        integers, scale = edit.value(dequantize.input[0]), edit.value(dequantize.input[1])
        shape = (-1, *[1] * (integers.ndim - 1))
        floats = edit.constant(integers.astype(np.float32) * scale.reshape(shape))
        name = f"{node.name}_q"
        grid = [floats, *dequantize.input[1:]]
        place = list(edit.nodes).index(dequantize)
        edit.nodes.insert(place, helper.make_node("QuantizeLinear", grid, [name], name, axis=0))
        dequantize.input[0] = name
    used = {name for node in edit.nodes for name in node.input}
    kept = [t for t in edit.model.graph.initializer if t.name in used]
    del edit.model.graph.initializer[:]
    edit.model.graph.initializer.extend(kept)
    report = lint(edit.model)
    assert report.findings == ()
    assert report.summary.int8_convolutions == 62


def test_constants_may_be_nodes(edit):
    nodes = [helper.make_node("Constant", [], [t.name], value=t)
             for t in edit.model.graph.initializer]  # fmt: skip
    nodes += list(edit.nodes)
    del edit.nodes[:], edit.model.graph.initializer[:]
    edit.nodes.extend(nodes)
    report = lint(edit.model, LintOptions(engine="tensorrt"))
    assert report.findings == ()
    assert report.summary.int8_convolutions == 62


def test_weights_in_another_file_are_not_needed(edit):
    plain = lint(edit.model).summary
    for tensor in edit.model.graph.initializer:
        if numpy_helper.to_array(tensor).size > 64:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="gone.bin")
    report = lint(edit.model)
    assert report.summary == plain
    assert report.of("error") == []
