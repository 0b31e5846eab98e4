"""What ran where: each engine's own answer, in one form."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from small_certificate import layers
from small_qdq import INT8, SIZE, small_network
from tiny_pose import tiny_manifest, write_tiny_artifact

from erpose_edge.errors import IntegrityError, TargetError
from erpose_edge.runtime.artifact import read_artifact, write_artifact
from erpose_edge.runtime.manifest import InputSpec, OutputSpec
from erpose_edge.runtime.runner import open_runner
from erpose_edge.validate.placement import (
    CONVOLUTION,
    PlacedLayer,
    counted,
    int8_share,
    placement_of,
    with_missing,
)
from erpose_edge.validate.placement.tensorrt import read_layers, read_placement
from erpose_edge.validate.placement.tflite import _delegated


def opened(folder, engine):
    artifact = read_artifact(write_tiny_artifact(folder / engine, "compact", engine))
    return placement_of(open_runner(artifact, 1), artifact)


def write_quantized(folder, engine):
    """Write the small Q/DQ network as an artifact that says its own tensors."""
    model = small_network()
    manifest = replace(
        tiny_manifest("raw", engine),
        input=InputSpec(model.graph.input[0].name, (1, 3, *SIZE)),
        outputs=tuple(OutputSpec(o.name, (1, 1), "float32", "logit") for o in model.graph.output),
    )
    write_artifact(folder, manifest, {"model.onnx": model.SerializeToString()})
    return folder


def quantized(folder, engine):
    artifact = read_artifact(write_quantized(folder / engine, engine))
    return placement_of(open_runner(artifact, 1), artifact)


def test_openvino_names_every_layer_that_runs(tmp_path):
    pytest.importorskip("openvino")
    found = opened(tmp_path, "openvino")
    convolutions = [layer for layer in found if layer.kind == CONVOLUTION]
    assert len(convolutions) == 9
    assert {layer.precision for layer in convolutions} == {"fp32"}
    assert {layer.unit for layer in found} == {"cpu"}
    assert not {"Const", "Input", "Output"} & {layer.kind for layer in found}


def test_onnxruntime_names_every_node_of_a_run(tmp_path):
    pytest.importorskip("onnxruntime")
    found = opened(tmp_path, "onnxruntime")
    assert sum(layer.kind == CONVOLUTION for layer in found) == 9
    assert {layer.unit for layer in found} == {"cpu"}


def test_int8_convolutions_are_known_by_name_where_they_run_in_int8(tmp_path):
    """The stem and the head stay float, as the graph says."""
    pytest.importorskip("openvino")
    found = quantized(tmp_path, "openvino")
    assert {x.layer: x.precision for x in found if x.asked} == dict.fromkeys(INT8, "int8")
    floats = [x for x in found if x.kind == CONVOLUTION and x.asked is None]
    assert [x.precision for x in floats] == ["fp32"] * len(floats) != []
    assert int8_share([x.to_json() for x in found]) == 1.0


def test_an_engine_that_computes_int8_in_float_is_caught(tmp_path):
    """ONNX Runtime does so with a spelling that is not its own."""
    pytest.importorskip("onnxruntime")
    found = quantized(tmp_path, "onnxruntime")
    assert {x.layer: x.precision for x in found if x.asked} == dict.fromkeys(INT8, "fp32")
    assert int8_share([x.to_json() for x in found]) == 0.0


def test_tflite_tells_what_xnnpack_took(tmp_path):
    pytest.importorskip("ai_edge_litert")
    from tiny_tflite import write_tiny_tflite

    artifact = read_artifact(write_tiny_tflite(tmp_path / "tflite"))
    runner = open_runner(artifact, 1)
    found = placement_of(runner, artifact)
    assert [x.layer for x in found][:2] == ["AVERAGE_POOL_2D_0", "CONV_2D_1"]
    assert {x.unit for x in found} == {"xnnpack"}
    assert {x.precision for x in found} == {"fp32"}
    assert sum(x.kind == CONVOLUTION for x in found) == 9


def operation(kind, inputs, outputs):
    return {"op_name": kind, "inputs": inputs, "outputs": outputs}


def test_a_delegate_has_what_leads_from_its_inputs_to_its_outputs():
    plan = [
        operation("QUANTIZE", [0], [1]),  # makes what the delegate reads: not in it
        operation("CONV_2D", [1, 90, 91], [2]),
        operation("ADD", [2, 1], [3]),
        operation("TOPK_V2", [3], [4, 5]),  # reads what the delegate makes: not in it
        operation("DELEGATE", [1, 90, 91], [3]),
    ]
    assert _delegated(plan) == {1, 2}


class Inspected:
    """A runner of TensorRT with what its engine's inspector says, and a report of DLA."""

    def __init__(self, folder, layers_json, report=None):
        self.engine_path = folder / "pose.engine"
        self._text = json.dumps({"Layers": layers_json})
        if report is not None:
            (folder / "pose.placement.json").write_text(report)

    def layer_information(self):
        return self._text


