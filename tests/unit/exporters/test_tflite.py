"""What needs no converter: where int8 and float have to meet, and what is refused at once."""

from __future__ import annotations

import builtins
from dataclasses import replace

import numpy as np
import pytest
from quantized_network import float_network, quantized_network
from shallow_network import SIZE, shallow, shallow_policy

from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.exporters import tflite
from erpose_edge.exporters.engine_export import EngineExport
from erpose_edge.exporters.tflite.check import (
    check_float,
    check_islands,
    check_scales,
    needed_conversions,
)
from erpose_edge.exporters.tflite.graph import TfliteOperation, TfliteTensor
from erpose_edge.exporters.tflite.half import with_half_weights
from erpose_edge.quantization.fake_quantize import set_mode
from erpose_edge.quantization.prepare import fold, prepare
from erpose_edge.quantization.recipe import load_policy


def with_float(*more):
    policy = shallow_policy()
    policy = policy.model_copy(update={"keep_float": [*policy.keep_float, *more]})
    return prepare(shallow(), policy)


@pytest.mark.parametrize(
    ("more", "needed"),
    [
        ((), 4),  # in behind the stem, out in front of three levels of heads
        (("stride_32.1",), 4),  # the last convolution: its input leaves int8 instead of its output
        (("stride_8.0",), 4),  # beside the stem: int8 begins one later
        (("split.bottlenecks.0.first",), 6),  # in the middle: out of int8 and back
        (("stride_8.1",), 6),
        (("join",), 4),  # what it reads, joined, leaves int8 instead of what it makes
    ],
)
def test_every_float_layer_needs_the_conversions_at_its_borders(more, needed):
    assert needed_conversions(with_float(*more)) == needed


def test_a_float_network_needs_no_conversion():
    assert needed_conversions(fold(shallow())) == 0


@pytest.mark.parametrize("switches", [{}, {"backbone": "mobile"}, {"one_to_one": False}])
def test_the_bundled_policies_need_one_entry_and_two_exits_a_level(switches):
    for name in ("default", "narrow-weights"):
        prepared = prepare(float_network(**switches), load_policy(name))
        assert needed_conversions(prepared) == 1 + 2 * 3


def tensor(kind, scales=(), zero_points=(), content=None):
    return TfliteTensor(
        kind, (1,), np.array(scales, np.float32), np.array(zero_points, np.int64), content
    )


def test_float16_weights_are_no_island():
    widen = TfliteOperation("DEQUANTIZE", (tensor("FLOAT16"),), (tensor("FLOAT32"),))
    narrow = TfliteOperation("DEQUANTIZE", (tensor("INT8"),), (tensor("FLOAT32"),))
    network = fold(shallow())
    check_islands([widen], network, 0)
    with pytest.raises(
        ExportError,
        match=r"^tflite: QUANTIZE and DEQUANTIZE: expected 0 at the borders of the policy's "
        r"keep_float and 0 more, got 1: 1 make float islands; keep float what lies between them "
        r"or raise max_extra_conversions$",
    ):
        check_islands([widen, narrow], network, 0)


def file_of(network, zero_point=0):
    """Return the one operation of a file that holds ``join.conv`` and nothing else."""
    conv = network.get_submodule("join.conv")
    weight = conv.integer_weight().permute(0, 2, 3, 1).contiguous().numpy()
    before = float(network.get_submodule("quantizer_split_join_activation").scale)
    after = float(network.get_submodule("quantizer_join_activation").scale)
    scales = conv.weight_scale().numpy()
    inputs = (
        tensor("INT8", [before], [zero_point]),
        TfliteTensor("INT8", weight.shape, scales, np.zeros(len(scales)), weight.tobytes()),
    )
    return TfliteOperation("CONV_2D", inputs, (tensor("INT8", [after], [0]),))


def test_a_zero_point_other_than_0_is_refused():
    network = quantized_network(shallow(), shallow_policy())
    check_scales([file_of(network)], network)
    with pytest.raises(ExportError, match=r"^tflite join\.conv: input scale: .* with zero point 0"):
        check_scales([file_of(network, zero_point=1)], network)


def test_a_convolution_that_became_int8_on_its_own_is_refused():
    network = quantized_network(shallow(), shallow_policy())
    known = file_of(network)
    check_float([known], network)
    source, weight = known.inputs
    other = replace(weight, content=bytes(len(weight.content)))
    with pytest.raises(
        ExportError, match=r"^tflite: expected 1 int8 .* got 1 more, one that makes"
    ):
        check_float([known, replace(known, inputs=(source, other))], network)


def test_a_network_that_is_still_observed_is_refused():
    pytest.importorskip("litert_torch")
    network = prepare(shallow(), shallow_policy())
    set_mode(network, "observe")
    export = EngineExport(network, "int8", "raw", SIZE, 10, shallow_policy())
    with pytest.raises(ExportError, match=r"tflite: quantizer_.*: expected a range, got none yet"):
        tflite.model_files(export)


@pytest.mark.parametrize("package", ["litert_torch", "litert_quantizer"])
def test_a_missing_package_names_its_extra(monkeypatch, package):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named '{package}'", name=package)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'erpose-edge\[tflite-export\]'"):
        if package == "litert_torch":
            tflite.model_files(EngineExport(fold(shallow()), "fp32", "raw", SIZE, 10))
        else:
            with_half_weights(b"")
