"""The two spellings: what they write, and that the values stay what they were."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from small_qdq import (  # noqa: E402
    INT8,
    SIZE,
    constant_named,
    float_network,
    node_named,
    run,
    set_constant,
    small_network,
)

from erpose_edge.errors import ExportError  # noqa: E402
from erpose_edge.exporters.tensorrt.graphs import flagged, typed  # noqa: E402

HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def images(seed=0):
    return np.random.default_rng(seed).random((1, 3, *SIZE), dtype=np.float32)


def output_types(model):
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = (*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return {node.name: types[node.output[0]] for node in model.graph.node}


@pytest.mark.parametrize("spelling", [flagged, typed])
@pytest.mark.parametrize("network", [small_network, float_network])
def test_both_are_in_the_opset_that_tensorrt_8_5_reads(spelling, network):
    original = network()
    model = spelling(original)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    assert original.opset_import[0].version == 18  # left as it was
    added = {"num_outputs", "antialias", "keep_aspect_ratio_policy"}
    names = {a.name for node in model.graph.node for a in node.attribute}
    assert not added & names


def test_uneven_parts_cannot_be_said_in_opset_17():
    model = small_network()
    split = node_named(model, "node_left")
    next(a for a in split.attribute if a.name == "num_outputs").i = 3
    with pytest.raises(ExportError, match=r"^tensorrt node_left: num_outputs: expected what opset"):
        flagged(model)


def test_an_operation_of_opset_18_is_refused_with_a_reason():
    model = small_network()
    node = node_named(model, "node_all_scores")
    node.op_type = "Mish"
    with pytest.raises(ExportError, match=r"^tensorrt: expected a graph of ONNX opset 17, got: "):
        flagged(model)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_the_flagged_spelling_gives_the_very_same_numbers(seed):
    model = small_network(seed)
    before, after = run(model, images(seed)), run(flagged(model), images(seed))
    assert list(after) == list(before) == ["scores"]
    assert np.array_equal(before["scores"], after["scores"])


def test_flagged_weights_are_float_behind_q_and_dq():
    model = flagged(small_network())
    integers, scale = (
        constant_named(small_network(), f"a.conv.{n}") for n in ("weight", "weight_scale")
    )
    quantize = node_named(model, "node_a.conv_w_quantize")
    assert list(quantize.input) == ["a.conv.weight", "a.conv.weight_scale", "a.conv.weight_zero"]
    assert quantize.attribute[0].name == "axis"
    assert quantize.attribute[0].i == 0
    weights = constant_named(model, "a.conv.weight")
    assert weights.dtype == np.float32
    assert np.array_equal(weights, integers * scale.reshape(-1, 1, 1, 1))


def test_a_flagged_float_graph_stays_float32():
    model = flagged(float_network())
    assert set(output_types(model).values()) == {FLOAT}
    assert np.array_equal(run(model, images())["scores"], run(float_network(), images())["scores"])


def test_typed_float_convolutions_are_half_and_the_last_stage_is_not():
    types = output_types(typed(float_network()))
    halves = {name for name, kind in types.items() if kind == HALF}
    assert {"stem", *INT8, "node_sum", "node_left", "node_up", "node_joined"} <= halves
    for name in ("head.scores", "node_flat", "node_all_scores", "node_scores"):
        assert types[name] == FLOAT


def test_typed_int8_keeps_the_scales_and_the_integers():
    original, model = small_network(), typed(small_network())
    types = output_types(model)
    assert {types["stem"], types["node_stem_act"]} == {HALF}
    for name in ("s0", "s1", "s2", "a.conv.weight", "a.conv.weight_scale"):
        kept, before = constant_named(model, name), constant_named(original, name)
        assert kept.dtype == before.dtype
        assert np.array_equal(kept, before)
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" or node.name in INT8:
            assert types[node.name] == FLOAT


def test_a_sum_of_half_and_dequantized_stays_float32():
    model = small_network()
    node_named(model, "node_sum").input[1] = "stem_act"
    types = output_types(typed(model))
    assert types["node_stem_act"] == HALF
    assert types["node_sum"] == FLOAT


@pytest.mark.parametrize("network", [small_network, float_network])
def test_typed_inputs_and_outputs_stay_float32(network):
    model = typed(network())
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type == FLOAT


def test_half_outputs_are_cast_for_whoever_runs_the_network():
    model = float_network()
    middle = onnx.helper.make_tensor_value_info("a_act", FLOAT, [1, 8, *SIZE])
    model.graph.output.append(middle)
    half = typed(model)
    outputs = run(half, images())
    assert outputs["a_act"].dtype == np.float32
    assert not np.array_equal(outputs["a_act"], run(model, images())["a_act"])  # it was half
    assert np.allclose(outputs["a_act"], run(model, images())["a_act"], atol=2e-2)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_half_precision_changes_a_score_by_less_than_a_thousandth(seed):
    model = float_network(seed)
    before, after = run(model, images(seed)), run(typed(model), images(seed))
    assert np.abs(before["scores"] - after["scores"]).max() < 2e-3


def test_a_constant_that_half_precision_cannot_hold_is_named():
    model = float_network()
    weights = constant_named(model, "stem.weight").copy()
    weights.flat[0] = 7e4
    set_constant(model, "stem.weight", weights, np.float32)
    with pytest.raises(ExportError) as caught:
        typed(model)
    assert str(caught.value) == (
        "tensorrt stem: expected constants that float16 holds (up to 65504), got 7e+04; export fp32"
    )
