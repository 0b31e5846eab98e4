"""Every fault that is planted is found: its stage, its kind, and the layer or the reason."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import parity_faults as faults
import pytest

from erpose_edge.deploy.parity_sources import generated_pictures
from erpose_edge.errors import RequestError
from erpose_edge.exporters.dialect import spelled_for
from erpose_edge.exporters.onnx import export_onnx, serialize
from erpose_edge.network.checkpoint import load_weights
from erpose_edge.quantization.checkpoint import deployed_network
from erpose_edge.quantization.recipe import load_policy
from erpose_edge.runtime.artifact import write_artifact
from erpose_edge.runtime.manifest import InputSpec, Manifest, NetworkFacts, OutputSpec
from erpose_edge.validate.parity.compare import compare
from erpose_edge.validate.parity.dump import artifact_capture
from erpose_edge.validate.parity.file import read_dump
from erpose_edge.validate.parity.verdict import judge

onnx = pytest.importorskip("onnx")
pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow

ENGINES = ("openvino", "onnxruntime")
POSES = 30
DAMAGED = "neck.up_8.split.conv"  # whose scale is made wrong


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return faults.write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def weights(files):
    return [load_weights(path) for path in files]


@pytest.fixture(scope="module")
def exact(weights):
    return faults.torch_capture(weights[0], "fp32")


@pytest.fixture(scope="module")
def fake(weights):
    return faults.torch_capture(weights[1], "int8")


@pytest.fixture(scope="module")
def graph(weights):
    return export_onnx(deployed_network(weights[1], quantized=True), "compact", faults.SIZE, POSES)


def spelled(graph, engine):
    return spelled_for(engine, graph, load_policy("default").dialects[engine])


def write(folder, weights, model, engine):
    """Write an artifact of an ONNX graph, which both engines read."""
    shapes = {"scores": (1, POSES), "keypoints": (1, POSES, 17, 2), "visibility": (1, POSES, 17)}
    manifest = Manifest(
        target="t", engine=engine, precision="int8", contract="compact",
        input=InputSpec("images", (1, 3, *faults.SIZE)),
        outputs=tuple(OutputSpec(n, s, "float32", "logit") for n, s in shapes.items()),
        skeleton="coco-17", strides=(8, 16, 32), max_poses=POSES, score_threshold=0.3,
        network=NetworkFacts("n", "relu", 1), weights_sha256=weights.sha256, preprocessing={},
        scales={}, files={}, calibration_sha256=None, policy_sha256=None, tool_versions={},
        licences=("Apache-2.0",), self_test=None,
    )  # fmt: skip
    write_artifact(folder, manifest, {"model.onnx": serialize(model)})
    return folder


def captured(folder):
    return artifact_capture(folder, generated_pictures(faults.COUNT, 1), threads=1)


def verdict_on(a, b):
    comparison = compare(a, b)
    return comparison, judge(comparison, a, b)


def test_a_network_is_at_parity_with_itself(exact):
    comparison, verdict = verdict_on(exact, exact)
    assert verdict.parity
    assert comparison.exit_code == 0
    assert all(stage.ok is not False for stage in comparison.stages)
    assert comparison.stage("P5").distance.snr_db == 200


@pytest.mark.parametrize(
    ("plant", "reason"),
    [
        (faults.swap_channels, "channels are in the other order"),
        (faults.do_not_divide, "values of B are 255 times those of A"),
        (faults.put_in_the_corner, "letterbox: A scales by"),
        (faults.forget_half_pixels, "the picture lies +0."),
    ],
)
def test_wrong_preprocessing_is_found_and_named(exact, weights, plant, reason):
    comparison, verdict = verdict_on(exact, faults.torch_capture(weights[0], "fp32", plant))
    assert (verdict.stage, verdict.kind) == ("input", "preprocessing")
    assert reason in verdict.cause
    assert comparison.exit_code == 3


def test_a_host_that_decodes_wrongly_is_found_and_the_side_named(exact, weights):
    wrong = faults.torch_capture(weights[0], "fp32", faults.half_a_cell_off)
    _, verdict = verdict_on(exact, wrong)
    assert (verdict.stage, verdict.kind, verdict.side) == ("decode B", "decoding", "B")
    _, verdict = verdict_on(wrong, exact)
    assert (verdict.stage, verdict.side) == ("decode A", "A")


def test_a_wrong_mapping_to_the_picture_is_found(exact, weights):
    wrong = faults.torch_capture(weights[0], "fp32", faults.map_back_without_padding)
    _, verdict = verdict_on(exact, wrong)
    assert (verdict.stage, verdict.kind) == ("poses", "decoding")


def test_other_weights_are_a_matter_of_precision_and_noted(exact, weights):
    state = {n: t.clone() for n, t in weights[0].state.items()}
    state["neck.up_8.split.conv.weight"] *= -1
    other = dataclasses.replace(weights[0], state=state, sha256="f" * 64)
    _, verdict = verdict_on(exact, faults.torch_capture(other, "fp32"))
    assert (verdict.stage, verdict.kind) == ("P3", "precision")
    assert verdict.layer == "neck.up_8.split.conv"
    assert any(note.startswith("other weights: ") for note in verdict.notes)


def wiring(side):
    return {layer.name: set(layer.inputs) for layer in side.side.layers}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sound_int8_export_is_at_parity_and_all_layers_are_seen(
    fake, weights, graph, engine, tmp_path
):
    found = captured(write(tmp_path / "a", weights[1], spelled(graph, engine), engine))
    comparison, verdict = verdict_on(fake, found)
    assert comparison.pair == "int8 of the same weights"
    assert {layer.name for layer in comparison.layers} == {layer.name for layer in fake.side.layers}
    assert found.side.layers == fake.side.layers or {
        x.name: set(x.inputs) for x in found.side.layers
    } == {x.name: set(x.inputs) for x in fake.side.layers}
    assert verdict.parity, verdict


def test_quantization_itself_is_within_its_budget(exact, fake):
    comparison, verdict = verdict_on(exact, fake)
    assert comparison.pair == "int8"
    assert comparison.stage("P3").distance.snr_db < 60  # it is seen
    assert verdict.parity, verdict


def with_wrong_scale(graph, name, factor):
    """Make the scale wrong with which the convolution ``name`` is dequantized."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    users = {}
    for node in model.graph.node:
        for tensor in node.input:
            users.setdefault(tensor, []).append(node)
    node = next(node for node in model.graph.node if node.name == name)
    while node.op_type != "DequantizeLinear":
        (node,) = users[node.output[0]]
    constants = {t.name: t for t in model.graph.initializer}
    value = onnx.numpy_helper.to_array(constants[node.input[1]]) * np.float32(factor)
    model.graph.initializer.append(onnx.numpy_helper.from_array(value, "wrong_scale"))
    node.input[1] = "wrong_scale"
    return model


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_wrong_scale_of_one_layer_is_found_and_the_layer_named(
    exact, fake, weights, graph, engine, factor, tmp_path
):
    model = spelled(with_wrong_scale(graph, DAMAGED, factor), engine)
    found = captured(write(tmp_path / "a", weights[1], model, engine))
    for truth in (fake, exact):
        _, verdict = verdict_on(truth, found)
        assert (verdict.stage, verdict.kind, verdict.layer) == ("P3", "precision", DAMAGED)
        assert "one layer is wrong by itself" in verdict.cause


