"""One quantized network, three implementations: fake-quantized torch, Q/DQ ONNX, OpenVINO int8.

Tight tolerances are held on a shallow network that has every kind of layer. In a deep one with
random weights a single value that lies on the border of two int8 steps and falls the other way
grows into the noise of quantization itself, so there the noise is the unit.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from quantized_network import float_network, quantized_network, smooth_images
from shallow_network import SIZE, shallow, shallow_policy

from erpose_edge.errors import ExportError
from erpose_edge.exporters import onnxruntime, openvino
from erpose_edge.exporters.dialect import not_negative_as_uint8, spelled_for
from erpose_edge.exporters.onnx import export_onnx, serialize
from erpose_edge.exporters.read_back import require_int8
from erpose_edge.network.pose_network import DeployNetwork, output_names
from erpose_edge.quantization.fake_quantize import quantized_convolutions, set_mode
from erpose_edge.quantization.prepare import fold
from erpose_edge.quantization.recipe import load_policy

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
ov = pytest.importorskip("openvino")

MAX_POSES = 10

# Largest differences of a shallow network's outputs.
EXACT_LOGIT = 1e-3  # Q/DQ read literally; logits and offsets, own unit
EXACT_PX = 0.05  # keypoints, input pixels
FLOAT_LOGIT = 1e-3  # plain float graphs
# Mean differences in units of the mean difference that quantization itself makes.
FUSED_NOISE = 1.0  # ONNX Runtime's own int8 kernels: they round biases and sums once more
DEEP_NOISE = 1.5  # any engine, whole ER-Pose-n with random weights


@pytest.fixture(scope="module")
def float_net():
    return shallow()


@pytest.fixture(scope="module")
def network(float_net):
    return quantized_network(float_net, shallow_policy())


@pytest.fixture(scope="module")
def qdq(network):
    return export_onnx(network, "raw", SIZE, MAX_POSES)


@pytest.fixture(scope="module")
def images():
    return smooth_images(1, 50, SIZE)


def in_torch(network, contract, images, size=SIZE):
    with torch.no_grad():
        outputs = DeployNetwork(network, contract, size, MAX_POSES)(images)
    return {n: t.numpy() for n, t in zip(output_names(contract), outputs, strict=True)}


def in_onnxruntime(model, images, *, fused):
    options = ort.SessionOptions()
    level = "ORT_ENABLE_ALL" if fused else "ORT_DISABLE_ALL"
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    session = ort.InferenceSession(serialize(model), options)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images.numpy()}), strict=True))


def in_openvino(files, images):
    core = ov.Core()
    model = core.read_model(files[openvino.MODEL_XML], files[openvino.MODEL_BIN])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(images.numpy())
    return {_name(port): found[port].copy() for port in compiled.outputs}


def _name(port):
    """Return the output's name in ONNX; OpenVINO gives it further ones."""
    (name,) = port.get_names() & {*output_names("raw"), *output_names("compact")}
    return name


def largest(ours, theirs):
    assert ours.keys() == theirs.keys()
    return max(float(np.abs(ours[n] - theirs[n]).max()) for n in ours)


def in_noise(ours, theirs, exact):
    """Return the largest mean difference of an output over that which quantization makes."""
    return max(
        float(np.abs(ours[n] - theirs[n]).mean() / np.abs(theirs[n] - exact[n]).mean())
        for n in ours
    )


def test_qdq_onnx_is_the_fake_quantized_network(network, qdq, images):
    got = in_onnxruntime(qdq, images, fused=False)
    assert largest(got, in_torch(network, "raw", images)) < EXACT_LOGIT


def test_uint8_dialect_is_the_same_network(network, qdq, images):
    got = in_onnxruntime(not_negative_as_uint8(qdq), images, fused=False)
    assert largest(got, in_torch(network, "raw", images)) < EXACT_LOGIT


def for_onnxruntime(model):
    return spelled_for("onnxruntime", model, load_policy("default").dialects["onnxruntime"])


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_onnxruntimes_spelling_is_the_same_network_and_all_of_it_runs_in_int8(images, activation):
    network = quantized_network(shallow(activation), shallow_policy())
    model = for_onnxruntime(export_onnx(network, "raw", SIZE, MAX_POSES))
    got = in_onnxruntime(model, images, fused=False)
    assert largest(got, in_torch(network, "raw", images)) < EXACT_LOGIT
    precisions = onnxruntime.convolution_precisions(model)
    assert {n: precisions[n] for n in quantized_convolutions(network)} == dict.fromkeys(
        quantized_convolutions(network), "u8"
    )
    assert precisions["stem.conv"] == "f32"


