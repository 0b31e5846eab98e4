"""What a builder said about DLA becomes layers, multiply-accumulates and changes of device."""

import itertools

import builder_logs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.errors import TargetError
from erpose_edge.runtime.tensorrt.dla import Layer
from erpose_edge.runtime.tensorrt.placement import (
    expected_placement,
    placement,
    read_log,
    transitions,
)


def chain(*names, macs=1):
    """Return layers that each read from the one before."""
    return [
        Layer(name, "Conv", macs, (index - 1,) if index else ()) for index, name in enumerate(names)
    ]


def test_the_tutorials_group_normalization_goes_to_and_fro():
    names = ["Conv_0", "Reshape_2", "InstanceNormalization_5", "Reshape_7", "Mul_8", "Add_9",
             "Relu_10", "Conv_11", "Reshape_13"]  # fmt: skip
    found = placement(read_log(builder_logs.GROUP_NORM), chain(*names), 1)
    assert [found.devices[name] for name in names] == ["dla", *["gpu"] * 5, "dla", "dla", "gpu"]
    assert (found.loadables, found.transitions, found.reformats) == (5, 3, 0)
    with pytest.raises(TargetError) as caught:
        found.require()
    assert str(caught.value) == (
        "dla: expected at most 1 changes between GPU and DLA, got 3; leave --dla-core out, or take "
        "this engine with --force"
    )


def test_a_layer_between_the_two_names_of_a_part_is_on_dla():
    names = ["/cnn/cnn.0/Conv", "/cnn/cnn.5/Conv", "/cnn/cnn.11/Relu", "/pool/GlobalAveragePool",
             "/linear/Gemm", "/softmax"]  # fmt: skip
    found = placement(read_log(builder_logs.BATCH_NORM), chain(*names), None)
    assert [found.devices.get(name) for name in names] == [
        "dla", "dla", "dla", "gpu", "dla", None,
    ]  # fmt: skip
    assert found.to_json()["layers"] == {"dla": 4, "gpu": 1, "unknown": 1}
    assert found.to_json()["macs"] == {"dla": 4, "gpu": 1, "unknown": 1}
    assert found.dla_share == pytest.approx(4 / 6)
    assert found.transitions == 2
    assert found.lines() == [
        "DLA: 4 of 6 layers in 2 parts, 66.7 % of the multiply-accumulates; GPU: 1 layers, "
        "1 not named; 2 changes between them, 0 reformats"
    ]
    found.require()


@pytest.mark.parametrize(
    ("log", "moved"),
    [
        (builder_logs.RESIZE, ("Resize__916",)),
        (builder_logs.MOVED, ("/model.23/Concat_4", "(Unnamed Layer* 388) [Shuffle]",
                              "/model.10/m/m.0/attn/Reshape")),
        (builder_logs.TOO_MANY, ("conv_6", "conv_8")),
        (builder_logs.SAMPLE, ()),
    ],
)  # fmt: skip
def test_layers_that_dla_did_not_take_are_named(log, moved):
    assert read_log(log).moved == moved


def test_names_with_brackets_are_read():
    name = "(Unnamed Layer* 0) [ElementWise]"
    assert read_log(builder_logs.SAMPLE).loadables == ((name, name),)


def test_layers_that_became_one_kernel_are_all_on_the_gpu_and_reformats_are_no_layers():
    layers = chain("input_0", "backbone.stem.conv", "backbone.stem.bn", "act.0", "act.1", "stem")
    found = placement(read_log(builder_logs.ON_GPU), layers, 0)
    assert set(found.devices) == {"backbone.stem.conv", "backbone.stem.bn", "act.0", "act.1"}
    assert set(found.devices.values()) == {"gpu"}
    assert (found.reformats, found.loadables, found.transitions) == (1, 0, 0)


def test_a_log_without_a_list_is_refused():
    with pytest.raises(TargetError, match="to list the layers on DLA and on the GPU, got no list"):
        placement(read_log(builder_logs.MOVED), chain("a"), None)


def test_a_prediction_counts_like_a_log():
    layers = [
        Layer("stem", "Conv", 10, ()),
        Layer("slice", "Slice", 0, (0,), "no"),
        Layer("neck", "Conv", 30, (1,)),
    ]
    found = expected_placement(layers, 1)
    assert (found.transitions, found.dla_macs, found.moved) == (2, 40, ("slice",))


def test_parallel_branches_share_a_change():
    layers = [Layer(str(i), "Conv", 1, ()) for i in range(4)]
    layers.append(Layer("end", "Concat", 0, (0, 1, 2, 3)))
    devices = {"0": "dla", "1": "gpu", "2": "dla", "3": "gpu", "end": "gpu"}
    assert transitions(layers, devices) == 1


@st.composite
def networks(draw):
    count = draw(st.integers(1, 6))
    layers = [
        Layer(f"l{i}", "Conv", 1, tuple(sorted(draw(st.sets(st.integers(0, i - 1), max_size=2)))))
        if i else Layer("l0", "Conv", 1, ())
        for i in range(count)
    ]  # fmt: skip
    wheres = draw(st.lists(st.sampled_from(["dla", "gpu", None]), min_size=count, max_size=count))
    return layers, {layer.name: w for layer, w in zip(layers, wheres, strict=True) if w}


@given(networks())
def test_changes_are_the_fewest_of_all_orders(network):
    layers, devices = network
    fewest = len(layers)
    for order in itertools.permutations(range(len(layers))):
        place = {index: at for at, index in enumerate(order)}
        if all(place[s] < place[i] for i, layer in enumerate(layers) for s in layer.sources):
            seen = [devices[layers[i].name] for i in order if layers[i].name in devices]
            fewest = min(fewest, sum(a != b for a, b in itertools.pairwise(seen)))
    assert transitions(layers, devices) == fewest


WORDS = st.sampled_from(
    ["[DlaLayer]", "[GpuLayer]", "{ForeignNode[", "]}", "...", "a", "b", " ", "CONVOLUTION: ",
     "Layers Running on DLA", "Layer 'a' (CONVOLUTION): Unsupported on DLA", "copy", "\n"]
)  # fmt: skip


@given(st.lists(WORDS, max_size=30).map("".join) | st.text(max_size=80))
def test_any_log_is_read_and_every_layer_has_one_place_at_most(text):
    log = read_log("Layers Running on DLA\n" + text)
    layers = chain("a", "b")
    found = placement(log, layers, None)
    assert set(found.devices) <= {"a", "b"}
    assert found.dla_macs + found.gpu_macs + found.unknown_macs == 2
    assert 0 <= found.transitions <= 1
