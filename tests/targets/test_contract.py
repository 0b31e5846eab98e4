"""What every artifact has to keep, whatever engine it is for: one network, one answer.

The network is trained (the bundled erpose-n, calibrated for int8), so that differences are in units
that mean something; with ``ERPOSE_CONTRACT_WEIGHTS`` it is the two files ``float.safetensors`` and
``int8.safetensors`` of a folder. Poses are compared as sets: engines round, and poses of equal
score come in any order.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from engines import engine

from erpose_edge.config import config_from_mapping
from erpose_edge.data.generated.scene import render_scene
from erpose_edge.deploy.parity_sources import weights_capture
from erpose_edge.deploy.stand_in import stand_in_estimator
from erpose_edge.errors import (
    ImageError,
    IntegrityError,
    RequestError,
    TargetError,
    WeightsError,
)
from erpose_edge.exporters import engine_export
from erpose_edge.exporters.artifact_export import ENGINES, ExportRequest, export_artifact
from erpose_edge.exporters.onnx import export_onnx
from erpose_edge.exporters.runtime_archive import ARCHIVE_NAME
from erpose_edge.network.checkpoint import load_weights, save_weights
from erpose_edge.network.torch_runner import torch_estimator
from erpose_edge.quantization.checkpoint import deployed_network
from erpose_edge.quantization.qat import Quantization
from erpose_edge.resources import find_resource
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.manifest import MANIFEST_NAME
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import skeleton_named
from erpose_edge.validate.parity.capture import Picture
from erpose_edge.validate.parity.compare import compare
from erpose_edge.validate.parity.dump import artifact_capture

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Tolerance:
    """How far a pose may be from that of the network in torch.

    Attributes:
        score: Largest difference of the scores, probability.
        px: Largest mean distance of the keypoints, input pixels.
        oks: Smallest similarity of the two poses; the area is that of the box around the keypoints.
    """

    score: float
    px: float
    oks: float


FLOAT = Tolerance(score=0.0005, px=0.01, oks=0.999)
HALF = Tolerance(score=0.01, px=0.25, oks=0.99)
# Engines round the sums of an int8 convolution and its bias as it suits them.
INT8 = Tolerance(score=0.05, px=1.0, oks=0.97)
# ONNX Runtime computes the graph that TensorRT would get, Q/DQ as they are written.
TOLERANCE = {
    ("openvino", "fp32"): FLOAT,
    ("openvino", "fp16"): HALF,  # weights of 11 bits; a CPU computes in float32
    ("openvino", "int8"): INT8,
    ("onnxruntime", "fp32"): FLOAT,
    ("onnxruntime", "int8"): INT8,
    ("tflite", "fp32"): FLOAT,
    ("tflite", "fp16"): HALF,
    ("tflite", "int8"): INT8,
    ("tensorrt", "fp32"): FLOAT,
    ("tensorrt", "fp16"): HALF,
    ("tensorrt", "int8"): INT8,
}
NOT_HERE = ("tensorrt",)  # a GPU's; ONNX Runtime computes the same graph

SIZE = (192, 256)  # of pictures and input alike: a pixel of one is one of the other
ANSWERS = 12
SEEDS = (3, 8, 21)
CASES = [(name, precision) for name, module in ENGINES.items() for precision in module.PRECISIONS]


def _title(case: tuple[str, str]) -> str:
    stand_in = "-graph-computed-by-onnxruntime" if case[0] in NOT_HERE else ""
    return "-".join(case) + stand_in


EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=_title)


@functools.cache
def weights_folder():
    """Return a folder with float and int8 weights of one network."""
    given = os.environ.get("ERPOSE_CONTRACT_WEIGHTS")
    if given:
        return Path(given)
    folder = Path(tempfile.mkdtemp(prefix="erpose-contract-"))
    atexit.register(shutil.rmtree, folder)
    weights = load_weights(find_resource("weights", "erpose-n"))
    settings = {**weights.config["qat"], "calibration": "generated-8"}
    config = config_from_mapping({**weights.config, "qat": settings}, "erpose-n")
    quantization = Quantization(weights, config)
    quantization.calibrate()
    save_weights(folder / "float.safetensors", weights)
    save_weights(folder / "int8.safetensors", quantization.weights())
    return folder


def path_of(precision):
    return weights_folder() / ("int8.safetensors" if precision == "int8" else "float.safetensors")


def weights_for(precision):
    return load_weights(path_of(precision))


@pytest.fixture(scope="module")
def traced():
    """All engines start from one graph of a network: trace it once."""
    graphs = {}

    def export_once(network, contract, input_size, answers):
        key = (len(network.state_dict()), contract, input_size, answers)
        if key not in graphs:
            graphs[key] = export_onnx(network, contract, input_size, answers)
        return graphs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_export, "export_onnx", export_once)
        yield


def request_for(case):
    return ExportRequest("contract-test", *case, "compact", SIZE, ANSWERS)


@pytest.fixture(scope="module")
def exported(traced, tmp_path_factory):
    """Export a case once; return its artifact as it was read back."""
    folder = tmp_path_factory.mktemp("artifacts")

    def export(case):
        engine(case[0])
        place = folder / "-".join(case)
        if not place.is_dir():
            export_artifact(weights_for(case[1]), request_for(case), place)
        return read_artifact(place)

    return export


def opened(artifact, score_threshold=0.0):
    if artifact.manifest.engine in NOT_HERE:
        return stand_in_estimator(artifact, score_threshold=score_threshold)
    return PoseEstimator(artifact, score_threshold=score_threshold, threads=1)


def opened_graphs(artifact):
    """Open every graph of an artifact: TensorRT's may have one for either way of typing."""
    names = [name for name in artifact.manifest.files if name.endswith(".onnx")]
    if len(names) < 2:
        return [opened(artifact)]
    manifest = artifact.manifest
    alone = [manifest.with_files({name: manifest.files[name]}) for name in names]
    return [opened(replace(artifact, manifest=one)) for one in alone]