def kernel(name, words, kind="CaskConvolution"):
    return {"Name": name, "LayerType": kind, "Inputs": [{"Format/Datatype": words}]}


def tensorrt_artifact(folder):
    artifact = read_artifact(write_quantized(folder, "tensorrt"))
    assert artifact.manifest.engine == "tensorrt"
    return artifact


def test_tensorrts_inspector_is_read_fused_kernels_and_all(tmp_path):
    runner = Inspected(
        tmp_path,
        [
            kernel("stem.conv", "Row major linear FP32"),
            kernel("a.conv + node_add", "Thirty-two wide channel vectorized row major Int8 format"),
            kernel("b.conv || c.conv", "Channel major FP16 format where channel % 8 == 0"),
            kernel("reformat", "Row major Int8 format", "Reformat"),
        ],
    )
    found = placement_of(runner, tensorrt_artifact(tmp_path / "artifact"))
    assert {x.layer: x.precision for x in found if x.asked} == {
        "a.conv": "int8",
        "b.conv": "fp16",
        "c.conv": "fp16",
    }
    assert [x.unit for x in found] == ["gpu"] * 5
    assert int8_share([x.to_json() for x in found]) == pytest.approx(1 / 3)


def test_an_engine_built_without_details_tells_names_and_no_precision(tmp_path):
    runner = Inspected(tmp_path, ["a.conv", "b.conv", "c.conv"])
    found = read_placement(runner, tensorrt_artifact(tmp_path / "artifact"))
    assert {x.precision for x in found} == {"unknown"}
    assert int8_share([x.to_json() for x in found]) is None


def test_layers_on_dla_are_those_of_its_report(tmp_path):
    report = json.dumps({"devices": {"a.conv": "dla", "b.conv": "gpu"}})
    part = kernel("{ForeignNode[a.conv...a.relu]}", "Int8", "DLA")
    runner = Inspected(tmp_path, [part, kernel("b.conv", "Int8 NC/32HW32")], report)
    found = {x.layer: x.unit for x in read_placement(runner, tensorrt_artifact(tmp_path / "a"))}
    assert found == {"a.conv": "dla", "b.conv": "gpu", "c.conv": "gpu"}


def test_damaged_answers_are_refused(tmp_path):
    for text in ("", "[]", '{"Layers": 3}'):
        with pytest.raises(IntegrityError, match="engine inspector: expected JSON with Layers"):
            read_layers(text)
    runner = Inspected(tmp_path, [], report="{}")
    with pytest.raises(IntegrityError, match="expected a report of DLA, got KeyError"):
        read_placement(runner, tensorrt_artifact(tmp_path / "artifact"))


def test_an_unknown_engine_is_refused(tmp_path):
    artifact = read_artifact(write_tiny_artifact(tmp_path / "a", "compact", "openvino"))
    other = replace(artifact, manifest=replace(artifact.manifest, engine="abacus"))
    with pytest.raises(TargetError, match=r"placement: expected an engine of .*, got 'abacus'"):
        placement_of(None, other)


def test_the_share_is_of_what_was_asked_and_a_lost_layer_is_not_int8():
    assert int8_share(layers("int8")) == pytest.approx(2 / 3)
    assert int8_share(layers("fp32")) is None
    conv = PlacedLayer("a", CONVOLUTION, "int8", "cpu", "int8")
    found = with_missing([conv], ["a", "b"], "cpu")
    assert [x.to_json()["precision"] for x in found] == ["int8", "unknown"]
    assert int8_share([x.to_json() for x in found]) == 0.5
    assert counted([x.to_json() for x in found]) == {"int8 on cpu": 1, "unknown on cpu": 1}