def without_sigmoid(graph):
    for node in graph.graph.node:
        if node.op_type == "Sigmoid" and node.output[0] == "scores":
            node.op_type = "Identity"


def half_a_cell_off(graph):
    """Put the grid points of the graph at the corners of their cells."""
    count = sum((faults.SIZE[0] // s) * (faults.SIZE[1] // s) for s in (8, 16, 32))
    moved = 0
    for tensor in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.shape in ((count, 2), (1, count, 2)):
            tensor.CopyFrom(onnx.numpy_helper.from_array(values - np.float32(4), tensor.name))
            moved += 1
    assert moved == 1


@pytest.mark.parametrize("plant", [without_sigmoid, half_a_cell_off])
@pytest.mark.parametrize("engine", ENGINES)
def test_wrong_decoding_in_the_graph_is_found_below_the_noise_of_int8(
    exact, weights, graph, engine, plant, tmp_path
):
    model = spelled(graph, engine)
    plant(model)
    _, verdict = verdict_on(exact, captured(write(tmp_path / "a", weights[1], model, engine)))
    assert (verdict.stage, verdict.kind, verdict.side) == ("decode B", "decoding", "B")


def test_a_dump_made_by_another_process_compares_as_the_capture_itself(
    fake, weights, graph, tmp_path
):
    folder = write(tmp_path / "a", weights[1], spelled(graph, "openvino"), "openvino")
    picture = tmp_path / "picture.png"
    import cv2

    cv2.imwrite(str(picture), generated_pictures(1, 1)[0].image)
    out = tmp_path / "board.npz"
    module = "erpose_edge.validate.parity.dump"
    done = subprocess.run(
        [sys.executable, "-m", module, folder, "--input", picture, "--out", out, "--threads", "1"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{out}: 1 pictures, ")
    dump = read_dump(out)
    ours = dataclasses.replace(fake, frames=fake.frames[:1])
    comparison, verdict = verdict_on(ours, dump)
    assert verdict.parity, verdict
    assert comparison.stage("picture").distance.snr_db == 200
    assert dump.side.artifact_sha256 != ""


def test_a_wrong_call_on_the_device_is_one_line(tmp_path):
    module = "erpose_edge.validate.parity.dump"
    done = subprocess.run(
        [sys.executable, "-m", module, tmp_path / "no", "--input", "x.png", "--out", "a.txt"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 2
    assert done.stderr == "error: --out: expected a name that ends in .npz, got a.txt\n"


def test_sides_of_other_sizes_are_refused(exact):
    other = dataclasses.replace(exact, side=dataclasses.replace(exact.side, input_size=(96, 128)))
    with pytest.raises(
        RequestError, match="input size: expected the same on both sides, got 128 x"
    ):
        compare(exact, other)
    fewer = dataclasses.replace(exact, frames=exact.frames[:1])
    with pytest.raises(RequestError, match="pictures: expected as many on both sides, got 2 and 1"):
        compare(exact, fewer)


def test_what_cannot_be_seen_leaves_it_undecided(exact):
    """Outputs alone, as of a TensorRT engine with a compact graph, and they differ."""
    side = dataclasses.replace(exact.side, layers=(), missing="shows nothing")
    frames = tuple(
        dataclasses.replace(
            frame,
            layers={}, heads={}, beside={},
            outputs=dict(frame.outputs, keypoints=frame.outputs["keypoints"] + np.float32(4)),
            decoded=dataclasses.replace(frame.decoded, keypoints=frame.decoded.keypoints + 4),
        )
        for frame in exact.frames
    )  # fmt: skip
    comparison, verdict = verdict_on(exact, dataclasses.replace(exact, side=side, frames=frames))
    assert (verdict.stage, verdict.kind, verdict.side) == ("decoded", "undecided", "B")
    assert comparison.stage("P3").ok is None
    assert "not compared: P3: B: shows nothing" in verdict.notes