@pytest.fixture(scope="module")
def frames():
    return [render_scene(seed, SIZE)[0] for seed in SEEDS]


@pytest.fixture(scope="module")
def expected(frames):
    """Poses of the network in torch, fake-quantized for int8, of every frame."""
    known = {}

    def find(precision):
        precision = "int8" if precision == "int8" else "fp32"
        if precision not in known:
            known[precision] = [in_torch(precision)(frame) for frame in frames]
        return known[precision]

    return find


def in_torch(precision):
    weights = weights_for(precision)
    network = deployed_network(weights, quantized=precision == "int8")
    skeleton = skeleton_named(weights.skeleton)
    return torch_estimator(network, SIZE, skeleton, max_poses=ANSWERS, score_threshold=0.0)


def similarity(points, others):
    """Return OKS (N, M) of poses (N, K, 2) and (M, K, 2)."""
    sigmas = np.array(skeleton_named("coco-17").sigmas)
    area = np.prod(np.ptp(points, axis=1), axis=1)[:, None, None]
    squares = np.square(points[:, None] - others[None]).sum(-1)
    return np.exp(-squares / (2 * area * np.square(2 * sigmas))).mean(-1)


def unmatched(poses: Poses, others: Poses, tolerance: Tolerance) -> list[str]:
    """Return what ``others`` has no twin of, in words.

    Poses that are among the last of ``poses`` by less than the tolerance need none: ``others`` may
    have room for another one.
    """
    sure = poses.scores > poses.scores[-1] + tolerance.score
    score = np.abs(poses.scores[:, None] - others.scores[None])
    px = np.linalg.norm(poses.keypoints[:, None] - others.keypoints[None], axis=-1).mean(-1)
    oks = similarity(poses.keypoints, others.keypoints)
    twin = (score <= tolerance.score) & (px <= tolerance.px) & (oks >= tolerance.oks)
    return [
        f"score {poses.scores[i]:.4f}: nearest is {px[i].min():.3f} px away, "
        f"scored {others.scores[px[i].argmin()]:.4f}, OKS {oks[i].max():.4f}"
        for i in np.flatnonzero(sure & ~twin.any(1))
    ]


