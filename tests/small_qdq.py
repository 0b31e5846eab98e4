"""A Q/DQ network of a few nodes with everything that a spelling has to get right.

A float stem, three int8 convolutions (one of them added to its input), a Split and an upsampling
that meet in a Concat, a float convolution as the head, and a sigmoid with TopK behind it.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = (16, 16)
CHANNELS = 8
BEST = 5
INT8 = ["a.conv", "b.conv", "c.conv"]


class Network:
    """Builds the graph node by node; tests plant their faults in what it returns."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], *outputs: str, **settings: object) -> str:
        name = settings.pop("name", f"node_{outputs[0]}")
        self.nodes.append(helper.make_node(kind, inputs, list(outputs), name, **settings))
        return outputs[0]

    def constant(self, name: str, value: object, dtype: type) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def quantized(self, source: str, scale: str) -> str:
        """Quantize and dequantize ``source``."""
        integers = self.add("QuantizeLinear", [source, scale, "zero"], f"{source}_q")
        return self.add("DequantizeLinear", [integers, scale, "zero"], f"{source}_dq")

    def convolution(self, name: str, source: str, c_in: int, c_out: int, *, int8: bool) -> str:
        """Add a convolution of 3 x 3, or of 1 x 1 for the head."""
        side = 1 if name.startswith("head") else 3
        shape = (c_out, c_in, side, side)
        if int8:
            weight = self.constant(f"{name}.weight", self.random.integers(-63, 64, shape), np.int8)
            scale = self.constant(
                f"{name}.weight_scale", self.random.uniform(1e-3, 4e-3, c_out), np.float32
            )
            zero = self.constant(f"{name}.weight_zero", np.zeros(c_out), np.int8)
            weight = self.add("DequantizeLinear", [weight, scale, zero], f"{name}_w", axis=0)
        else:
            values = self.random.normal(0, (c_in * side * side) ** -0.5, shape)
            weight = self.constant(f"{name}.weight", values, np.float32)
        bias = self.constant(f"{name}.bias", self.random.normal(0, 0.1, c_out), np.float32)
        inputs = [source, weight, bias]
        return self.add("Conv", inputs, f"{name}_out", name=name, pads=[side // 2] * 4)


def small_network(seed: int = 0) -> onnx.ModelProto:
    """Return the network as the shared exporter writes one: opset 18, int8 weights."""
    net = Network(seed)
    net.constant("zero", 0, np.int8)
    for name, scale in (("s0", 6 / 127), ("s1", 0.01), ("s2", 0.03)):
        net.constant(name, scale, np.float32)
    limits = [net.constant("low", 0, np.float32), net.constant("high", 6, np.float32)]
    stem = net.convolution("stem", "images", 3, CHANNELS, int8=False)
    x = net.quantized(net.add("Clip", [stem, *limits], "stem_act"), "s0")
    x = net.convolution("a.conv", x, CHANNELS, CHANNELS, int8=True)
    first = net.quantized(net.add("Relu", [x], "a_act"), "s1")
    second = net.quantized(net.convolution("b.conv", first, CHANNELS, CHANNELS, int8=True), "s1")
    x = net.quantized(net.add("Add", [first, second], "sum"), "s2")
    net.add("Split", [x], "left", "right", axis=1, num_outputs=2)
    x = net.convolution("c.conv", "left", CHANNELS // 2, CHANNELS, int8=True)
    x = net.quantized(net.add("Relu", [x], "c_act"), "s2")
    sizes = net.constant("twice", [1, 1, 2, 2], np.float32)
    resize = {"mode": "nearest", "nearest_mode": "floor", "antialias": 0}
    resize |= {"coordinate_transformation_mode": "asymmetric"}
    resize |= {"keep_aspect_ratio_policy": "stretch"}
    up = net.add("Resize", [x, "", sizes], "up", **resize)
    wide = net.add("Resize", ["right", "", sizes], "wide", **resize)
    x = net.add("Concat", [up, wide], "joined", axis=1)
    x = net.convolution("head.scores", x, CHANNELS + CHANNELS // 2, 1, int8=False)
    flat = net.add("Reshape", [x, net.constant("flat_shape", [1, -1], np.int64)], "flat")
    scores = net.add("Sigmoid", [flat], "all_scores")
    net.add("TopK", [scores, net.constant("best", [BEST], np.int64)], "scores", "places", axis=1)
    model = helper.make_model(
        helper.make_graph(
            net.nodes,
            "small",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *SIZE])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, BEST])],
            net.constants,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def float_network(seed: int = 0) -> onnx.ModelProto:
    """Return the same network without Q/DQ, with the weights as they are dequantized."""
    model = small_network(seed)
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    alias: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        node.input[:] = [alias.get(name, name) for name in node.input]
        if node.op_type == "QuantizeLinear":
            alias[node.output[0]] = node.input[0]
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            values = constants[node.input[0]] * constants[node.input[1]].reshape(-1, 1, 1, 1)
            tensor = numpy_helper.from_array(values.astype(np.float32), node.output[0])
            model.graph.initializer.append(tensor)
        elif node.op_type == "DequantizeLinear":
            alias[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    tensors = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    onnx.checker.check_model(model, full_check=True)
    return model


def node_named(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def constant_named(model: onnx.ModelProto, name: str) -> np.ndarray:
    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name))


def set_constant(model: onnx.ModelProto, name: str, value: object, dtype: type) -> None:
    """Replace a constant, or add it."""
    tensor = numpy_helper.from_array(np.asarray(value, dtype), name)
    for old in model.graph.initializer:
        if old.name == name:
            old.CopyFrom(tensor)
            return
    model.graph.initializer.append(tensor)


def run(model: onnx.ModelProto, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the graph in ONNX Runtime as it is written, nothing fused."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images}), strict=True))
