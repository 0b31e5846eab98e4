"""A bundle always holds the graph that all engines start from, and that of no other network."""

from __future__ import annotations

import dataclasses

import pytest
from quantized_network import float_network, quantized_network
from tiny_pose import tiny_manifest

from erpose_edge.config import load_config
from erpose_edge.deploy.bundle.export import SHARED_ONNX, Source, extra_files, read_artifacts
from erpose_edge.deploy.profile import load_profile
from erpose_edge.errors import RequestError
from erpose_edge.network.checkpoint import load_weights, save_weights
from erpose_edge.quantization.checkpoint import (
    activation_scales,
    deployed_network,
    quantized_weights,
    under_policy,
)
from erpose_edge.quantization.recipe import fingerprint, load_policy
from erpose_edge.runtime.artifact import read_artifact, write_artifact
from erpose_edge.runtime.manifest import InputSpec

PROFILE = load_profile("openvino-cpu")
SIZE = (64, 64)
IR = {"model.xml": b"<net/>", "model.bin": b"0123"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    config = load_config("tiny").model_dump(mode="json")
    network = quantized_network(float_network())
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, quantized_weights(network, config, load_policy("default"), {}))
    return load_weights(path)


def artifact(folder, weights, policy=None, files=IR, **changes):
    """Return an int8 artifact of these weights, whose model nobody looks into."""
    weights = under_policy(weights, policy) if policy else weights
    network = deployed_network(weights, quantized=True)
    manifest = dataclasses.replace(
        tiny_manifest("decoded", "openvino"),
        precision="int8",
        input=InputSpec("images", (1, 3, *SIZE)),
        weights_sha256=weights.sha256,
        policy_sha256=fingerprint(policy or load_policy("default")),
        scales=activation_scales(network),
    )
    return write_artifact(folder, dataclasses.replace(manifest, **changes), files)


@pytest.mark.slow
def test_the_graph_is_that_of_the_artifact_with_its_scales(weights, tmp_path):
    for package in ("onnxscript", "onnxsim"):
        pytest.importorskip(package)
    import onnx
    from onnx.numpy_helper import to_array

    found = artifact(tmp_path / "int8", weights)
    files = extra_files({"int8": found}, PROFILE, Source(weights.path).weights_of)
    assert any(path.startswith("integration/") for path in files)
    graph = onnx.load_from_string(files[SHARED_ONNX]).graph
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [1, 3, *SIZE]
    assert [output.name for output in graph.output] == ["scores", "keypoints", "visibility"]
    values = {tensor.name: tensor for tensor in graph.initializer}
    scales = {
        float(to_array(values[node.input[1]]))
        for node in graph.node
        if node.op_type == "QuantizeLinear"
    }
    assert scales == set(found.manifest.scales.values())


def test_an_artifact_that_is_onnx_needs_no_second_graph(weights, tmp_path):
    manifest = tiny_manifest("compact", "onnxruntime")
    found = write_artifact(tmp_path / "fp32", manifest, {"model.onnx": b"graph"})
    files = extra_files({"fp32": found}, load_profile("onnxruntime-cpu"), Source().weights_of)
    assert SHARED_ONNX not in files


def test_weights_that_are_not_bundled_have_to_be_given(weights, tmp_path):
    found = artifact(tmp_path / "int8", weights)
    with pytest.raises(RequestError) as caught:
        extra_files({"int8": found}, PROFILE, Source().weights_of)
    assert (
        f"weights: expected the file with sha256 {weights.sha256[:12]}... to export "
        "onnx/model.onnx from, got none that is bundled; pass it with --weights"
    ) in str(caught.value)


def test_other_weights_are_refused(weights, tmp_path):
    found = artifact(tmp_path / "int8", weights, weights_sha256="0" * 64)
    with pytest.raises(RequestError) as caught:
        extra_files({"int8": found}, PROFILE, Source(weights.path).weights_of)
    text = str(caught.value)
    assert text.startswith(f"{weights.path}: expected the weights of {found.folder} (sha256 000000")
    assert text.endswith("pass those it was exported from, or export the artifact again")


def test_another_policy_is_refused_and_said_how_to_give(weights, tmp_path):
    mixed = load_policy("default").model_copy(update={"keep_float": ["backbone.*", "head.*"]})
    found = artifact(tmp_path / "int8", weights, mixed)
    with pytest.raises(RequestError, match=r"policy: expected the one with sha256 .* by --policy"):
        extra_files({"int8": found}, PROFILE, Source(weights.path).weights_of)


@pytest.mark.parametrize("changes", [{"scales": {"a": 1.0}}, {"policy_sha256": "1" * 64}])
def test_a_network_with_other_scales_or_of_another_policy_is_refused(weights, tmp_path, changes):
    found = artifact(tmp_path / "int8", weights, **changes)
    with pytest.raises(RequestError, match="policy: expected the one with sha256"):
        extra_files({"int8": found}, PROFILE, Source(weights.path).weights_of)


def test_artifacts_are_named_after_their_precision_and_one_of_each_will_do(weights, tmp_path):
    first = artifact(tmp_path / "a", weights).folder
    second = artifact(tmp_path / "b", weights, precision="fp32").folder
    assert read_artifacts([second, first]) == {
        "fp32": read_artifact(second),
        "int8": read_artifact(first),
    }
    assert list(read_artifacts([second, first])) == ["fp32", "int8"]
    with pytest.raises(RequestError, match="a: expected one artifact of each precision, got int8"):
        read_artifacts([first, first])
