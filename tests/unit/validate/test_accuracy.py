"""Measuring an estimator: bad images are listed, and the rest is measured."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from erpose_edge.errors import DataError
from erpose_edge.metrics.image_labels import ImageLabels, LabelSet
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.accuracy import coco_detections, evaluate_estimator, labelled_files

KEYPOINTS = np.linspace(5, 60, 34, dtype=np.float32).reshape(1, 17, 2)


def one_person(image_id):
    return ImageLabels(
        image_id=image_id,
        file_name=f"{image_id}.png",
        width=80,
        height=64,
        keypoints=np.concatenate([KEYPOINTS, np.full((1, 17, 1), 2, np.float32)], axis=2),
        boxes=np.array([[5, 5, 55, 55]], np.float32),
        areas=np.array([1600.0]),
        ignore=np.zeros(1, bool),
        annotation_ids=np.array([image_id]),
    )


def sees_the_person(frame):
    assert frame.shape == (64, 80, 3)
    return Poses(np.array([0.9], np.float32), KEYPOINTS, np.ones((1, 17), np.float32))


@pytest.fixture
def folder(tmp_path):
    """Images 1 to 3; 4 is missing, 5 cut off, 6 of another size, 7 empty, 8 text."""
    for image_id in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f"{image_id}.png"), np.zeros((64, 80, 3), np.uint8))
    whole = cv2.imencode(".png", np.zeros((64, 80, 3), np.uint8))[1].tobytes()
    (tmp_path / "5.png").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(tmp_path / "6.png"), np.zeros((80, 64, 3), np.uint8))
    (tmp_path / "7.png").write_bytes(b"")
    (tmp_path / "8.png").write_text("not an image")
    return tmp_path


def label_set(*ids):
    return LabelSet(COCO_17, [one_person(i) for i in ids], [], "labels.json")


def test_every_image_is_measured(folder):
    result = evaluate_estimator(
        sees_the_person, labelled_files(label_set(1, 2, 3), folder), COCO_17
    )
    assert result.metrics.ap == pytest.approx(1)
    assert (result.metrics.images, result.metrics.people) == (3, 3)
    assert sorted(result.poses) == [1, 2, 3]
    assert result.rejected == []


def test_bad_images_are_listed_and_count_neither_way(folder):
    samples = labelled_files(label_set(*range(1, 9)), folder)
    result = evaluate_estimator(sees_the_person, samples, COCO_17)
    assert (result.metrics.ap, result.metrics.images) == (pytest.approx(1), 3)
    assert [r.entry for r in result.rejected] == [f"image {i}" for i in range(4, 9)]
    assert result.rejected[2].reason == "size: expected 80 x 64 as labelled, got 64 x 80"
    for entry in result.rejected:
        assert str(entry).count(entry.file) == 1
        assert "\n" not in str(entry)
    assert result.to_json()["rejected"] == 5


def test_images_may_be_given_as_arrays():
    samples = [(np.zeros((64, 80, 3), np.uint8), one_person(1))]
    assert evaluate_estimator(sees_the_person, samples, COCO_17).metrics.ap == pytest.approx(1)


def test_progress_tells_done_and_total(folder):
    told = []
    samples = labelled_files(label_set(1, 4, 2), folder)
    evaluate_estimator(sees_the_person, samples, COCO_17, lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_no_usable_image_is_an_error_with_the_first_reason(folder):
    with pytest.raises(
        DataError, match=r"at least one usable image, got none; the first: .*4\.png"
    ):
        evaluate_estimator(sees_the_person, labelled_files(label_set(4), folder), COCO_17)
    with pytest.raises(DataError, match=r"at least one usable image, got none$"):
        evaluate_estimator(sees_the_person, [], COCO_17)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"images .*none: expected a folder, got none; check"):
        labelled_files(label_set(1), tmp_path / "none")


def test_detections_are_written_at_full_precision(folder):
    result = evaluate_estimator(sees_the_person, labelled_files(label_set(1), folder), COCO_17)
    (entry,) = coco_detections(result.poses)
    assert (entry["image_id"], entry["score"]) == (1, float(np.float32(0.9)))
    written = np.array(entry["keypoints"], np.float32).reshape(17, 3)
    assert (written[:, :2] == KEYPOINTS[0]).all()
