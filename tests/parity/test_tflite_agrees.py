"""The TFLite file is the quantized network: its integers, its scales, and what comes out of it.

TFLite rounds biases to integers, which the fake-quantized network does not: about one value in a
thousand falls to the other neighbour. Layer by layer that is all the difference; through a whole
network with random weights it grows, and the noise of quantization itself is the unit.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from engines import engine
from quantized_network import float_network, quantized_network, smooth_images
from shallow_network import SIZE, shallow, shallow_policy
from torch.nn import functional

from erpose_edge.errors import ExportError
from erpose_edge.exporters import tflite
from erpose_edge.exporters.engine_export import EngineExport
from erpose_edge.exporters.read_back import require_int8
from erpose_edge.exporters.tflite.check import (
    check_islands,
    check_scales,
    convolution_precisions,
    count_conversions,
    needed_conversions,
)
from erpose_edge.exporters.tflite.convert import ChannelsLast
from erpose_edge.exporters.tflite.graph import count_operations, read_operations
from erpose_edge.network.pose_network import DeployNetwork
from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.quantization.prepare import fold
from erpose_edge.quantization.recipe import load_policy

engine("tflite")
pytest.importorskip("litert_quantizer")
pytestmark = pytest.mark.slow

POSES = 10
# Largest differences of a float file's outputs; keypoints in input pixels, the others unitless.
FLOAT = 1e-3
FLOAT_PX = 0.02
# Mean differences, in units of the mean difference that quantization to int8 itself makes.
HALF_NOISE = 0.15  # float16 weights
INT8_NOISE = 1.0  # rounded biases, in a shallow network with random weights
DEEP_NOISE = 1.5  # the same in a whole one
# One layer by itself: share of its int8 values that may differ, by one step.
OTHER_NEIGHBOUR = 0.005
MEGABYTES = 3.3  # of erpose-n-mobile in int8

# What the GPU delegate takes; DEQUANTIZE widens float16 weights there.
# Ref: tensorflow/lite/delegates/gpu/common/model_builder.cc, NewOperationParser
GPU_FRIENDLY = {
    "ADD", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "MAX_POOL_2D", "PAD",
    "QUANTIZE", "RESIZE_NEAREST_NEIGHBOR", "SLICE",
}  # fmt: skip


def narrow_policy():
    """Return 7-bit weights under the names of the shallow network."""
    return load_policy("narrow-weights").model_copy(update={"keep_float": ["stem", "heads.*"]})


class Converted:
    """A network, its file, and what both find in the same picture."""

    def __init__(self, network, float_net, precision, contract, policy=None, size=SIZE):
        self.network, self.float_net, self.policy = network, float_net, policy
        self.contract, self.size = contract, size
        self.export = EngineExport(network, precision, contract, size, POSES, policy)
        self.files = tflite.model_files(self.export)
        self.content = self.files[tflite.MODEL_TFLITE]
        self.operations = read_operations(self.content)
        self.images = smooth_images(1, 50, size)

    def interpreter(self, **settings):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=self.content, num_threads=1, **settings)
        interpreter.allocate_tensors()
        return interpreter

    def found(self):
        images = self.images.permute(0, 2, 3, 1).contiguous().numpy()
        outputs = self.interpreter().get_signature_runner()(images=images)
        if self.contract == "raw":
            return {name: array.transpose(0, 3, 1, 2) for name, array in outputs.items()}
        return outputs

    def in_torch(self, network):
        deployed = DeployNetwork(network, self.contract, self.size, POSES)
        with torch.no_grad():
            tensors = deployed(self.images)
        return {n: t.numpy() for n, t in zip(deployed.output_names, tensors, strict=True)}

    def worst_noise(self):
        """Return the largest mean difference of an output in units of quantization's own."""
        found, expected = self.found(), self.in_torch(self.network)
        exact = self.in_torch(self.float_net)
        assert found.keys() == expected.keys()
        return max(
            np.abs(found[n] - expected[n]).mean() / np.abs(expected[n] - exact[n]).mean()
            for n in expected
        )


@pytest.fixture(scope="module")
def float_net():
    return shallow()


@pytest.fixture(scope="module")
def int8(float_net):
    policy = shallow_policy()
    return Converted(quantized_network(float_net, policy), float_net, "int8", "raw", policy)