def differences(found: list[Poses], wanted: list[Poses], tolerance: Tolerance) -> list[str]:
    pairs = zip(found, wanted, strict=True)
    return [
        line for a, b in pairs for line in unmatched(a, b, tolerance) + unmatched(b, a, tolerance)
    ]


def test_every_engine_and_precision_has_a_tolerance():
    assert set(CASES) <= TOLERANCE.keys()


@EVERY_CASE
def test_it_finds_what_the_network_finds_in_torch(case, exported, expected, frames):
    for estimator in opened_graphs(exported(case)):
        found = [estimator(frame) for frame in frames]
        assert differences(found, expected(case[1]), TOLERANCE[case]) == []


@pytest.mark.parametrize("precision", ENGINES["tensorrt"].PRECISIONS)
def test_tensorrt_rtx_parses_and_builds_every_graph(precision, exported):
    """On the CPU; the TensorRT of a Jetson is another product, and is not tested by this."""
    from erpose_edge.exporters.tensorrt.check import check_graphs

    report = check_graphs(exported(("tensorrt", precision)).folder)
    assert report.passed, report
    assert all(check.layers > 50 for check in report.files)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c[0] != "tensorrt" and c[1] != "fp16"], ids=_title
)
def test_it_shows_the_layers_of_the_network_under_the_names_that_torch_has(case, exported, frames):
    pictures = [Picture("a scene", frames[0])]
    shown = artifact_capture(exported(case).folder, pictures, threads=1)
    torch_shows = weights_capture(str(path_of(case[1])), pictures, case[1], SIZE)
    assert set(shown.side.layers) == set(torch_shows.side.layers)
    stages = {stage.name: stage for stage in compare(torch_shows, shown).stages}
    for name in ("input", "stem", "P3", "P4", "P5"):
        assert stages[name].ok, (name, stages[name].distance)


@EVERY_CASE
def test_outputs_are_those_of_the_manifest(case, exported, frames):
    artifact = exported(case)
    estimator = opened(artifact)
    outputs = estimator.infer(estimator.preprocess(frames[0])[0])
    assert {name: array.shape for name, array in outputs.items()} == {
        spec.name: spec.shape for spec in artifact.manifest.outputs
    }
    assert {array.dtype.name for array in outputs.values()} == {"float32"}
    for spec in artifact.manifest.outputs:
        if spec.range is not None:
            assert spec.range[0] <= outputs[spec.name].min() <= outputs[spec.name].max()
            assert outputs[spec.name].max() <= spec.range[1]
    assert artifact.manifest.precision == case[1]
    assert bool(artifact.manifest.scales) == (case[1] == "int8")


@EVERY_CASE
def test_it_answers_the_same_after_a_move_and_whatever_was_asked_before(
    case, exported, frames, tmp_path
):
    artifact = exported(case)
    moved = shutil.move(shutil.copytree(artifact.folder, tmp_path / "here"), tmp_path / "there")
    first, second = opened(artifact), opened(read_artifact(moved))
    second(frames[1])
    again = [second(frames[0]) for _ in range(2)]
    for poses in again:
        assert np.array_equal(poses.scores, first(frames[0]).scores)
        assert np.array_equal(poses.keypoints, first(frames[0]).keypoints)
        assert np.array_equal(poses.visibility, first(frames[0]).visibility)


@pytest.mark.parametrize("case", [c for c in CASES if c[1] == "int8"], ids=_title)
def test_the_same_export_gives_the_same_bytes(case, exported, tmp_path):
    first = exported(case)
    again = export_artifact(weights_for(case[1]), request_for(case), tmp_path / "again")
    assert again.manifest.files == first.manifest.files
    assert again.manifest.to_bytes() == first.manifest.to_bytes()


