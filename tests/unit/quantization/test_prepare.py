import operator

import pytest
import torch
from quantized_network import INPUT_SIZE, float_network, quantized_network, smooth_images
from torch import nn

from erpose_edge.errors import ConfigError
from erpose_edge.quantization.fake_quantize import (
    ActivationQuantizer,
    QuantizedConv2d,
    activation_quantizers,
    quantized_convolutions,
    set_mode,
)
from erpose_edge.quantization.prepare import fold, prepare, prepare_both_branches
from erpose_edge.quantization.recipe import load_policy

# Folding batch norm moves float32 roundings: largest |difference| of an output, its own unit.
FOLD_TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def network():
    return float_network()


@pytest.fixture(scope="module")
def prepared(network):
    return prepare(network, load_policy("default"))


@pytest.mark.parametrize(
    ("activation", "bits", "where_signed", "limits"),
    [("relu", 8, 7, {127}), ("silu", 8, 7, {63}), ("silu", 8, 8, {127}), ("relu", 7, 8, {63})],
)
def test_weights_have_fewer_bits_where_inputs_can_be_negative(
    activation, bits, where_signed, limits
):
    default = load_policy("default")
    rule = default.weights.model_copy(update={"bits": bits, "bits_where_signed": where_signed})
    policy = default.model_copy(update={"weights": rule})
    quantized = quantized_convolutions(prepare(float_network(activation), policy))
    assert {conv.limit for conv in quantized.values()} == limits


def test_behind_a_bottleneck_without_activation_inputs_can_be_negative():
    quantized = quantized_convolutions(
        prepare(float_network(backbone="mobile"), load_policy("default"))
    )
    few = {name for name, conv in quantized.items() if conv.limit == 63}
    assert few >= {name for name in quantized if name.endswith(".widen.conv")}
    # What joins a feature of the backbone shares its scale, and is signed with it.
    assert {n for n in few if ".widen." not in n} == {
        f"neck.{block}.split.conv" for block in ("up_16", "up_8", "down_16", "down_32")
    }


def module_of(graph, node):
    return graph.get_submodule(node.target) if node.op == "call_module" else None


def sources(graph, node):
    """Return what makes the values of a node, looking through what only picks or copies them."""
    module = module_of(graph, node)
    keeps = isinstance(module, nn.MaxPool2d | nn.Upsample) or node.target in (
        torch.cat, operator.getitem, "chunk", "detach",
    )  # fmt: skip
    if not keeps:
        return {node}
    return set().union(*(sources(graph, n) for n in node.all_input_nodes))


def largest_difference(ours, theirs):
    return max(
        float((a - b).abs().max())
        for kind_a, kind_b in zip(ours, theirs, strict=True)
        for a, b in zip(kind_a, kind_b, strict=True)
    )


def test_float_mode_is_the_network(network, prepared):
    images = smooth_images(2, 7)
    with torch.no_grad():
        expected = network(images)
        assert largest_difference(fold(network)(images), expected) < FOLD_TOLERANCE
        set_mode(prepared, "float")
        assert largest_difference(prepared(images), expected) < FOLD_TOLERANCE


def test_no_batch_norm_is_left(prepared):
    assert not any(isinstance(m, nn.BatchNorm2d) for m in prepared.modules())


def test_the_policy_decides_what_is_float(prepared):
    float_convolutions = {name for name, m in prepared.named_modules() if type(m) is nn.Conv2d}
    heads = {f"head.{kind}.{i}" for kind in ("scores", "keypoints", "visibility") for i in range(3)}
    assert float_convolutions == heads | {"backbone.stem.conv"}
    assert len(quantized_convolutions(prepared)) == 62


def test_every_int8_convolution_reads_quantized_values_only(prepared):
    for node in prepared.graph.nodes:
        if isinstance(module_of(prepared, node), QuantizedConv2d):
            for source in sources(prepared, node.args[0]):
                assert isinstance(module_of(prepared, source), ActivationQuantizer), node.name


def test_tensors_that_meet_are_on_one_scale(prepared):
    meetings = 0
    for node in prepared.graph.nodes:
        if node.target in (torch.cat, operator.add):
            meetings += 1
            targets = {s.target for n in node.all_input_nodes for s in sources(prepared, n)}
            assert len(targets) == 1, node.name
            assert isinstance(prepared.get_submodule(targets.pop()), ActivationQuantizer)
    assert meetings == 13 + 6  # Concat and Add


def test_no_float_operation_lies_between_two_int8_convolutions(prepared):
    """What an int8 convolution makes is quantized right behind its activation."""
    for node in prepared.graph.nodes:
        if isinstance(module_of(prepared, node), QuantizedConv2d):
            (activation,) = node.users
            assert isinstance(module_of(prepared, activation), nn.ReLU)
            assert all(
                isinstance(module_of(prepared, u), ActivationQuantizer) for u in activation.users
            )


def test_training_graph_quantizes_the_deployed_branch_alike(network, prepared):
    both = prepare_both_branches(network, load_policy("default"))
    assert set(activation_quantizers(both)) == set(activation_quantizers(prepared))
    assert set(quantized_convolutions(both)) == set(quantized_convolutions(prepared))
    assert prepared.state_dict().keys() <= both.state_dict().keys()
    with torch.no_grad():
        images = smooth_images(1, 3)
        one_to_one, dense = both(images)
        expected, expected_dense = network.head.forward_both(network.features(images))
    assert largest_difference(one_to_one, expected) < FOLD_TOLERANCE
    assert largest_difference(dense, expected_dense) < FOLD_TOLERANCE


def test_fake_quantization_changes_outputs_a_little(network):
    images = smooth_images(1, 5)
    with torch.no_grad():
        exact, quantized = network(images), quantized_network(network)(images)
    for kind in range(3):
        for a, b in zip(exact[kind], quantized[kind], strict=True):
            assert 0 < (a - b).abs().mean() < 2 * a.std()
    assert quantized[0][0].shape[-2:] == (INPUT_SIZE[0] // 8, INPUT_SIZE[1] // 8)


def test_given_network_is_left_alone(network):
    before = {name: t.clone() for name, t in network.state_dict().items()}
    quantized_network(network)
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


@pytest.mark.parametrize("activation", ["relu6", "silu", "hardswish"])
def test_every_activation_is_placed_alike(activation, prepared):
    other = prepare(float_network(activation), load_policy("default"))
    assert set(activation_quantizers(other)) == set(activation_quantizers(prepared))


def test_everything_float_is_an_error(network):
    policy = load_policy("default").model_copy(update={"keep_float": ["*"]})
    with pytest.raises(ConfigError, match="keep_float: expected to leave a convolution to int8"):
        prepare(network, policy)


def test_operation_without_an_int8_rule_is_an_error():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return torch.cumsum(self.conv(x), 1)

    with pytest.raises(ConfigError, match="cumsum: expected an operation with an int8 rule"):
        prepare(Odd(), load_policy("default"))