@pytest.fixture(scope="module")
def narrow():
    """relu6, 7-bit weights, contract compact."""
    float_net, policy = shallow("relu6"), narrow_policy()
    return Converted(quantized_network(float_net, policy), float_net, "int8", "compact", policy)


@pytest.fixture(scope="module")
def half(float_net):
    return Converted(fold(float_net), float_net, "fp16", "raw")


@pytest.fixture(scope="module")
def decoded(float_net):
    return Converted(fold(float_net), float_net, "fp32", "decoded")


@pytest.fixture(scope="module")
def compact(float_net):
    return Converted(fold(float_net), float_net, "fp32", "compact")


@pytest.fixture(scope="module")
def mobile():
    """The whole default network with 7-bit weights, at the size of the profiles."""
    float_net, policy = float_network(backbone="mobile"), load_policy("narrow-weights")
    network = quantized_network(float_net, policy)
    return Converted(network, float_net, "int8", "decoded", policy, (320, 320))


@pytest.mark.parametrize("name", ["int8", "narrow", "mobile"])
def test_integers_and_scales_are_the_networks_bit_by_bit(name, request):
    converted = request.getfixturevalue(name)
    int8 = list(quantized_convolutions(converted.network))
    precisions = convolution_precisions(converted.operations, converted.network)
    assert precisions == dict.fromkeys(int8, "i8")
    check_scales(converted.operations, converted.network)


def test_a_scale_that_differs_by_one_bit_is_found(int8):
    changed = copy.deepcopy(int8.network)
    quantizer = changed.get_submodule("quantizer_split_split_activation")
    quantizer.scale.copy_(torch.nextafter(quantizer.scale, torch.tensor(1.0)))
    with pytest.raises(ExportError, match=r"tflite split\.split\.conv: output scale: expected 0\."):
        check_scales(int8.operations, changed)


def test_a_weight_that_differs_by_one_step_is_found(int8):
    changed = copy.deepcopy(int8.network)
    conv = changed.get_submodule("join.conv")
    with torch.no_grad():
        step = conv.weight_scale()[0]
        conv.weight[0, 0, 0, 0] += step if conv.integer_weight()[0, 0, 0, 0] < 0 else -step
    precisions = convolution_precisions(int8.operations, changed)
    with pytest.raises(ExportError, match=r"tflite: join\.conv: expected int8 .* no such layer"):
        require_int8("tflite", precisions, list(quantized_convolutions(changed)))


@pytest.mark.parametrize(("name", "needed"), [("int8", 4), ("narrow", 4), ("mobile", 7)])
def test_int8_and_float_meet_behind_the_stem_and_before_the_outputs_only(name, needed, request):
    converted = request.getfixturevalue(name)
    assert needed_conversions(converted.network) == needed
    assert count_conversions(converted.operations) == needed
    check_islands(converted.operations, converted.network, 0)


def test_a_float_island_is_refused_above_the_policys_number(int8):
    (entry,) = [o for o in int8.operations if o.kind == "QUANTIZE"]
    more = [*int8.operations, entry, entry]
    check_islands(more, int8.network, 2)
    with pytest.raises(ExportError, match=r"expected 4 at the borders .* and 1 more, got 6: 2 "):
        check_islands(more, int8.network, 1)


