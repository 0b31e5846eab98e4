import pytest
import torch
from quantized_network import float_network, quantized_network, smooth_images

from erpose_edge.config import load_config
from erpose_edge.errors import WeightsError
from erpose_edge.network.checkpoint import Weights, load_weights, save_weights
from erpose_edge.quantization.checkpoint import (
    activation_scales,
    deployed_network,
    policy_of,
    quantized_weights,
)
from erpose_edge.quantization.recipe import load_policy


@pytest.fixture(scope="module")
def network():
    return quantized_network(float_network())


@pytest.fixture(scope="module")
def config():
    return load_config("tiny").model_dump(mode="json")


def outputs(network):
    with torch.no_grad():
        return [tensor for kind in network(smooth_images(2, 9)) for tensor in kind]


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_a_file_gives_back_the_same_outputs_to_the_bit(network, config, half, tmp_path):
    policy = load_policy("default")
    weights = quantized_weights(network, config, policy, {"note": "kept"}, half=half)
    save_weights(tmp_path / "q.safetensors", weights, half=half)
    read = load_weights(tmp_path / "q.safetensors")
    restored = deployed_network(read, quantized=True)
    expected = network if not half else deployed_network(weights, quantized=True)
    assert all(map(torch.equal, outputs(restored), outputs(expected)))
    assert activation_scales(restored) == activation_scales(network)
    assert policy_of(read) == policy
    assert read.details["note"] == "kept"


def test_quantized_weights_still_give_the_float_network(network, config):
    float_net = float_network()
    weights = quantized_weights(network, config, load_policy("default"), {})
    with torch.no_grad():
        expected = [t for kind in float_net(smooth_images(2, 9)) for t in kind]
    for got, wanted in zip(
        outputs(deployed_network(weights, quantized=False)), expected, strict=True
    ):
        assert torch.allclose(got, wanted, atol=2e-3)  # batch norm is folded


def test_float_weights_are_not_quantized(config):
    weights = Weights(float_network().state_dict(), "float", config)
    with pytest.raises(WeightsError, match="kind: expected qat, got float; make them with"):
        deployed_network(weights, quantized=True)


def test_a_policy_that_does_not_fit_the_tensors_is_named(network, config):
    weights = quantized_weights(network, config, load_policy("default"), {})
    weights.details["policy"]["keep_float"].append("head.pose_tower.*")
    with pytest.raises(WeightsError, match=r"quantizer_head_pose_tower_\S+: expected no such"):
        deployed_network(weights, quantized=True)
