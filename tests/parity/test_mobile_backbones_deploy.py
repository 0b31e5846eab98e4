"""Backbones of inverted residuals quantize and run on an engine as the CSP backbone does."""

from __future__ import annotations

import functools

import pytest
import torch
from quantized_network import float_network, quantized_network, smooth_images

from erpose_edge.network.pose_network import DeployNetwork, output_names
from erpose_edge.quantization.fake_quantize import quantized_convolutions, set_mode
from erpose_edge.quantization.prepare import prepare
from erpose_edge.quantization.recipe import load_policy

SIZE = (128, 128)  # enough grid points for a mean
NETWORKS = pytest.mark.parametrize("backbone", ["mobile", "efficientnet-lite0"])
# Largest mean difference of an output, in units of the one that quantization itself makes.
DEEP_NOISE = 1.5


@functools.cache
def network_of(backbone):
    return float_network(backbone=backbone)


def outputs(network, images):
    with torch.no_grad():
        found = DeployNetwork(network, "raw", SIZE)(images)
    return {n: t.numpy() for n, t in zip(output_names("raw"), found, strict=True)}


def integers_read(model):
    """Return the type of the integers that each int8 convolution of a Q/DQ graph reads, by name."""
    from onnx import TensorProto

    makers = {out: node for node in model.graph.node for out in node.output}
    types = {t.name: TensorProto.DataType.Name(t.data_type) for t in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in makers:  # float weights are constants
            continue
        source = makers[node.input[0]]
        while source.op_type != "DequantizeLinear":
            source = makers[source.input[0]]
        found[node.name] = types[source.input[2]]
    return found


@NETWORKS
def test_unquantized_it_is_the_network_and_only_the_policys_part_stays_float(backbone):
    network, images = network_of(backbone), smooth_images(1, 7, SIZE)
    prepared = prepare(network, load_policy("default"))
    set_mode(prepared, "float")
    expected, found = outputs(network, images), outputs(prepared, images)
    for name, values in expected.items():
        assert abs(found[name] - values).max() < 2e-3 * max(1, abs(values).max())
    inside = {n for n, m in network.backbone.named_modules() if isinstance(m, torch.nn.Conv2d)}
    int8 = {n for n in quantized_convolutions(prepared) if n.startswith("backbone.")}
    assert int8 == {f"backbone.{name}" for name in inside} - {"backbone.stem.conv"}


@pytest.mark.slow
@NETWORKS
def test_openvino_runs_all_of_it_in_int8_and_finds_the_same(backbone):
    ov = pytest.importorskip("openvino")
    from erpose_edge.exporters import openvino
    from erpose_edge.exporters.dialect import spelled_for
    from erpose_edge.exporters.onnx import export_onnx
    from erpose_edge.exporters.read_back import require_int8

    float_net = network_of(backbone)
    network, images = quantized_network(float_net), smooth_images(1, 60, SIZE)
    model = export_onnx(network, "raw", SIZE, 10)
    spelled = spelled_for("openvino", model, load_policy("default").dialects["openvino"])
    assert integers_read(spelled) == {
        name: "UINT8" if conv.limit == 127 else "INT8"
        for name, conv in quantized_convolutions(network).items()
    }
    files = openvino.convert(spelled, half=False)
    int8 = list(quantized_convolutions(network))
    require_int8("openvino", openvino.convolution_precisions(files), int8)
    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(files[openvino.MODEL_XML], files[openvino.MODEL_BIN]),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    found = compiled(images.numpy())
    exact, expected = outputs(float_net, images), outputs(network, images)
    for port in compiled.outputs:
        (name,) = port.get_names() & expected.keys()
        noise = abs(expected[name] - exact[name]).mean()
        assert abs(found[port] - expected[name]).mean() < DEEP_NOISE * noise


@pytest.mark.slow
def test_onnxruntime_runs_all_of_it_in_int8_and_finds_the_same():
    """It wants uint8 at both ends of a convolution, and some tensors are signed here."""
    ort = pytest.importorskip("onnxruntime")
    from erpose_edge.exporters.dialect import spelled_for
    from erpose_edge.exporters.onnx import export_onnx, serialize
    from erpose_edge.exporters.onnxruntime import convolution_precisions
    from erpose_edge.exporters.read_back import require_int8

    policy = load_policy("narrow-weights")
    float_net = network_of("mobile")
    network, images = quantized_network(float_net, policy), smooth_images(1, 60, SIZE)
    model = export_onnx(network, "raw", SIZE, 10)
    spelled = spelled_for("onnxruntime", model, policy.dialects["onnxruntime"])
    precisions = convolution_precisions(spelled)
    int8 = list(quantized_convolutions(network))
    require_int8("onnxruntime", precisions, int8)
    assert {precisions[name] for name in int8} == {"u8"}
    exact, expected = outputs(float_net, images), outputs(network, images)

    def in_onnxruntime(graph, level):
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        session = ort.InferenceSession(serialize(graph), options)
        names = [port.name for port in session.get_outputs()]
        return dict(zip(names, session.run(names, {"images": images.numpy()}), strict=True))

    as_written, fused = (in_onnxruntime(spelled, f"ORT_{how}_ALL") for how in ("DISABLE", "ENABLE"))
    shared = in_onnxruntime(model, "ORT_DISABLE_ALL")
    for name, values in expected.items():
        assert abs(as_written[name] - shared[name]).max() < 1e-5  # the spelling changes no value
        noise = abs(values - exact[name]).mean()
        assert abs(fused[name] - values).mean() < DEEP_NOISE * noise
