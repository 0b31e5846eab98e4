"""The ROS 2 node: messages to pictures, poses to messages, and when it refuses to start."""

from __future__ import annotations

import importlib
import json
import sys
from array import array

import cv2
import fake_ros
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17

FOLDER = "integration/ros2/erpose_ros2/erpose_ros2"


@pytest.fixture(scope="module")
def conversions(cpu):
    spec = importlib.util.spec_from_file_location("conversions", cpu / FOLDER / "conversions.py")
    module = importlib.util.module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


def encoded(bgr, encoding):
    """Return a picture in an encoding, rows without padding, (H, W * channels)."""
    codes = {
        "rgb8": cv2.COLOR_BGR2RGB, "bgra8": cv2.COLOR_BGR2BGRA, "rgba8": cv2.COLOR_BGR2RGBA,
        "mono8": cv2.COLOR_BGR2GRAY, "8UC1": cv2.COLOR_BGR2GRAY, "8UC4": cv2.COLOR_BGR2BGRA,
    }  # fmt: skip
    picture = cv2.cvtColor(bgr, codes[encoding]) if encoding in codes else bgr
    return picture.reshape(len(bgr), -1)


@given(
    encoding=st.sampled_from(["bgr8", "rgb8", "bgra8", "rgba8", "mono8", "8UC1", "8UC3", "8UC4"]),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    padding=st.integers(0, 9),
    last_row_padded=st.booleans(),
    kind=st.sampled_from([bytes, lambda b: array("B", b), memoryview]),
)
def test_every_encoding_and_padding_gives_the_same_picture(
    conversions, encoding, height, width, padding, last_row_padded, kind
):
    rng = np.random.default_rng(height * 100 + width)
    bgr = rng.integers(0, 256, (height, width, 3), np.uint8)
    if encoding in ("mono8", "8UC1"):
        bgr[:] = bgr[..., :1]  # grey stays what it was
    rows = encoded(bgr, encoding)
    padded = np.full((height, rows.shape[1] + padding), 77, np.uint8)
    padded[:, : rows.shape[1]] = rows
    data = padded.tobytes()
    if not last_row_padded and padding:
        data = data[:-padding]
    found = conversions.bgr_image(encoding, height, width, padded.shape[1], kind(data))
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, bgr)


def test_yuv_of_cameras_is_read(conversions):
    grey = np.full((4, 6, 2), 128, np.uint8)
    for encoding, luma in (("yuv422_yuy2", 0), ("yuv422", 1)):
        grey[..., luma] = 235
        found = conversions.bgr_image(encoding, 4, 6, 12, grey.tobytes())
        assert found.min() >= 250
        grey[..., luma] = 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("bayer_rggb8", 2, 2, 2, bytes(4)),
            "encoding: expected one of 8UC1, 8UC3, 8UC4, bgr8, bgra8, mono8, rgb8, rgba8, yuv422, "
            "yuv422_yuy2, got 'bayer_rggb8'; convert the image",
        ),
        (
            ("bgr8", 2, 2, 6, bytes(11)),
            "image: expected 2 rows of 6 bytes every 6, got 11 bytes; check who publishes it",
        ),
        (
            ("bgr8", 2, 2, 5, bytes(10)),
            "image: expected 2 rows of 6 bytes every 5, got 10 bytes; check who publishes it",
        ),
        (
            ("bgr8", 2, 2, 6, bytes(13)),
            "image: expected 2 rows of 6 bytes every 6, got 13 bytes; check who publishes it",
        ),
        (
            ("bgr8", 0, 2, 6, b""),
            "image: expected 0 rows of 6 bytes every 6, got 0 bytes; check who publishes it",
        ),
    ],
)
def test_a_message_that_is_no_picture_is_refused(conversions, arguments, message):
    with pytest.raises(ValueError) as caught:
        conversions.bgr_image(*arguments)
    assert str(caught.value) == message


def poses():
    points = np.zeros((2, 17, 2), np.float32)
    points[0] = np.stack([np.arange(17) * 10, np.arange(17) * 5], axis=1)
    points[1] = 50 + points[0]
    visibility = np.full((2, 17), 0.9, np.float32)
    visibility[0, 16] = 0.1
    visibility[1] = 0.2
    return Poses(np.array([0.9, 0.5], np.float32), points, visibility)


def test_boxes_are_drawn_around_what_is_visible(conversions):
    first, second = conversions.boxes(poses())
    assert (first["x"], first["width"], first["y"], first["height"]) == (75, 150, 37.5, 75)
    assert first["score"] == pytest.approx(0.9)
    assert (second["width"], second["height"]) == (160, 80)  # all of it: nothing is visible
    assert all(type(value) is float for value in (*first.values(), *second.values()))


def test_a_limb_needs_both_of_its_ends(conversions):
    found, person = poses(), 0
    ends = conversions.limbs(found.keypoints[person], found.visibility[person], COCO_17.limbs)
    assert len(ends) == 2 * sum(16 not in pair for pair in COCO_17.limbs)
    first, second = COCO_17.limbs[0]
    assert ends[:2] == [tuple(found.keypoints[0, first]), tuple(found.keypoints[0, second])]
    assert conversions.limbs(found.keypoints[1], found.visibility[1], COCO_17.limbs) == []