@pytest.mark.parametrize("spelling", ["openvino", "tensorrt"])
def test_onnxruntime_runs_in_float_what_is_spelled_for_another_engine(qdq, spelling):
    model = spelled_for(spelling, qdq, load_policy("default").dialects[spelling])
    precisions = onnxruntime.convolution_precisions(model)
    with pytest.raises(ExportError, match=r"onnxruntime: split\..*: expected int8 .* got f32"):
        require_int8("onnxruntime", precisions, ["split.join.conv"])


def test_onnxruntime_runs_smooth_activations_in_float():
    network = quantized_network(shallow("silu"), shallow_policy())
    model = for_onnxruntime(export_onnx(network, "raw", SIZE, MAX_POSES))
    assert set(onnxruntime.convolution_precisions(model).values()) == {"f32"}


def test_onnxruntimes_int8_kernels_stay_below_the_noise(network, float_net, qdq, images):
    got = in_onnxruntime(for_onnxruntime(qdq), images, fused=True)
    expected, exact = in_torch(network, "raw", images), in_torch(float_net, "raw", images)
    assert in_noise(got, expected, exact) < FUSED_NOISE


def test_openvino_int8_is_the_fake_quantized_network(network, qdq, images):
    files = openvino.convert(not_negative_as_uint8(qdq), half=False)
    require_int8(
        "openvino", openvino.convolution_precisions(files), list(quantized_convolutions(network))
    )
    assert largest(in_openvino(files, images), in_torch(network, "raw", images)) < EXACT_LOGIT


def test_poses_agree_in_pixels(network, images):
    """Contract compact: the same grid points win, in any order where scores are equal."""
    model = not_negative_as_uint8(export_onnx(network, "compact", SIZE, MAX_POSES))
    expected = in_torch(network, "compact", images)
    for got in (
        in_openvino(openvino.convert(model, half=False), images),
        in_onnxruntime(model, images, fused=False),
    ):
        distance = np.abs(got["keypoints"][0][:, None] - expected["keypoints"][0][None])
        assert distance.max((2, 3)).min(1).max() < EXACT_PX
        assert np.abs(got["scores"] - expected["scores"]).max() < EXACT_LOGIT
        assert np.abs(np.sort(got["visibility"].ravel())
                      - np.sort(expected["visibility"].ravel())).max() < EXACT_LOGIT  # fmt: skip


@pytest.mark.parametrize("contract", ["raw", "decoded"])
def test_float_graph_is_the_float_network(float_net, images, contract):
    model = export_onnx(fold(float_net), contract, SIZE, MAX_POSES)
    expected = in_torch(float_net, contract, images)
    files = openvino.convert(model, half=False)
    for got in (in_onnxruntime(model, images, fused=True), in_openvino(files, images)):
        assert got["keypoints_8" if contract == "raw" else "keypoints"].std() > 0
        assert largest(got, expected) < FLOAT_LOGIT * (64 if contract == "decoded" else 1)
    assert set(openvino.convolution_precisions(files).values()) == {"f32"}


def test_quantized_network_in_float_mode_exports_a_float_graph(float_net, images):
    network = quantized_network(float_net, shallow_policy())
    set_mode(network, "float")
    model = export_onnx(network, "raw", SIZE, MAX_POSES)
    assert not {"QuantizeLinear", "DequantizeLinear"} & {n.op_type for n in model.graph.node}
    got = in_onnxruntime(model, images, fused=True)
    assert largest(got, in_torch(float_net, "raw", images)) < FLOAT_LOGIT


def test_a_convolution_that_the_policy_calls_int8_but_runs_in_float_is_an_error(network, qdq):
    precisions = openvino.convolution_precisions(openvino.convert(qdq, half=False))
    assert precisions["stem.conv"] == "f32"
    with pytest.raises(ExportError, match=r"stem\.conv: expected int8"):
        require_int8("openvino", precisions, ["stem.conv", *quantized_convolutions(network)])


def test_the_same_network_gives_the_same_bytes(network, qdq):
    again = export_onnx(network, "raw", SIZE, MAX_POSES)
    assert serialize(qdq) == serialize(again)
    assert openvino.convert(qdq, half=False) == openvino.convert(again, half=False)


