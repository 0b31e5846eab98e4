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
    under_policy,
)
from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.quantization.recipe import fingerprint, load_policy


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


def kept_float(policy, *patterns):
    return policy.model_copy(update={"keep_float": [*policy.keep_float, *patterns]})


def test_another_policy_keeps_more_convolutions_float_and_the_other_scales(network, config):
    weights = quantized_weights(network, config, load_policy("default"), {})
    more = kept_float(load_policy("default"), "head.pose_tower", "neck.up_16.*")
    restored = deployed_network(weights, quantized=True, policy=more)
    int8 = quantized_convolutions(restored)
    assert not any(name.startswith(("head.pose_tower", "neck.up_16.")) for name in int8)
    dropped = quantized_convolutions(network).keys() - int8.keys()
    assert all(name.startswith(("head.pose_tower", "neck.up_16.")) for name in dropped)
    own = activation_scales(network)
    assert activation_scales(restored).items() < own.items()
    # The same network as one that was prepared under the policy from the start.
    again = quantized_network(float_network(), more)
    again.load_state_dict(restored.state_dict())
    assert all(map(torch.equal, outputs(restored), outputs(again)))
    assert not all(map(torch.equal, outputs(restored), outputs(network)))


def test_weights_under_another_policy_can_be_written_and_read(network, config, tmp_path):
    more = kept_float(load_policy("default"), "backbone.stages.0")
    weights = under_policy(quantized_weights(network, config, load_policy("default"), {}), more)
    save_weights(tmp_path / "more.safetensors", weights)
    read = load_weights(tmp_path / "more.safetensors")
    assert policy_of(read) == more
    assert read.details["policy_sha256"] == fingerprint(more)
    expected = deployed_network(weights, quantized=True)
    assert all(map(torch.equal, outputs(deployed_network(read, quantized=True)), outputs(expected)))


def test_the_own_policy_changes_nothing(network, config):
    weights = quantized_weights(network, config, load_policy("default"), {})
    restored = deployed_network(weights, quantized=True, policy=load_policy("default"))
    assert all(map(torch.equal, outputs(restored), outputs(network)))


def test_a_policy_that_wants_more_int8_names_a_layer_without_scales(network, config):
    weights = quantized_weights(network, config, load_policy("default"), {})
    less = load_policy("default").model_copy(update={"keep_float": ["head.*"]})
    with pytest.raises(
        WeightsError,
        match=r"backbone\.stem\.\S+: expected float, as the weights have no scales for it, "
        r"got int8 \(and 0 more\); quantize with this policy by `erpose-edge qat`",
    ):
        deployed_network(weights, quantized=True, policy=less)


def test_a_policy_with_another_rule_for_weights_is_refused(network, config):
    weights = quantized_weights(network, config, load_policy("default"), {})
    with pytest.raises(WeightsError, match=r"weights: expected bits=8 .*, got bits=7 "):
        deployed_network(weights, quantized=True, policy=load_policy("narrow-weights"))


def test_float_weights_have_no_policy_to_change(config):
    weights = Weights(float_network().state_dict(), "float", config)
    with pytest.raises(WeightsError, match="kind: expected qat, got float"):
        deployed_network(weights, quantized=True, policy=load_policy("default"))
