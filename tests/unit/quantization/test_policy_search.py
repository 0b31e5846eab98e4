import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.config_file import dump_yaml
from erpose_edge.errors import RequestError
from erpose_edge.quantization.recipe import load_policy
from erpose_edge.quantization.sensitivity.policy_search import search_policy, write_policy

LAYERS = [f"layer_{i}" for i in range(12)]


def additive(losses):
    """AP retention that falls by the loss of every int8 layer."""
    return lambda int8: 1.0 - sum(losses[layer] for layer in int8)


def costs(extra):
    """A model in which a float layer takes ``extra`` more than its one ms in int8."""
    return lambda int8: sum(1.0 + (layer not in int8) * extra[layer] for layer in LAYERS)


def test_one_bad_layer_is_the_only_one_made_float():
    losses = dict.fromkeys(LAYERS, 0.0005) | {"layer_7": 0.3}
    found = search_policy(losses, additive(losses), 0.99).found
    assert found is not None
    assert found.keep_float == ("layer_7",)


def test_nothing_is_made_float_where_int8_is_good_enough():
    losses = dict.fromkeys(LAYERS, 0.0001)
    search = search_policy(losses, additive(losses), 0.99)
    assert search.found is not None
    assert search.found.keep_float == ()
    assert [step.change for step in search.steps] == ["as quantized"]


def test_of_two_equal_losses_the_cheaper_layer_is_made_float():
    losses = dict.fromkeys(LAYERS, 0.0) | {"layer_2": 0.02, "layer_9": 0.02}
    extra = dict.fromkeys(LAYERS, 1.0) | {"layer_2": 5.0, "layer_9": 0.5}
    found = search_policy(losses, additive(losses), 0.975, cost=costs(extra)).found
    assert found is not None
    assert found.keep_float == ("layer_9",)
    assert found.modelled_ms == pytest.approx(12.5)


def test_a_layer_that_is_not_needed_goes_back_to_int8():
    # By its loss layer_0 comes first, but all of AP hangs on layer_1.
    losses = dict.fromkeys(LAYERS, 0.0) | {"layer_0": 0.9, "layer_1": 0.5}
    search = search_policy(losses, lambda int8: 0.9 if "layer_1" in int8 else 1.0, 0.99)
    assert search.found is not None
    assert search.found.keep_float == ("layer_1",)
    assert "back in int8: layer_0" in [step.change for step in search.steps]


def test_a_layer_whose_way_back_saves_no_time_stays_float():
    losses = dict.fromkeys(LAYERS, 0.0) | {"layer_0": 0.9, "layer_1": 0.5}
    # Beside layer_1 in float, layer_0 in int8 costs more than it saves: a boundary.
    search = search_policy(
        losses,
        lambda int8: 0.9 if "layer_1" in int8 else 1.0,
        0.99,
        cost=lambda int8: 20.0 - len(int8) + 2.0 * ("layer_0" in int8 and "layer_1" not in int8),
    )
    assert search.found is not None
    assert set(search.found.keep_float) == {"layer_0", "layer_1"}


def test_two_layers_that_only_help_together_are_both_found():
    # A range that two layers share is cut: each of them alone changes nothing.
    losses = dict.fromkeys(LAYERS, 0.001) | {"layer_3": 0.4, "layer_4": 0.4}
    search = search_policy(
        losses, lambda int8: 0.5 if {"layer_3", "layer_4"} & set(int8) else 1.0, 0.99
    )
    assert search.found is not None
    assert set(search.found.keep_float) == {"layer_3", "layer_4"}


def test_a_retention_that_nothing_meets_ends_with_one_layer_in_int8():
    losses = dict.fromkeys(LAYERS, 0.01)
    search = search_policy(losses, lambda int8: 0.5, 0.99)
    assert search.found is None
    assert len(search.steps[-1].keep_float) == len(LAYERS) - 1
    assert search.to_json()["keep_float"] is None


def test_a_network_that_finds_nobody_has_nothing_to_retain():
    with pytest.raises(RequestError, match="expected a float network with an AP above 0, got one"):
        search_policy(dict.fromkeys(LAYERS, 0.1), lambda int8: None, 0.99)


@given(
    st.lists(st.floats(0, 0.05), min_size=12, max_size=12),
    st.lists(st.floats(0.1, 3), min_size=12, max_size=12),
    st.floats(0.7, 1),
)
def test_what_is_found_meets_the_retention_and_no_layer_of_it_can_go_back(values, times, wanted):
    losses = dict(zip(LAYERS, values, strict=True))
    retention, cost = additive(losses), costs(dict(zip(LAYERS, times, strict=True)))
    search = search_policy(losses, retention, wanted, cost=cost)
    if search.found is None:
        assert all(step.retention < wanted for step in search.steps)
        return
    kept = search.found.keep_float
    assert retention([layer for layer in LAYERS if layer not in kept]) >= wanted
    for layer in kept:
        rest = set(kept) - {layer}
        assert retention([other for other in LAYERS if other not in rest]) < wanted
    assert len({frozenset(step.keep_float) for step in search.steps}) == len(search.steps)


def test_few_measurements_find_that_no_policy_is_good_enough():
    losses = {f"layer_{i}": 0.001 for i in range(100)}
    search = search_policy(losses, lambda int8: 0.5, 0.99)
    assert len(search.steps) == 9  # 0, 1, 2, 4, ... 64, 99 more float


def test_the_policy_file_is_the_weights_policy_with_more_float_layers(tmp_path):
    own = load_policy("narrow-weights")
    written = write_policy(tmp_path / "policy.yaml", own, ["neck.up_8.join.conv"], "by: a test")
    read = load_policy(tmp_path / "policy.yaml")
    assert read == written
    assert read.keep_float == [*own.keep_float, "neck.up_8.join.conv"]
    assert (read.weights, read.activations, read.dialects) == (
        own.weights,
        own.activations,
        own.dialects,
    )
    assert read.description == "by: a test"
    assert (tmp_path / "policy.yaml").read_text() == dump_yaml(read)
    assert [path.name for path in tmp_path.iterdir()] == ["policy.yaml"]
