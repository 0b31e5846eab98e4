"""The network for DLA computes what its quantized weights say, and every tensor has its scale."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from small_qdq import (
    SIZE,
    constant_named,
    float_network,
    node_named,
    run,
    set_constant,
    small_network,
)

from erpose_edge.errors import ExportError, RequestError
from erpose_edge.exporters.tensorrt.dla import dla_files
from erpose_edge.exporters.tensorrt.dla.graph import split_early, without_quantizers
from erpose_edge.exporters.tensorrt.dla.scales import half_layers, quantizer_scales, spread_scales
from erpose_edge.exporters.tensorrt.dla.weights import requantized, weight_moves
from erpose_edge.exporters.tensorrt.graphs import flagged
from erpose_edge.runtime.tensorrt.calibration import cache_text, read_cache
from erpose_edge.runtime.tensorrt.dla import DLA_ONNX, DLA_PLAN, plan_from_bytes


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((1, 3, *SIZE)).astype(np.float32)


def full_range(model):
    """Let the weights of every channel reach -127, so that TensorRT's grid is the network's."""
    for name in ("a.conv", "b.conv", "c.conv"):
        integers = constant_named(model, f"{name}.weight").copy()
        integers[:, 0, 0, 0] = -127
        set_constant(model, f"{name}.weight", integers, np.int8)
    return model


def chained():
    """Return a network whose Split stands behind a convolution and its activation alone."""
    model = full_range(small_network())
    for node in model.graph.node:
        # The split reads the sum; let it read the activation of the first convolution instead.
        node.input[:] = ["a_act_dq" if node.op_type == "Split" else name for name in node.input]
        if node.name == "node_b.conv_out" or node.name == "b.conv":
            node.input[0] = "stem_act_dq"
        if node.op_type == "Add":
            node.input[0] = "b.conv_out_dq"
    onnx.checker.check_model(model, full_check=True)
    return flagged(model)


def test_the_graph_has_no_quantizers_and_gives_what_the_dequantized_weights_give(images):
    network = without_quantizers(flagged(small_network()))
    assert not {n.op_type for n in network.model.graph.node} & {
        "QuantizeLinear",
        "DequantizeLinear",
    }
    assert network.int8 == ("a.conv", "b.conv", "c.conv")
    expected, found = run(float_network(), images), run(network.model, images)
    assert list(found) == list(expected)
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=0, atol=1e-6)


def test_the_graph_that_it_was_made_from_is_left_as_it_was():
    model = flagged(small_network())
    before = model.SerializeToString()
    dla_files(model, "int8", None)
    assert model.SerializeToString() == before


def test_a_split_output_becomes_a_convolution_for_each_part(images):
    model = chained()
    network, part_of = split_early(without_quantizers(model))
    names = [node.name for node in network.model.graph.node]
    assert "Split" not in {node.op_type for node in network.model.graph.node}
    assert names[2:6] == ["a.conv.0", "node_a_act.0", "a.conv.1", "node_a_act.1"]
    assert network.int8 == ("a.conv.0", "a.conv.1", "b.conv", "c.conv")
    assert part_of == {"a.conv_out.0": "a.conv_out", "left": "a_act",
                       "a.conv_out.1": "a.conv_out", "right": "a_act"}  # fmt: skip
    whole = constant_named(model, "a.conv.weight_scale")
    halves = [network.weight_scales[f"a.conv.{part}"] for part in (0, 1)]
    assert np.array_equal(np.concatenate(halves), whole)
    expected = run(without_quantizers(model).model, images)["scores"]
    np.testing.assert_allclose(run(network.model, images)["scores"], expected, rtol=0, atol=1e-6)
    plan = plan_from_bytes(dla_files(model, "int8", None)[DLA_PLAN])
    assert plan.scales["left"] == plan.scales["a.conv_out.1"] == float(np.float32(0.01))


@pytest.mark.parametrize("source", ["sum_dq", "a_act_dq"])
def test_a_split_of_a_sum_or_of_what_others_read_stays(source):
    model = small_network()
    node_named(model, "node_left").input[0] = source
    network, part_of = split_early(without_quantizers(flagged(model)))
    assert part_of == {}
    assert node_named(network.model, "node_left").op_type == "Split"


def test_every_tensor_around_an_int8_layer_has_the_scale_of_the_quantizer_next_to_it():
    model = flagged(small_network())
    network = without_quantizers(model)
    scales = spread_scales(network.model, quantizer_scales(model))
    s0, s1, s2 = (float(np.float32(value)) for value in (6 / 127, 0.01, 0.03))
    assert scales == {
        "stem_act": s0, "stem_out": s0, "a_act": s1, "a.conv_out": s1, "b.conv_out": s1, "sum": s2,
        "left": s2, "right": s2, "c.conv_out": s2, "c_act": s2, "up": s2, "wide": s2, "joined": s2,
    }  # fmt: skip
    assert half_layers(network.model, scales, network.int8) == {
        "stem": "float by the policy",
        "node_left": "Split is float16 on DLA",
        "head.scores": "float by the policy",
        "node_flat": "Reshape is float16 on DLA",
        "node_all_scores": "Sigmoid is float16 on DLA",
        "node_scores": "all_scores has no scale",
    }


def test_without_a_quantizer_the_layers_around_a_tensor_are_float16():
    model = flagged(small_network())
    network = without_quantizers(model)
    known = {n: s for n, s in quantizer_scales(model).items() if n != "sum"}
    scales = spread_scales(network.model, known)
    half = half_layers(network.model, scales, network.int8)
    assert half["node_sum"] == "sum has no scale"
    assert half["c.conv"] == "left has no scale"
    assert "right" not in scales  # a Concat of several tensors gives no scale to one of them
    assert "a.conv" not in half


def test_two_scales_of_one_tensor_are_refused():
    model = small_network()
    more = helper.make_node("QuantizeLinear", ["sum", "s1", "zero"], ["twice_q"], "twice")
    model.graph.node.insert(0, more)
    with pytest.raises(ExportError) as caught:
        quantizer_scales(model)
    assert str(caught.value) == (
        "tensorrt dla: sum: expected one scale, got 0.01 and 0.03; DLA has one for each tensor: "
        "mend the policy"
    )


def test_a_quantized_output_is_refused():
    model = flagged(small_network())
    model.graph.output[0].name = "c_act_dq"
    with pytest.raises(ExportError, match="tensorrt dla: c_act_dq: expected float outputs, got a"):
        without_quantizers(model)


def test_weights_that_reach_127_do_not_move_and_others_by_less_than_a_quarter_step():
    model = small_network()
    moves = weight_moves(without_quantizers(flagged(model)))
    assert (moves.channels, moves.exact) == (24, 0)  # drawn from -63 to 63
    assert 0.1 < moves.largest_steps <= 0.26
    moves = weight_moves(without_quantizers(flagged(full_range(model))))
    assert (moves.channels, moves.exact) == (24, 24)
    assert moves.largest_steps < 1e-4
    assert moves.relative_rms < 1e-6


def as_implicit_int8(files):
    """Return the graph as TensorRT computes it: tensors on their scales, weights on its own."""
    plan, model = plan_from_bytes(files[DLA_PLAN]), onnx.load_from_string(files[DLA_ONNX])
    readers = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes, renamed = [], {}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.name not in plan.half:
            weight = weights[node.input[1]]
            values = requantized(numpy_helper.to_array(weight)).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
        node.input[:] = [renamed.get(name, name) for name in node.input]
        nodes.append(node)
        for name in node.output:
            # What an activation alone reads is computed with it, and never leaves the layer.
            if name in plan.scales and readers.get(name) not in (["Relu"], ["Clip"]):
                set_constant(model, f"{name}_s", plan.scales[name], np.float32)
                set_constant(model, f"{name}_z", 0, np.int8)
                grid = [f"{name}_s", f"{name}_z"]
                nodes.append(helper.make_node("QuantizeLinear", [name, *grid], [f"{name}_i"]))
                nodes.append(
                    helper.make_node("DequantizeLinear", [f"{name}_i", *grid], [f"{name}_d"])
                )
                renamed[name] = f"{name}_d"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@pytest.mark.parametrize("make", [lambda: flagged(full_range(small_network())), lambda: chained()])
def test_implicit_int8_with_these_scales_is_the_quantized_network(make, images):
    model = make()
    expected = run(model, images)["scores"]
    found = run(as_implicit_int8(dla_files(model, "int8", None)), images)["scores"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@given(st.lists(st.integers(-127, 127), min_size=1, max_size=20), st.floats(2**-16, 8, width=32))
def test_weights_on_a_grid_of_127_steps_stay_on_it(integers, scale):
    weights = np.array([[127, *integers]], np.float32) * np.float32(scale)
    np.testing.assert_allclose(requantized(weights), weights, rtol=1e-6, atol=0)


def test_the_plan_is_read_as_it_was_written_and_gives_a_cache():
    files = dla_files(flagged(small_network()), "int8", 4)
    assert sorted(files) == [DLA_PLAN, DLA_ONNX]
    plan = plan_from_bytes(files[DLA_PLAN])
    assert plan.to_bytes() == files[DLA_PLAN]
    assert (plan.graph, plan.max_transitions) == (DLA_ONNX, 4)
    assert read_cache(cache_text(plan.scales, "8.5.2"), "8.5.2") == plan.scales
    graph = onnx.load_from_string(files[DLA_ONNX]).graph
    assert [layer.name for layer in plan.layers] == [node.name for node in graph.node]
    tensors = {name for node in graph.node for name in node.output}
    assert set(plan.scales) <= tensors
    weights = numpy_helper.to_array(graph.initializer[0])
    assert weights.dtype == np.float32


def test_float16_has_layers_and_no_scales():
    files = dla_files(flagged(float_network()), "fp16", None)
    plan = plan_from_bytes(files[DLA_PLAN])
    assert (list(files), plan.graph, plan.scales, plan.half) == ([DLA_PLAN], "model.onnx", {}, ())
    assert plan.layers


def test_float32_is_refused():
    with pytest.raises(RequestError) as caught:
        dla_files(flagged(float_network()), "fp32", None)
    assert str(caught.value) == (
        "dla: expected fp16 or int8, got fp32; DLA does not compute in float32: leave --dla out"
    )
