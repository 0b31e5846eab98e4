"""What DLA is expected to take follows NVIDIA's list of layers and their limits."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_qdq import small_network

from erpose_edge.errors import ExportError
from erpose_edge.exporters.onnx_graph import Graph
from erpose_edge.exporters.tensorrt.dla.graph import without_quantizers
from erpose_edge.exporters.tensorrt.dla.layers import DECODING, dla_layers, why_not
from erpose_edge.exporters.tensorrt.graphs import flagged
from erpose_edge.runtime.tensorrt.placement import expected_placement

FLOATS = {"x": (1, 8, 20, 20), "y": (1, 8, 20, 20), "flat": (1, 8, 400), "small": (1, 8, 1, 1)}


def reason(kind, inputs=("x",), shape=(1, 8, 20, 20), constants=None, **settings):
    """Return why DLA does not take one node."""
    node = helper.make_node(kind, list(inputs), ["out"], "node", **settings)
    constants = {name: np.asarray(value) for name, value in (constants or {}).items()}
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, FLOATS[name])
        for name in inputs
        if name in FLOATS
    ]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)
    model = helper.make_model(helper.make_graph([node], "one", values, [out], tensors))
    shapes = {**FLOATS, "out": shape, **{name: v.shape for name, v in constants.items()}}
    return why_not(node, Graph(model), shapes)


def convolution(side=3, **settings):
    weight = np.zeros((8, 8 // settings.get("group", 1), side, side), np.float32)
    return reason("Conv", ("x", "w"), constants={"w": weight}, **settings)


def resize(shape, **settings):
    scales = np.array([1, 1, 2, 2], np.float32)
    return reason("Resize", ("x", "", "s"), shape, {"s": scales}, **settings)


@pytest.mark.parametrize(
    "found",
    [
        convolution(), convolution(side=32), convolution(strides=[8, 8], pads=[2] * 4),
        convolution(group=8), convolution(dilations=[32, 32]),
        reason("Relu"), reason("Sigmoid"), reason("Tanh"), reason("LeakyRelu", alpha=0.1),
        reason("Clip", ("x", "a", "b"), constants={"a": 0.0, "b": 6.0}),
        reason("Add", ("x", "y")), reason("Max", ("x", "y")),
        reason("Mul", ("x", "c"), constants={"c": np.float32(3)}),
        reason("Add", ("x", "c"), constants={"c": np.ones((8, 1, 1), np.float32)}),
        reason("Concat", ("x", "y"), (1, 16, 20, 20), axis=1),
        reason("Split", axis=1), reason("MaxPool", kernel_shape=[5, 5], pads=[2] * 4),
        resize((1, 8, 40, 40), mode="nearest", coordinate_transformation_mode="asymmetric",
               nearest_mode="floor"),
        resize((1, 8, 40, 40), mode="linear", coordinate_transformation_mode="half_pixel"),
        reason("Transpose", perm=[0, 1, 3, 2]),
    ],
)  # fmt: skip
def test_what_is_within_the_limits_goes_to_dla(found):
    assert found is None


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (convolution(side=33), "kernel 33x33, DLA takes 1 to 32"),
        (convolution(strides=[9, 1]), r"strides \[9, 1\], DLA takes 1 to 8"),
        (convolution(dilations=[33, 1]), r"dilations \[33, 1\], DLA takes 1 to 32"),
        (convolution(pads=[3] * 4), r"pads \[3, 3, 3, 3\], DLA takes 0 to 31 and less than"),
        (reason("Conv", ("x", "y")), "its weights are computed"),
        (reason("TopK"), "DLA has no TopK"),
        (reason("GatherElements"), "DLA has no GatherElements"),
        (reason("Softmax", axis=1), "only Orin's DLA has Softmax"),
        (reason("Clip", ("x", "a", "b"), constants={"a": -1.0, "b": 1.0}), "DLA clips from 0"),
        (reason("Clip", ("x", "a", "b"), constants={"a": 0.0, "b": 0.5}), "DLA clips from 0"),
        (reason("LeakyRelu", alpha=-0.1), "a negative slope"),
        (reason("Add", ("x", "small")), "inputs of different shapes"),
        (reason("Add", ("x", "c"), constants={"c": np.ones((20, 20))}), "one number for each chan"),
        (reason("Concat", ("x", "y"), (1, 8, 40, 20), axis=2), "DLA concatenates channels only"),
        (reason("Concat", axis=1), "a single input"),
        (reason("Split", axis=0), "DLA slices channels and sides only"),
        (reason("Reshape", shape=(1, 8, 400)), "out has 3 dimensions, DLA takes 4"),
        (reason("Reshape", ("flat",)), "flat has 3 dimensions, DLA takes 4"),
        (reason("Relu", shape=(1, 8193, 20, 20)), r"out is \(1, 8193, 20, 20\), larger than DLA"),
        (reason("MaxPool", kernel_shape=[9, 9]), r"kernel_shape \[9, 9\], DLA takes 1 to 8"),
        (reason("MaxPool", kernel_shape=[2, 2], ceil_mode=1), "ceil_mode 1, DLA takes 0 to 0"),
        (resize((1, 8, 40, 40), mode="nearest", coordinate_transformation_mode="align_corners"),
         "Resize nearest align_corners"),
        (resize((1, 8, 40, 40), mode="cubic"), "Resize cubic half_pixel"),
        (resize((1, 8, 30, 30), mode="nearest"), r"to \(1, 8, 30, 30\), DLA enlarges sides"),
        (resize((1, 8, 100, 100), mode="linear"), "enlarges sides by 1 to 4"),
        (reason("ConvTranspose", ("x", "w"), constants={"w": np.zeros((8, 8, 2, 2))}, pads=[1] * 4),
         "without groups, dilations and pads"),
    ],
)  # fmt: skip
def test_what_is_beyond_a_limit_is_left_to_the_gpu_and_says_why(found, text):
    assert found is not None
    assert re.search(text, found), found


def test_a_network_is_counted_and_its_decoding_stays_on_the_gpu():
    layers = dla_layers(without_quantizers(flagged(small_network())).model)
    by_name = {layer.name: layer for layer in layers}
    assert by_name["stem"].macs == 8 * 16 * 16 * 3 * 9
    assert by_name["c.conv"].macs == 8 * 16 * 16 * 4 * 9
    assert by_name["head.scores"].macs == 32 * 32 * 12
    assert by_name["node_sum"].sources == (3, 4)
    gpu = [layer.name for layer in layers if layer.gpu]
    assert gpu == ["node_flat", "node_all_scores", "node_scores"]
    assert {by_name[name].gpu for name in gpu} == {DECODING}
    found = expected_placement(layers, 4)
    assert (found.transitions, found.dla_share) == (1, 1.0)


def test_an_open_shape_is_refused():
    model = without_quantizers(flagged(small_network())).model
    dimension = model.graph.input[0].type.tensor_type.shape.dim[2]
    dimension.ClearField("dim_value")
    dimension.dim_param = "height"
    with pytest.raises(ExportError, match="images: expected a shape that is known, got none"):
        dla_layers(model)
    assert isinstance(model, onnx.ModelProto)
