import pytest
import torch
from quantized_network import float_network, quantized_network, smooth_images

from erpose_edge.quantization.fake_quantize import (
    activation_quantizers,
    quantized_convolutions,
    set_mode,
)
from erpose_edge.quantization.prepare import prepare
from erpose_edge.quantization.recipe import load_policy
from erpose_edge.quantization.sensitivity.variants import (
    KeptActivations,
    Variants,
    next_convolutions,
)

SIZE = (64, 64)


@pytest.fixture(scope="module", params=["csp", "mobile"])
def source(request):
    return float_network(backbone=request.param)


@pytest.fixture(scope="module")
def network(source):
    return quantized_network(source)


@pytest.fixture
def images():
    return smooth_images(2, 5, SIZE)


def flat(levels):
    return [tensor for kind in levels for tensor in kind]


def same(first, second):
    return all(map(torch.equal, flat(first), flat(second)))


def computed(network, images):
    with torch.inference_mode():
        return network(images)


def test_layers_stand_in_the_order_of_their_calls(network):
    variants = Variants(network)
    assert set(variants.layers) == set(quantized_convolutions(network))
    order = [str(node.target) for node in network.graph.nodes]
    assert list(variants.layers) == sorted(variants.layers, key=order.index)


def test_all_layers_touch_all_quantizers(network):
    variants = Variants(network)
    assert frozenset().union(*variants.touched.values()) == set(activation_quantizers(network))
    assert all(variants.touched.values())


@pytest.mark.parametrize("choice", ["none", "all", "one", "late", "all but one", "every third"])
def test_computing_only_what_changes_gives_the_same_bits(network, images, choice):
    variants = Variants(network)
    layers = variants.layers
    middle = layers[len(layers) // 2]
    int8 = {
        "none": (),
        "all": layers,
        "one": (middle,),
        "late": (layers[-1],),
        "all but one": [layer for layer in layers if layer != middle],
        "every third": layers[::3],
    }[choice]
    for kept in ((), layers, layers[::2]):
        got = KeptActivations(variants, images, kept).under(int8)
        variants.choose(int8)
        assert same(got, computed(network, images))


def test_a_run_is_not_spoiled_by_the_variants_computed_from_it(network, images):
    variants = Variants(network)
    kept = KeptActivations(variants, images, ())
    first = [kept.under([layer]) for layer in variants.layers[:3]]
    again = [kept.under([layer]) for layer in variants.layers[:3]]
    assert all(map(same, first, again))
    assert same(kept.under(()), kept.outputs)


@pytest.mark.parametrize("position", [0, 7, -1])
def test_a_choice_is_the_network_of_the_policy_that_keeps_the_others_float(
    source, network, images, position
):
    variants = Variants(network)
    for int8 in (variants.layers[position:][:1], variants.layers[:position] + variants.layers[-1:]):
        others = [layer for layer in variants.layers if layer not in int8]
        policy = load_policy("default")
        policy = policy.model_copy(update={"keep_float": [*policy.keep_float, *others]})
        prepared = prepare(source, policy)
        assert set(quantized_convolutions(prepared)) == set(int8)
        state = network.state_dict()
        prepared.load_state_dict({name: state[name] for name in prepared.state_dict()})
        set_mode(prepared, "fake")
        variants.choose(int8)
        assert same(computed(network, images), computed(prepared, images))
        assert variants.active(int8) - set(int8) == set(activation_quantizers(prepared))


def test_nothing_chosen_is_the_float_network(network, images):
    variants = Variants(network)
    variants.choose(())
    chosen = computed(network, images)
    set_mode(network, "float")
    assert same(chosen, computed(network, images))


def test_next_convolutions_reach_through_sums_concats_and_quantizers(network):
    following = next_convolutions(network)
    assert following["neck.up_16.split.conv"] == {
        "neck.up_16.bottlenecks.0.first.conv",
        "neck.up_16.join.conv",
    }
    assert following["head.scores.0"] == frozenset()
    stem = [name for name in following if name.startswith("backbone.stem")]
    assert len(following[stem[0]]) == 1