def test_every_int8_layer_by_itself_is_the_fake_quantized_one(int8):
    """Each convolution gets the very integers that TFLite gave it; one rounded bias remains."""
    from ai_edge_litert.interpreter import OpResolverType

    interpreter = int8.interpreter(
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    interpreter.set_tensor(
        interpreter.get_input_details()[0]["index"], int8.images.permute(0, 2, 3, 1).contiguous()
    )
    interpreter.invoke()
    scales = {d["index"]: d["quantization"][0] for d in interpreter.get_tensor_details()}
    modules = {
        conv.integer_weight().numpy().tobytes(): (name, conv)
        for name, conv in quantized_convolutions(int8.network).items()
    }
    seen = {}
    for operation in interpreter._get_ops_details():
        if operation["op_name"] not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            continue
        source, weight, _ = operation["inputs"]
        (target,) = operation["outputs"]
        last = operation["op_name"] == "DEPTHWISE_CONV_2D"
        integers = interpreter.get_tensor(weight).transpose((3, 0, 1, 2) if last else (0, 3, 1, 2))
        name, conv = modules.get(np.ascontiguousarray(integers).tobytes(), (None, None))
        if conv is None:
            continue
        x = torch.from_numpy(interpreter.get_tensor(source)).float() * scales[source]
        x = x.permute(0, 3, 1, 2)
        # What stands before a convolution with stride is a PAD of its own.
        padding = 0 if conv.stride == (2, 2) else conv.padding
        with torch.no_grad():
            y = functional.conv2d(
                x, conv._rounded_weight(), conv.bias, conv.stride, padding, groups=conv.groups
            ).relu()
        expected = (y / scales[target]).round().clamp(-128, 127).permute(0, 2, 3, 1).numpy()
        off = np.abs(interpreter.get_tensor(target) - expected)
        assert off.max() <= 1, name
        seen[name] = float((off > 0).mean())
    assert seen.keys() == quantized_convolutions(int8.network).keys()
    assert max(seen.values()) < OTHER_NEIGHBOUR, seen


def test_int8_stays_below_the_noise_of_quantization(int8):
    assert int8.worst_noise() < INT8_NOISE


def test_a_whole_mobile_network_stays_near_that_noise(mobile):
    assert mobile.worst_noise() < DEEP_NOISE


def test_the_mobile_network_is_small(mobile):
    assert len(mobile.content) <= MEGABYTES * 1e6


@pytest.mark.parametrize("name", ["decoded", "compact"])
def test_float_files_are_the_float_network(name, request):
    floating = request.getfixturevalue(name)
    found, expected = floating.found(), floating.in_torch(floating.float_net)
    assert found["keypoints"].std() > 0
    for output, values in expected.items():
        assert np.abs(found[output] - values).max() < (FLOAT_PX if output == "keypoints" else FLOAT)


def test_float16_weights_halve_the_file_and_stay_near(half, int8, decoded):
    assert 0.45 < len(half.content) / len(decoded.content) < 0.6
    found, exact = half.found(), half.in_torch(half.float_net)
    quantized = int8.in_torch(int8.network)
    for name, values in exact.items():
        noise = np.abs(quantized[name] - values).mean()
        assert 0 < np.abs(found[name] - values).mean() < HALF_NOISE * noise


@pytest.mark.parametrize("name", ["int8", "half"])
def test_raw_has_only_operations_that_gpu_delegates_take(name, request):
    kinds = set(count_operations(request.getfixturevalue(name).operations))
    assert kinds <= GPU_FRIENDLY
    assert "CONV_2D" in kinds


@pytest.mark.parametrize("name", ["int8", "narrow", "half", "decoded", "compact", "mobile"])
def test_the_side_car_tells_what_the_file_has(name, request):
    converted = request.getfixturevalue(name)
    said = json.loads(converted.files["tflite.json"])
    signature = converted.interpreter().get_signature_runner()
    inputs, outputs = signature.get_input_details(), signature.get_output_details()
    assert [said["input"]["name"]] == list(inputs)
    for spec, details in (
        (said["input"], inputs["images"]),
        *((spec, outputs[spec["name"]]) for spec in said["outputs"]),
    ):
        assert spec["shape"] == details["shape"].tolist()
        assert spec["dtype"] == np.dtype(details["dtype"]).name
    assert len(said["outputs"]) == len(outputs)
    assert said["operations"] == count_operations(converted.operations)
    scales = {float(t.scales[0]) for o in converted.operations for t in o.outputs if len(t.scales)}
    assert set(said["quantization"]["scales"].values()) == scales


def test_nothing_of_the_exporting_machine_is_in_the_file(int8):
    assert str(Path(__file__).parents[2]).encode() not in int8.content


@pytest.mark.parametrize("contract", ["raw", "decoded", "compact"])
@pytest.mark.parametrize("boxes", [False, True])
def test_the_channels_last_network_is_the_deployed_network(contract, boxes):
    network = float_network(boxes=boxes, one_to_one=not boxes)
    size = (96, 128)
    images = smooth_images(1, 3, size)
    deployed = DeployNetwork(network, contract, size, POSES)
    with torch.no_grad():
        expected = dict(zip(deployed.output_names, deployed(images), strict=True))
        found = ChannelsLast(network, contract, size, POSES)(images.permute(0, 2, 3, 1))
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        got = found[name].permute(0, 3, 1, 2) if contract == "raw" else found[name]
        torch.testing.assert_close(got, tensor, rtol=1e-5, atol=1e-4)
