"""Every rule of TensorRT's dialect, each with a fault planted in a graph that keeps it."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from small_qdq import INT8, node_named, set_constant, small_network  # noqa: E402

from erpose_edge.errors import ExportError  # noqa: E402
from erpose_edge.exporters.tensorrt.dialect import find_violations, require_dialect  # noqa: E402
from erpose_edge.exporters.tensorrt.graphs import flagged, typed  # noqa: E402


def found(model):
    return [str(finding) for finding in find_violations(model)]


@pytest.mark.parametrize("spelling", [lambda model: model, flagged, typed])
def test_what_we_write_keeps_every_rule(spelling):
    model = spelling(small_network())
    assert found(model) == []
    require_dialect(model, INT8)


def test_uint8_is_refused_at_both_ends():
    model = small_network()
    set_constant(model, "byte", 0, np.uint8)
    for name in ("node_a_act_q", "node_a_act_dq"):
        node_named(model, name).input[2] = "byte"
    assert found(model) == [
        "node_a_act_q: expected int8, got uint8",
        "node_a_act_dq: expected int8, got uint8",
    ]


def test_a_missing_zero_point_means_uint8_and_is_refused():
    model = small_network()
    del node_named(model, "node_a_act_q").input[2]
    assert found(model) == ["node_a_act_q: expected a constant zero point of type int8, got none"]


def test_another_zero_point_than_0_is_refused():
    model = small_network()
    set_constant(model, "three", 3, np.int8)
    node_named(model, "node_sum_q").input[2] = "three"
    assert found(model) == ["node_sum_q: expected zero point 0, got 3"]


def test_one_channel_with_another_zero_point_is_enough():
    model = small_network()
    set_constant(model, "b.conv.weight_zero", [0] * 7 + [2], np.int8)
    assert found(model) == ["node_b.conv_w: expected zero point 0, got 2"]


@pytest.mark.parametrize("scale", [0.0, -0.1, np.nan, np.inf])
def test_a_scale_that_is_not_above_0_is_refused(scale):
    model = small_network()
    set_constant(model, "bad", scale, np.float32)
    node_named(model, "node_sum_q").input[1] = "bad"
    (finding,) = found(model)
    assert finding.startswith("node_sum_q: expected constant scales above 0, got ")


def test_weights_on_one_scale_are_refused():
    model = small_network()
    set_constant(model, "one_scale", 0.01, np.float32)
    node_named(model, "node_b.conv_w").input[1:] = ["one_scale", "zero"]
    rule = "weights with one scale per output channel (axis 0)"
    assert found(model) == [f"b.conv: expected {rule}, got 0.01 on axis 0"]


def test_weights_with_a_scale_per_input_channel_are_refused():
    model = small_network()
    node_named(model, "node_b.conv_w").attribute[0].i = 1
    (finding,) = found(model)
    assert finding.startswith("b.conv: expected weights with one scale per output channel (axis 0)")
    assert finding.endswith(" on axis 1")


def test_fewer_zero_points_than_scales_are_refused():
    model = small_network()
    node_named(model, "node_b.conv_w").input[2] = "zero"
    assert found(model) == ["node_b.conv_w: expected a zero point for each scale, got 1 for 8"]


def test_activations_on_several_scales_are_refused():
    model = small_network()
    set_constant(model, "many", np.full(8, 0.02), np.float32)
    set_constant(model, "many_zeros", np.zeros(8), np.int8)
    node_named(model, "node_sum_q").input[1:] = ["many", "many_zeros"]
    assert found(model) == ["node_sum_q: expected one scale for activations, got 8"]


@pytest.mark.parametrize(
    ("quantizer", "meeting"), [("b.conv_out", "node_sum"), ("c_act", "node_joined")]
)
def test_unequal_scales_where_tensors_meet_are_refused(quantizer, meeting):
    model = small_network()
    for name in (f"node_{quantizer}_q", f"node_{quantizer}_dq"):
        node_named(model, name).input[1] = "s0"
    (finding,) = found(model)
    assert finding.startswith(f"{meeting}: expected one scale for all inputs, got 0.0")
    assert " and 0.0472441" in finding


def test_scales_of_one_value_under_two_names_are_equal():
    model = small_network()
    set_constant(model, "s1_again", 0.01, np.float32)
    node_named(model, "node_b.conv_out_dq").input[1] = "s1_again"
    assert found(model) == []


def test_a_sum_with_one_float_input_is_refused():
    model = small_network()
    node_named(model, "node_sum").input[1] = "b.conv_out"
    rule = "node_sum: expected all inputs quantized or none, got 1 of 2 inputs quantized"
    assert found(model) == [rule]


def test_int8_weights_with_float_data_are_refused():
    model = small_network()
    node_named(model, "b.conv").input[0] = "a_act"
    assert found(model) == ["b.conv: expected int8 data for int8 weights, got float data"]


def test_a_bias_of_integers_is_refused():
    model = small_network()
    set_constant(model, "integers", np.ones(8), np.int32)
    set_constant(model, "small", np.full(8, 1e-3), np.float32)
    set_constant(model, "zeros", np.zeros(8), np.int8)
    bias = onnx.helper.make_node(
        "DequantizeLinear", ["integers", "small", "zeros"], ["bias"], "bias", axis=0
    )
    model.graph.node.insert(0, bias)
    node_named(model, "b.conv").input[2] = "bias"
    assert found(model) == ["bias: expected weights of type int8 and float biases, got int32"]


def test_a_plugin_is_refused():
    model = small_network()
    node = node_named(model, "node_all_scores")
    node.domain, node.op_type = "nvidia", "EfficientNMS_TRT"
    got = "nvidia:EfficientNMS_TRT"
    assert found(model) == [
        f"node_all_scores: expected an operation of ONNX itself, no plugin, got {got}"
    ]


def test_a_float_convolution_that_the_policy_calls_int8_is_named():
    with pytest.raises(ExportError) as caught:
        require_dialect(small_network(), [*INT8, "stem", "head.scores"])
    assert str(caught.value) == (
        "tensorrt: stem: expected int8 data and weights as the policy says, got a float input "
        "(and 1 more); mend the policy or the network"
    )
    assert caught.value.exit_code == 5


def test_a_convolution_that_vanished_is_named():
    with pytest.raises(ExportError, match=r"tensorrt: d\.conv: .* got no such convolution"):
        require_dialect(small_network(), ["d.conv"])