@pytest.fixture
def start(monkeypatch):
    """Return a function that imports the node of a bundle among the stand-ins and starts it."""

    def started(bundle, vision=True, **parameters):
        fake_ros.install(monkeypatch, vision=vision)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        monkeypatch.setattr(sys, "path", [str(bundle / FOLDER.rpartition("/")[0]), *sys.path])
        for name in ("erpose_ros2", "erpose_ros2.node", "erpose_ros2.conversions"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(fake_ros.Node, "parameters", {"bundle": str(bundle), **parameters})
        return importlib.import_module("erpose_ros2.node")

    yield started
    for name in ("erpose_ros2", "erpose_ros2.node", "erpose_ros2.conversions"):
        sys.modules.pop(name, None)


def image_message(bgr):
    header = fake_ros.Header(stamp=fake_ros.Time(sec=12, nanosec=34), frame_id="camera")
    return fake_ros.Image(
        header=header, height=bgr.shape[0], width=bgr.shape[1], encoding="bgr8",
        step=3 * bgr.shape[1], data=array("B", bgr.tobytes()),
    )  # fmt: skip


@pytest.mark.parametrize("vision", [True, False])
def test_what_an_image_gives_is_published(start, cpu, monkeypatch, rng, vision):
    pytest.importorskip("onnxruntime")
    module = start(cpu, vision, publish_image=True)
    estimator = PoseEstimator(cpu / "artifacts" / "fp32")
    monkeypatch.setattr(module, "open_estimator", lambda bundle, threshold: estimator)
    node = module.PoseNode()
    ((kind, topic, _, quality),) = node.subscriptions
    assert (kind, topic, quality) == (fake_ros.Image, "image", "sensor data")
    image = rng.integers(0, 256, (96, 144, 3), np.uint8)
    image[20:60, 30:60] = 255
    expected = estimator(image)
    assert len(expected) > 0
    node.on_image(image_message(image))
    (text,) = node.published["~/poses"]
    said = json.loads(text.data)
    assert said["poses"] == expected.to_json()
    assert said["stamp"] == {"sec": 12, "nanosec": 34}
    assert (said["frame_id"], said["height"], said["width"]) == ("camera", 96, 144)
    assert said["keypoints"] == list(COCO_17.keypoints)
    markers = node.published["~/image_markers"]
    assert [marker.id for marker in markers] == list(range(len(expected)))
    assert all(marker.header.frame_id == "camera" for marker in markers)
    assert all(len(marker.points) % 2 == 0 for marker in markers)
    (drawn,) = node.published["~/image"]
    assert (drawn.height, drawn.width, drawn.step, len(drawn.data)) == (96, 144, 432, 41472)
    if vision:
        (boxes,) = node.published["~/detections"]
        scores = [detection.results[0].hypothesis.score for detection in boxes.detections]
        assert scores == [pytest.approx(score) for score in expected.scores]
    else:
        assert "~/detections" not in node.published


def test_an_image_that_cannot_be_read_is_told_and_the_next_one_is_served(start, cpu, monkeypatch):
    module = start(cpu)
    monkeypatch.setattr(module, "open_estimator", lambda *_: None)
    node = module.PoseNode()
    node.on_image(fake_ros.Image(encoding="bayer_rggb8"))
    ((_, _), (level, text)) = node.logged
    assert level == "error"
    assert text.startswith("encoding: expected one of")
    assert node.published["~/poses"] == []


def test_a_failed_self_test_keeps_the_node_from_starting(start, cpu, capsys):
    # The tiny network finds none of the poses that its made-up manifest promises.
    pytest.importorskip("onnxruntime")
    module = start(cpu)
    assert module.main([]) == 3
    assert capsys.readouterr().err == (
        "error: self-test: expected every pose, got 1 misses; run ./selftest\n"
    )


def test_a_folder_that_is_no_bundle_keeps_the_node_from_starting(start, cpu, tmp_path, capsys):
    module = start(cpu)
    fake_ros.Node.parameters["bundle"] = str(tmp_path)
    assert module.main([]) == 3
    assert capsys.readouterr().err == (
        f"error: bundle: expected a bundle's folder, got '{tmp_path}'; set the parameter bundle\n"
    )


def test_a_damaged_bundle_keeps_the_node_from_starting(start, cpu, tmp_path, capsys):
    import shutil

    bundle = tmp_path / "bundle"
    shutil.copytree(cpu, bundle)
    (bundle / "LICENSE").write_bytes(b"x")
    module = start(bundle)
    assert module.main([]) == 3
    assert capsys.readouterr().err.startswith(f"error: {bundle}/LICENSE: expected ")


def test_a_node_that_passes_serves_with_the_threshold_it_was_given(start, cpu, monkeypatch):
    pytest.importorskip("onnxruntime")
    module = start(cpu, score_threshold=0.75)
    from erpose_edge.on_device import opened

    monkeypatch.setattr(opened, "self_test", lambda *_: [])
    thresholds = []
    module.rclpy.spin = lambda node: thresholds.append(node._estimator.score_threshold)
    assert module.main([]) == 0
    assert thresholds == [0.75]
