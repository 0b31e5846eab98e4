"""Times themselves depend on the machine; what they are attributed to and add up to does not."""

from dataclasses import replace

import pytest
from quantized_network import float_network, quantized_network

from erpose_edge.config import load_config
from erpose_edge.errors import ExportError
from erpose_edge.exporters.layer_times import (
    ArtifactTimes,
    LatencyModel,
    LayerTimes,
    measure_end_to_end,
    measure_layers,
)
from erpose_edge.quantization.checkpoint import quantized_weights
from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.quantization.recipe import load_policy
from erpose_edge.quantization.sensitivity.variants import next_convolutions

SIZE = (64, 64)


@pytest.fixture(scope="module")
def network():
    return quantized_network(float_network())


@pytest.fixture(scope="module")
def times(network):
    """fp32: 4 ms a convolution; int8: 1 ms where it is int8, 4 where it is not."""
    names = list(next_convolutions(network))
    int8 = quantized_convolutions(network)
    fp32 = ArtifactTimes(dict.fromkeys(names, 4.0), 0.0, 10.0)
    small = ArtifactTimes({name: 1.0 if name in int8 else 4.0 for name in names}, 3.0, 6.0)
    return LayerTimes(fp32, small, "engine", 1)


def test_the_model_gives_back_both_artifacts(network, times):
    model = LatencyModel(times, network, SIZE)
    int8 = list(quantized_convolutions(network))
    count = len(next_convolutions(network))
    assert model(int8) == pytest.approx(1.0 * len(int8) + 4.0 * (count - len(int8)) + 3.0 + 6.0)
    assert model([]) == pytest.approx(4.0 * count + 10.0)


def test_a_float_layer_costs_its_time_its_share_of_the_rest_and_two_boundaries(network, times):
    model = LatencyModel(times, network, SIZE)
    int8 = list(quantized_convolutions(network))
    layer = "neck.up_16.bottlenecks.0.second.conv"
    cost = model([name for name in int8 if name != layer]) - model(int8)
    assert cost - 3.0 - (10.0 - 6.0) / len(int8) > 0  # what is left are the boundaries
    free = LayerTimes(times.fp32, ArtifactTimes(times.int8.convolutions, 0.0, 6.0), "engine", 1)
    model = LatencyModel(free, network, SIZE)
    cost = model([name for name in int8 if name != layer]) - model(int8)
    assert cost == pytest.approx(3.0 + (10.0 - 6.0) / len(int8))


def test_boundaries_cost_by_the_elements_that_cross(network, times):
    model = LatencyModel(times, network, SIZE)
    int8 = list(quantized_convolutions(network))

    def cost(layer):
        return model([name for name in int8 if name != layer]) - model(int8)

    # Alike but for the size of what they make: at stride 8 there is more of it than at 32.
    large, small = (f"neck.{name}.bottlenecks.0.second.conv" for name in ("up_8", "down_32"))
    assert cost(large) > cost(small)


def test_a_convolution_without_a_time_is_named(network, times):
    known = dict(times.int8.convolutions)
    del known["neck.up_16.split.conv"]
    broken = LayerTimes(times.fp32, ArtifactTimes(known, 0.0, 1.0), "engine", 1)
    with pytest.raises(
        ExportError,
        match=r"layer times: neck\.up_16\.split\.conv: expected a time in fp32 and one in int8, "
        r"got none \(nor for 0 more\); export both from this network",
    ):
        LatencyModel(broken, network, SIZE)


@pytest.mark.slow
def test_every_convolution_of_real_artifacts_gets_a_time_and_the_sum_is_the_whole(
    network, tmp_path
):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxsim")
    from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact

    config = load_config("tiny").model_dump(mode="json")
    weights = quantized_weights(network, config, load_policy("default"), {})
    weights = replace(weights, sha256="0" * 64)
    artifacts = {
        precision: export_artifact(
            weights,
            ExportRequest("test", "openvino", precision, input_size=(128, 128)),
            tmp_path / precision,
        )
        for precision in ("fp32", "int8")
    }
    turns = []
    times = measure_layers(
        artifacts["fp32"], artifacts["int8"], 1, lambda *place: turns.append(place)
    )
    expected = set(next_convolutions(network))
    for part in (times.fp32, times.int8):
        assert set(part.convolutions) == expected
        assert all(value > 0 for value in part.convolutions.values())
        assert part.rest_ms > 0
    assert times.threads == 1
    assert turns[-1][0] == turns[-1][1]
    # The float artifact has nothing to change; in the other one at least the stem's result is.
    assert times.fp32.boundary_ms == 0 < times.int8.boundary_ms
    measured = measure_end_to_end(artifacts, 1)
    assert list(measured) == ["fp32", "int8"]
    assert all(value > 0 for value in measured.values())
