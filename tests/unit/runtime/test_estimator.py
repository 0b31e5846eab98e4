from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_pose import (
    MAX_POSES,
    OFFSETS,
    STRIDES,
    K,
    tiny_manifest,
    tiny_model,
    write_tiny_artifact,
)

import erpose_edge.runtime
from erpose_edge.errors import (
    ImageError,
    IntegrityError,
    MissingExtraError,
    RequestError,
    TargetError,
)
from erpose_edge.runtime.artifact import read_artifact, write_artifact
from erpose_edge.runtime.decode import CONTRACTS
from erpose_edge.runtime.estimator import PoseContract, PoseEstimator
from erpose_edge.runtime.runner import open_runner
from erpose_edge.skeleton import COCO_17

ENGINES = ("openvino", "onnxruntime")
SOURCE_PX = 0.02  # what float32 and the resize leave


def _squares(scale: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of the input's aspect, and the grid points of its squares in source pixels."""
    image = np.zeros((64 * scale, 96 * scale, 3), np.uint8)
    cells = [(2, 5), (6, 1)]  # row, column at stride 8
    for row, column in cells:
        size = 8 * scale
        image[row * size : (row + 1) * size, column * size : (column + 1) * size] = 255
    points = np.array([((c + 0.5) * 8, (r + 0.5) * 8) for r, c in cells])
    return image, (points + 0.5) * scale - 0.5


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_people_are_found_where_they_are(tmp_path: Path, engine, contract, scale):
    image, points = _squares(scale)
    poses = PoseEstimator(write_tiny_artifact(tmp_path / "a", contract, engine))(image)
    assert len(poses) == 2
    order = np.argsort(-poses.keypoints[:, 0, 0])
    expected = points[:, None] + 2 * 8 * OFFSETS * scale
    assert abs(poses.keypoints[order] - expected).max() < SOURCE_PX * scale
    assert np.allclose(poses.scores, 1 / (1 + np.exp(-10)), atol=1e-4)
    visibility = 1 / (1 + np.exp(np.arange(K) - 4.0))
    assert np.allclose(poses.visibility, visibility[None], atol=1e-4)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_engines_agree(tmp_path: Path, contract):
    image = np.random.default_rng(0).integers(0, 256, (100, 130, 3), dtype=np.uint8)
    found = []
    for engine in ENGINES:
        folder = write_tiny_artifact(tmp_path / engine, contract, engine)
        found.append(PoseEstimator(folder, score_threshold=0.0)(image))
    assert len(found[0]) == len(found[1]) == MAX_POSES
    assert np.allclose(found[0].scores, found[1].scores, atol=1e-5)
    assert np.allclose(found[0].keypoints, found[1].keypoints, atol=1e-2)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_frame_does_not_change_the_poses_of_the_last(tmp_path: Path, engine):
    estimator = PoseEstimator(write_tiny_artifact(tmp_path / "a", "compact", engine))
    image, _ = _squares(2)
    first = estimator(image)
    before = first.to_json()
    assert len(estimator(np.zeros((50, 50, 3), np.uint8))) == 0
    assert len(estimator(np.full((40, 90, 3), 255, np.uint8))) == MAX_POSES
    assert first.to_json() == before
    assert estimator(image).to_json() == before


@pytest.mark.parametrize("engine", ENGINES)
def test_runners_take_any_memory(tmp_path: Path, engine):
    runner = open_runner(read_artifact(write_tiny_artifact(tmp_path / "a", "raw", engine)), 1)
    assert runner.threads == 1
    images = np.random.default_rng(0).random((1, 3, 64, 96), np.float32)
    expected = {name: values.copy() for name, values in runner.run(images).items()}
    strided = np.zeros((1, 3, 64, 192), np.float32)[..., ::2]
    strided[:] = images
    for name, values in runner.run(strided).items():
        assert np.array_equal(values, expected[name])
    images[:] = 0  # the same memory with other content
    assert not np.array_equal(runner.run(images)["scores_8"], expected["scores_8"])


def test_the_threshold_leaves_out_what_is_below(tiny_artifact: Path):
    image = np.full((64, 96, 3), 128, np.uint8)  # every score is 0.51
    estimator = PoseEstimator(tiny_artifact, score_threshold=0.5)
    assert len(estimator(image)) == MAX_POSES
    estimator.score_threshold = 0.6
    assert len(estimator(image)) == 0


def test_a_runner_of_ones_own_needs_a_contract_only():
    class Constant:
        engine = "constant 1.0"
        threads = 1

        def run(self, images):
            assert images.shape == (1, 3, 32, 32)
            return {
                "scores": np.full((1, 1), 0.9, np.float32),
                "keypoints": np.full((1, 1, K, 2), 10.0, np.float32),
                "visibility": np.ones((1, 1, K), np.float32),
            }

    contract = PoseContract("decoded", (32, 32), STRIDES, 30, COCO_17)
    poses = PoseEstimator(contract, runner=Constant())(np.zeros((64, 64, 3), np.uint8))
    assert np.allclose(poses.keypoints, 20.5)
    with pytest.raises(RequestError, match="expected a runner beside a contract, got none"):
        PoseEstimator(contract)
    wrong = dataclasses.replace(contract, outputs="boxes")
    with pytest.raises(RequestError, match="contract: expected raw"):
        PoseEstimator(wrong, runner=Constant())


def test_what_is_no_picture_is_refused(tiny_artifact: Path):
    with pytest.raises(ImageError):
        PoseEstimator(tiny_artifact)(np.zeros((3, 64, 96), np.float32))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_that_is_none_is_refused_in_one_line(tmp_path: Path, engine):
    manifest = tiny_manifest("compact", engine)
    artifact = write_artifact(tmp_path / "a", manifest, {"model.onnx": b"no model"})
    with pytest.raises(TargetError) as caught:
        open_runner(artifact)
    assert str(caught.value).startswith(f"{tmp_path / 'a'}: expected a model that ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_with_other_outputs_than_the_manifest_says_is_refused(tmp_path: Path, engine):
    content = tiny_model("raw").SerializeToString()
    manifest = tiny_manifest("compact", engine)
    artifact = write_artifact(tmp_path / "a", manifest, {"model.onnx": content})
    with pytest.raises(IntegrityError, match="outputs: expected scores as the manifest says, got"):
        open_runner(artifact)


def test_an_unknown_engine_and_no_threads_are_refused(tiny_artifact: Path, tmp_path: Path):
    unknown = write_artifact(tmp_path / "b", tiny_manifest("raw", "abacus"), {"model.onnx": b""})
    with pytest.raises(TargetError, match=r"engine: expected openvino or .*, got 'abacus'"):
        open_runner(unknown)
    with pytest.raises(RequestError, match="threads: expected at least 1, got 0"):
        open_runner(read_artifact(tiny_artifact), threads=0)


@pytest.mark.parametrize(("engine", "package", "extra"), [
    ("openvino", "openvino", "openvino"), ("onnxruntime", "onnxruntime", "ort"),
])  # fmt: skip
def test_a_missing_engine_names_its_extra(tmp_path, monkeypatch, engine, package, extra):
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    artifact = read_artifact(write_tiny_artifact(tmp_path / "a", "compact", engine))
    for name in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(MissingExtraError) as caught:
        open_runner(artifact)
    assert f"pip install 'erpose-edge[{extra}]'" in str(caught.value)


def test_the_runtime_imports_numpy_cv2_and_itself_only():
    code = (
        "import pkgutil, importlib, sys, erpose_edge.runtime as r\n"
        "for m in pkgutil.iter_modules(r.__path__):\n"
        "    if not m.name.endswith('_runner'):\n"
        "        importlib.import_module('erpose_edge.runtime.' + m.name)\n"
        "print(*sorted({n.split('.')[0] for n in sys.modules} - set(sys.stdlib_module_names)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed = {"__main__", "cv2", "erpose_edge", "numpy"}
    found = {name for name in run.stdout.split() if not name.startswith("_")}
    assert found - allowed <= {"sitecustomize", "a1_coverage"}


def test_boards_with_python_3_8_can_parse_it():
    package = Path(erpose_edge.__file__).parent
    files = [*package.glob("*.py"), *(package / "runtime").glob("*.py")]
    files += (package / "validate").glob("*.py")
    for path in files:
        if path.stem not in ("config", "config_file", "resources"):
            ast.parse(path.read_text(), str(path), feature_version=(3, 8))