def test_weights_are_int8_per_channel_and_every_zero_point_is_0(network, qdq):
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in qdq.graph.initializer}
    producers = {out: node for node in qdq.graph.node for out in node.output}
    int8 = {}
    for node in qdq.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not constants[node.input[2]].any()
            assert constants[node.input[2]].dtype == np.int8
        if node.op_type == "Conv" and node.input[1] in producers:
            weight, scale = (constants[name] for name in producers[node.input[1]].input[:2])
            int8[node.name] = weight
            assert weight.dtype == np.int8
            assert scale.shape == (weight.shape[0],)
    modules = quantized_convolutions(network)
    assert int8.keys() == modules.keys()
    assert all(np.array_equal(w, modules[n].integer_weight().numpy()) for n, w in int8.items())


def test_the_exported_graph_has_no_float_island(qdq):
    """Whatever an int8 convolution reads comes from a DequantizeLinear through copies only."""
    producers = {out: node for node in qdq.graph.node for out in node.output}

    def origins(name):
        node = producers[name]
        if node.op_type in ("Concat", "Split", "MaxPool", "Resize"):
            inputs = node.input if node.op_type == "Concat" else node.input[:1]
            return set().union(*map(origins, inputs))
        return {node.op_type}

    for node in qdq.graph.node:
        if node.op_type == "Conv" and node.input[1] in producers:
            assert origins(node.input[0]) == {"DequantizeLinear"}, node.name
        if node.op_type in ("Concat", "Add"):
            assert set().union(*map(origins, node.input)) == {"DequantizeLinear"}, node.name


def test_nothing_of_the_exporting_machine_is_in_the_graph(qdq):
    text = serialize(qdq).decode("latin-1")
    assert str(Path(__file__).parents[2]) not in text
    assert not any(len(n.metadata_props) for n in qdq.graph.node)


_RUN_ELSEWHERE = """
import json, pathlib, sys
import numpy as np
import openvino as ov
from erpose_edge.exporters.openvino import convolution_precisions
folder = pathlib.Path(sys.argv[1])
files = {n: (folder / n).read_bytes() for n in ("model.xml", "model.bin")}
hint = {"INFERENCE_PRECISION_HINT": "f32"}
compiled = ov.Core().compile_model(folder / "model.xml", "CPU", hint)
found = compiled(np.load(folder / "images.npy"))
arrays = {next(n for n in p.get_names() if n.count("_") == 1): found[p] for p in compiled.outputs}
np.savez(folder / "found.npz", **arrays)
print(json.dumps(convolution_precisions(files)))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86-64")
@pytest.mark.parametrize("instructions", ["AVX2", "AVX2_VNNI", "AVX512_CORE"])
def test_older_processors_give_the_same_numbers(network, qdq, images, instructions, tmp_path):
    """Without VNNI a signed activation would saturate 16-bit sums; the dialect avoids that."""
    files = openvino.convert(not_negative_as_uint8(qdq), half=False)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "images.npy", images.numpy())
    done = subprocess.run(
        [sys.executable, "-c", _RUN_ELSEWHERE, str(tmp_path)],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": instructions},
        capture_output=True,
        text=True,
        check=True,
    )
    require_int8("openvino", json.loads(done.stdout), list(quantized_convolutions(network)))
    found = dict(np.load(tmp_path / "found.npz"))
    assert largest(found, in_torch(network, "raw", images)) < EXACT_LOGIT


@pytest.mark.slow
def test_whole_network_in_every_engine():
    size = (128, 128)
    float_net = float_network()
    network = quantized_network(float_net)
    images = smooth_images(1, 60, size)
    expected = in_torch(network, "raw", images, size)
    exact = in_torch(float_net, "raw", images, size)
    qdq = export_onnx(network, "raw", size, MAX_POSES)
    model, for_ort = not_negative_as_uint8(qdq), for_onnxruntime(qdq)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Conv"] == len(quantized_convolutions(network)) + 10
    files = openvino.convert(model, half=False)
    require_int8(
        "openvino", openvino.convolution_precisions(files), list(quantized_convolutions(network))
    )
    require_int8(
        "onnxruntime",
        onnxruntime.convolution_precisions(for_ort),
        list(quantized_convolutions(network)),
    )
    for got in (
        in_onnxruntime(model, images, fused=False),
        in_onnxruntime(for_ort, images, fused=True),
        in_openvino(files, images),
    ):
        assert in_noise(got, expected, exact) < DEEP_NOISE
