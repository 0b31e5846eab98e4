"""The rungs of a ladder: which are tried, in which order, and what each is exported from."""

from __future__ import annotations

import pytest
from quantized_network import float_network, quantized_network

from erpose_edge.config import load_config
from erpose_edge.deploy.profile import load_profile
from erpose_edge.deploy.rungs import WeightsPair, rungs
from erpose_edge.errors import ConfigError
from erpose_edge.network.checkpoint import Weights
from erpose_edge.quantization.checkpoint import deployed_network, policy_of, quantized_weights
from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.quantization.recipe import load_policy


@pytest.fixture(scope="module")
def pair():
    config = load_config("tiny").model_dump(mode="json")
    network = float_network()
    quantized = quantized_weights(
        quantized_network(network), config, load_policy("default"), {"seed": 1}
    )
    return WeightsPair(Weights(network.state_dict(), "float", config), quantized)


def profile(*precisions):
    return load_profile("openvino-cpu").model_copy(update={"precisions": list(precisions)})


@pytest.mark.parametrize(
    ("asked", "tried"),
    [
        (("int8", "mixed", "fp16", "fp32"), ["int8", "mixed", "fp16", "fp32"]),
        (("fp16", "int8"), ["fp16", "int8", "fp32"]),
        (("fp32", "int8"), ["int8", "fp32"]),
        (("fp32",), ["fp32"]),
    ],
)
def test_fp32_is_always_tried_and_always_last(pair, asked, tried):
    found = rungs(profile(*asked), pair, load_policy("more-float"))
    assert [rung.name for rung in found] == tried


def test_mixed_keeps_the_policys_layers_in_float_and_the_others_int8(pair):
    int8, mixed, _ = rungs(profile("int8", "mixed"), pair, load_policy("more-float"))
    assert (mixed.precision, int8.precision) == ("int8", "int8")
    all_int8, some = (
        set(quantized_convolutions(deployed_network(rung.weights, quantized=True)))
        for rung in (int8, mixed)
    )
    towers = {n for n in all_int8 if n.startswith(("head.pose_tower.", "head.score_tower."))}
    assert towers
    assert some == all_int8 - towers
    assert policy_of(mixed.weights).weights == policy_of(int8.weights).weights


def test_float_rungs_are_exported_from_the_float_weights(pair):
    for rung in rungs(profile("fp16"), pair, load_policy("more-float")):
        assert rung.weights is pair.reference


def test_a_policy_that_leaves_nothing_int8_is_an_error(pair):
    everything = load_policy("more-float").model_copy(update={"keep_float": ["*"]})
    with pytest.raises(ConfigError, match="keep_float: expected to leave a convolution"):
        rungs(profile("mixed"), pair, everything)
