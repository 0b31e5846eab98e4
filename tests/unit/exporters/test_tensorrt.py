"""The whole network on its way to TensorRT, as far as it can go without a GPU."""

import numpy as np
import onnx
import pytest
import torch

pytest.importorskip("onnxsim")
pytest.importorskip("tensorrt_rtx")

from quantized_network import float_network, quantized_network, smooth_images
from small_qdq import run

from erpose_edge.errors import ExportError
from erpose_edge.exporters import tensorrt
from erpose_edge.exporters.engine_export import EngineExport
from erpose_edge.exporters.tensorrt.check import check_graphs
from erpose_edge.exporters.tensorrt.dla import dla_files
from erpose_edge.exporters.tensorrt.graphs import flagged
from erpose_edge.network.pose_network import DeployNetwork
from erpose_edge.quantization.fake_quantize import ActivationQuantizer
from erpose_edge.quantization.recipe import load_policy
from erpose_edge.runtime.tensorrt.dla import plan_from_bytes
from erpose_edge.runtime.tensorrt.placement import expected_placement

pytestmark = pytest.mark.slow
SIZE = (64, 64)


@pytest.fixture(scope="module")
def int8():
    policy = load_policy("narrow-weights")
    network = quantized_network(float_network(backbone="mobile"), policy)
    return EngineExport(network, "int8", "compact", SIZE, 30, policy)


@pytest.fixture(scope="module")
def files(int8):
    return tensorrt.model_files(int8)


def test_the_artifact_has_both_graphs_and_the_commands(files):
    assert sorted(files) == ["BUILD.md", "model.onnx", "model_typed.onnx"]
    text = files["BUILD.md"].decode()
    assert "--fp16 \\\n        --int8" in text
    assert "ARTIFACT/model_typed.onnx" in text


def test_the_flagged_graph_is_the_shared_one_to_the_bit(int8, files):
    images = smooth_images(1, 5, SIZE).numpy()
    expected = run(int8.graph, images)
    found = run(onnx.load_from_string(files["model.onnx"]), images)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert np.array_equal(found[name], values)


def test_the_typed_graph_gives_the_same_outputs_in_the_same_types(int8, files):
    images = smooth_images(1, 5, SIZE).numpy()
    expected = run(int8.graph, images)
    found = run(onnx.load_from_string(files["model_typed.onnx"]), images)
    assert {n: (v.shape, v.dtype) for n, v in found.items()} == {
        n: (v.shape, v.dtype) for n, v in expected.items()
    }


def test_tensorrt_rtx_parses_and_builds_both(files, tmp_path):
    for name in ("model.onnx", "model_typed.onnx"):
        (tmp_path / name).write_bytes(files[name])
        (check,) = check_graphs(tmp_path / name).files
        assert check.passed, (name, check.violations, check.errors)
        assert check.warnings == ()


def test_the_network_for_dla_is_the_float_one_of_the_quantized_weights(int8):
    files = dla_files(flagged(int8.graph), "int8", 4)
    plan = plan_from_bytes(files["dla.json"])
    quantizers = [m for m in int8.network.modules() if isinstance(m, ActivationQuantizer)]
    images = smooth_images(1, 5, SIZE)
    try:
        for module in quantizers:
            module.mode = "float"
        deployed = DeployNetwork(int8.network, "compact", SIZE, 30).eval()
        with torch.inference_mode():
            expected = dict(zip(deployed.output_names, deployed(images), strict=True))
    finally:
        for module in quantizers:
            module.mode = "fake"
    found = run(onnx.load_from_string(files["model_dla.onnx"]), images.numpy())
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values.numpy(), rtol=0, atol=1e-3)
    int8_names = {layer.name.split(".conv")[0] for layer in plan.layers if layer.kind == "Conv"}
    assert {name.split(".conv")[0] for name in int8.int8} <= int8_names
    assert not {layer.kind for layer in plan.layers} & {"Split", "QuantizeLinear"}
    expected_places = expected_placement(plan.layers, 4)
    assert (expected_places.transitions, expected_places.dla_share) == (1, 1.0)


def test_a_policy_that_writes_uint8_is_refused(int8):
    policy = int8.policy.model_copy(deep=True)
    policy.dialects["tensorrt"] = policy.dialects["openvino"]
    other = EngineExport(int8.network, "int8", "compact", SIZE, 30, policy)
    with pytest.raises(ExportError) as caught:
        tensorrt.model_files(other)
    assert str(caught.value) == (
        "tensorrt: policy.dialects.tensorrt.not_negative: expected int8, got uint8; "
        "TensorRT reads uint8 as int8"
    )