@EVERY_CASE
def test_images_of_another_shape_or_type_are_refused(case, exported):
    runner = opened(exported(case)).runner
    height, width = SIZE
    good = np.zeros((1, 3, height, width), np.float32)
    for bad in (
        good[:, :, :, :-32],
        good[:, :1],
        good[0],
        good.transpose(0, 2, 3, 1),
        np.concatenate([good, good]),
        good.astype(np.uint8),
        good.astype(np.float64),
    ):
        with pytest.raises(
            ImageError, match=r"images: expected .*\(1, 3, 192, 256\), got .*; preprocess them"
        ):
            runner.run(bad)
    assert runner.run(good)


@EVERY_CASE
@pytest.mark.parametrize(
    "frame",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))],
    ids=["grey", "alpha", "float64"],
)
def test_a_frame_that_is_no_picture_is_refused(case, exported, frame):
    with pytest.raises(ImageError, match=r"expected .*uint8.*\(H, W, 3\)|BGR"):
        opened(exported(case))(frame)


@EVERY_CASE
def test_a_damaged_missing_or_additional_file_is_found(case, exported, tmp_path):
    artifact = exported(case)
    names = [*artifact.manifest.files, MANIFEST_NAME]
    assert {ARCHIVE_NAME} < set(artifact.manifest.files)
    for name in names:
        folder = shutil.copytree(artifact.folder, tmp_path / f"damaged-{name}")
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        with pytest.raises(IntegrityError, match=name):
            read_artifact(folder)
        (folder / name).unlink()
        with pytest.raises(IntegrityError, match=rf"{name}: expected .*, got no such file"):
            read_artifact(folder)
    folder = shutil.copytree(artifact.folder, tmp_path / "more")
    (folder / "more.bin").touch()
    with pytest.raises(IntegrityError, match=r"more\.bin: expected only files that the manifest"):
        read_artifact(folder)
    with pytest.raises(RequestError, match="expected an artifact's folder, got no such folder"):
        read_artifact(tmp_path / "nowhere")


@EVERY_CASE
def test_a_model_of_other_bytes_is_refused_by_its_engine(case, exported, tmp_path):
    """As behind a hash that fits: the engine's own error becomes one line."""
    artifact = exported(case)
    folder = shutil.copytree(artifact.folder, tmp_path / "other")
    for name in artifact.manifest.files:
        if name.startswith("model"):
            (folder / name).write_bytes(b"not a model")
    with pytest.raises(TargetError, match=r"expected a model that .* loads, got: .+; export it"):
        opened(replace(artifact, folder=folder))


@pytest.mark.parametrize("name", ENGINES)
def test_what_an_engine_has_not_is_refused_before_anything_is_written(name, tmp_path):
    weights = weights_for("fp32")
    for change, error, message in (
        ({"precision": "int4"}, RequestError, "precision: expected .*, got 'int4'"),
        ({"contract": "boxes"}, RequestError, "contract: expected raw or decoded or compact"),
        ({"precision": "int8"}, WeightsError, "kind: expected qat, got float"),
    ):
        with pytest.raises(error, match=message):
            export_artifact(
                weights, replace(request_for((name, "fp32")), **change), tmp_path / "artifact"
            )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tolerance", [FLOAT, HALF, INT8], ids=["float", "half", "int8"])
@pytest.mark.parametrize("fault", ["colours swapped", "two pixels down", "brighter by 30 %"])
def test_the_tolerances_tell_faults(tolerance, fault, frames, expected):
    """A tolerance that a fault passes would be worth nothing."""
    faulty = {
        "colours swapped": lambda frame: frame[:, :, ::-1],
        "two pixels down": lambda frame: np.concatenate([frame[:2], frame[:-2]]),
        "brighter by 30 %": lambda frame: np.clip(frame * 1.3, 0, 255).astype(np.uint8),
    }[fault]
    estimator = in_torch("fp32")
    found = [estimator(np.ascontiguousarray(faulty(frame))) for frame in frames]
    assert differences(found, expected("fp32"), tolerance)
