"""A real file on the real runtime, and its older names as modules that hold the same class."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from tiny_pose import INPUT_SIZE, OFFSETS, STRIDES
from tiny_tflite import MODEL, tiny_tflite, tiny_tflite_manifest, write_tiny_tflite

from erpose_edge.errors import IntegrityError, MissingExtraError, TargetError
from erpose_edge.runtime.artifact import read_artifact, write_artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.runner import open_runner

litert = pytest.importorskip("ai_edge_litert.interpreter")


@pytest.fixture
def folder(tmp_path):
    return write_tiny_tflite(tmp_path / "artifact")


@pytest.fixture
def images(rng):
    return rng.random((1, 3, *INPUT_SIZE), np.float32)


def test_raw_maps_come_as_every_runner_gives_them(folder, images):
    outputs = open_runner(read_artifact(folder), threads=1).run(images)
    for stride in STRIDES:
        rows, columns = INPUT_SIZE[0] // stride, INPUT_SIZE[1] // stride
        cells = images.reshape(1, 3, rows, stride, columns, stride).mean((3, 5))
        logits = 20 * cells.mean(1, keepdims=True) - 10
        np.testing.assert_allclose(outputs[f"scores_{stride}"], logits, atol=1e-4)
        keypoints = outputs[f"keypoints_{stride}"]
        assert keypoints.shape == (1, OFFSETS.size, rows, columns)
        np.testing.assert_allclose(keypoints[0, :, 0, 0], OFFSETS.ravel(), atol=1e-6)


def test_people_are_found_where_they_are(folder):
    frame = np.zeros((*INPUT_SIZE, 3), np.uint8)
    frame[16:24, 40:48] = 255  # the cell of row 2 and column 5 at stride 8
    poses = PoseEstimator(folder)(frame)
    assert len(poses) == 1
    np.testing.assert_allclose(poses.keypoints[0], [44, 20] + 16 * OFFSETS, atol=1e-3)


def test_both_memory_layouts_of_the_images_give_the_same(folder, images):
    runner = open_runner(read_artifact(folder))
    channels_last = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    ours, theirs = runner.run(images), runner.run(channels_last)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_outputs_of_one_run_do_not_stand_in_the_way_of_the_next(folder, images):
    runner = open_runner(read_artifact(folder))
    kept = runner.run(images)
    before = {name: array.copy() for name, array in kept.items()}
    runner.run(1 - images)
    assert all(np.array_equal(kept[name], before[name]) for name in kept)


def test_the_runner_says_which_runtime_and_how_many_threads(folder):
    import ai_edge_litert

    runner = open_runner(read_artifact(folder), threads=2)
    assert runner.engine == f"LiteRT {ai_edge_litert.__version__}"
    assert runner.threads == 2


def stand_in(monkeypatch, package, module):
    """Let ``package`` be the only runtime, with the real class in ``module``."""
    for name in ("ai_edge_litert", "tflite_runtime", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    if package is not None:
        top, inner = ModuleType(package), ModuleType(module)
        top.__version__ = "9.8.7"
        inner.Interpreter = litert.Interpreter
        monkeypatch.setitem(sys.modules, package, top)
        monkeypatch.setitem(sys.modules, module, inner)


@pytest.mark.parametrize(
    ("package", "module", "engine"),
    [
        ("ai_edge_litert", "ai_edge_litert.interpreter", "LiteRT 9.8.7"),
        ("tflite_runtime", "tflite_runtime.interpreter", "TFLite runtime 9.8.7"),
        ("tensorflow", "tensorflow.lite", "TensorFlow Lite 9.8.7"),
    ],
)
def test_each_name_of_the_runtime_serves(folder, images, monkeypatch, package, module, engine):
    artifact = read_artifact(folder)
    expected = open_runner(artifact).run(images)
    stand_in(monkeypatch, package, module)
    runner = open_runner(artifact)
    assert runner.engine == engine
    found = runner.run(images)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_missing_runtime_names_its_extra(folder, monkeypatch):
    stand_in(monkeypatch, None, None)
    with pytest.raises(
        MissingExtraError,
        match=r"tflite: expected the package ai_edge_litert or tflite_runtime or tensorflow, got "
        r"none; run: pip install 'erpose-edge\[tflite\]'",
    ):
        open_runner(read_artifact(folder))


def test_a_broken_runtime_is_not_called_missing(folder, monkeypatch):
    stand_in(monkeypatch, "ai_edge_litert", "ai_edge_litert.interpreter")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModuleNotFoundError, match=r"ai_edge_litert\.interpreter"):
        open_runner(read_artifact(folder))


@pytest.mark.parametrize("content", [b"no flatbuffer at all" * 9, b"", tiny_tflite()[:200]])
def test_a_file_that_the_runtime_refuses_is_a_target_error(tmp_path, content):
    write_artifact(tmp_path / "a", tiny_tflite_manifest(), {MODEL: content})
    with pytest.raises(TargetError, match=r"expected a model that LiteRT .* loads, got: "):
        open_runner(read_artifact(tmp_path / "a"))


def test_another_input_name_is_an_integrity_error(tmp_path):
    write_tiny_tflite(tmp_path / "a", tiny_tflite(input_name="args_0"))
    with pytest.raises(IntegrityError, match=r"input: expected images .*, got args_0"):
        open_runner(read_artifact(tmp_path / "a"))


def test_another_shape_is_an_integrity_error(tmp_path):
    manifest = tiny_tflite_manifest()
    smaller = replace(manifest, input=replace(manifest.input, shape=(1, 32, 96, 3)))
    write_artifact(tmp_path / "a", smaller, {MODEL: tiny_tflite()})
    with pytest.raises(
        IntegrityError, match=r"images: expected float32 \(1, 32, 96, 3\) .*, got float32 \(1, 64,"
    ):
        open_runner(read_artifact(tmp_path / "a"))


def test_another_output_shape_is_an_integrity_error(tmp_path):
    manifest = tiny_tflite_manifest()
    first, *others = manifest.outputs
    wide = replace(manifest, outputs=(replace(first, shape=(1, 2, 8, 12)), *others))
    write_artifact(tmp_path / "a", wide, {MODEL: tiny_tflite()})
    with pytest.raises(IntegrityError, match=r"scores_8: expected float32 \(1, 8, 12, 2\) as"):
        open_runner(read_artifact(tmp_path / "a"))
