"""Keypoint AP on sets small enough to be worked out by hand; parity has its own tests."""

from __future__ import annotations

from dataclasses import replace
from time import process_time

import numpy as np
import pytest

from erpose_edge.errors import DataError
from erpose_edge.metrics.image_labels import ImageLabels, LabelSet
from erpose_edge.metrics.keypoint_ap import evaluate
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17

ALL = pytest.approx(1)  # COCO guards a division, so that it is not quite 1


def people(image_id, *corners, side=100.0):
    count = len(corners)
    keypoints = np.zeros((count, 17, 3), np.float32)
    for row, corner in enumerate(corners):
        keypoints[row, :, :2] = np.array(corner) + np.linspace(0, side, 34).reshape(17, 2)
    keypoints[:, :, 2] = 2
    boxes = np.array([[x, y, side, side] for x, y in corners], np.float32).reshape(count, 4)
    return ImageLabels(
        image_id=image_id,
        file_name=f"{image_id}.jpg",
        width=640,
        height=480,
        keypoints=keypoints,
        boxes=boxes,
        areas=np.full(count, side * side),
        ignore=np.zeros(count, bool),
        annotation_ids=np.arange(count) + 100 * image_id,
    )


def poses(keypoints, scores):
    keypoints = np.asarray(keypoints, np.float32).reshape(-1, 17, 2)
    return Poses(np.asarray(scores, np.float32), keypoints, np.ones(keypoints.shape[:2]))


def exact(image, scores):
    return poses(image.keypoints[:, :, :2], scores)


def test_finding_one_of_two_people_gives_half_the_recall():
    image = people(1, (0, 0), (300, 0))
    result = evaluate([image], {1: poses(image.keypoints[:1, :, :2], [0.9])}, COCO_17)
    assert result.ar == 0.5
    assert result.ap == pytest.approx(51 / 101)  # precision 1 up to recall 0.50
    assert (result.images, result.people) == (1, 2)


def test_a_stray_pose_costs_only_what_ranks_below_it():
    image = people(1, (0, 0))
    found = np.concatenate([image.keypoints[:, :, :2], np.full((1, 17, 2), 1e3)])
    assert evaluate([image], {1: poses(found, [0.9, 0.1])}, COCO_17).ap == ALL
    assert evaluate([image], {1: poses(found, [0.1, 0.9])}, COCO_17).ap == pytest.approx(0.5)


def test_a_second_pose_on_a_person_is_wrong_and_on_a_crowd_ignored():
    image = people(1, (0, 0), (300, 0))
    twice = image.keypoints[[0, 0, 1, 1], :, :2]
    crowd = np.array([False, True])
    marked = replace(image, ignore=crowd, crowd=crowd)
    result = evaluate([marked], {1: poses(twice, [0.7, 0.6, 0.9, 0.8])}, COCO_17)
    assert result.ap == ALL  # the second pose on person 0 ranks last
    result = evaluate([marked], {1: poses(twice, [0.5, 0.6, 0.9, 0.8])}, COCO_17)
    assert result.ap == ALL
    unmarked = evaluate([image], {1: poses(twice, [0.7, 0.6, 0.9, 0.8])}, COCO_17)
    assert unmarked.ap < 1


def test_the_annotation_of_id_zero_is_a_person_like_any_other():
    image = replace(people(1, (0, 0)), annotation_ids=np.array([0]))
    assert evaluate([image], {1: exact(image, [0.9])}, COCO_17).ap == ALL


def test_sizes_divide_at_96_pixels_square():
    images = [people(1, (0, 0), side=95), people(2, (0, 0), side=97)]
    result = evaluate(images, {2: exact(images[1], [0.5])}, COCO_17)
    assert (result.ap_medium, result.ap_large) == (0, ALL)


def test_nobody_to_find_is_undefined_and_nobody_found_is_zero():
    empty = evaluate([people(1)], {}, COCO_17)
    assert (empty.ap, empty.ar, empty.people) == (-1, -1, 0)
    missed = evaluate([people(1, (0, 0))], {}, COCO_17)
    assert (missed.ap, missed.ar) == (0, 0)
    assert set(missed.per_keypoint_oks.values()) == {-1}


def test_per_keypoint_oks_is_the_mean_over_found_people_that_label_it():
    image = people(1, (0, 0), (300, 0))
    found = image.keypoints[:, :, :2].copy()
    # One sigma's worth (times 2) off at the right shoulder of person 0 only.
    found[0, 6, 0] += 2 * COCO_17.sigmas[6] * 100
    image.keypoints[1, 5, 2] = 0
    result = evaluate([image], {1: poses(found, [0.9, 0.8])}, COCO_17)
    assert result.per_keypoint_oks["left_shoulder"] == pytest.approx(1)
    assert result.per_keypoint_oks["right_shoulder"] == pytest.approx((np.exp(-0.5) + 1) / 2)
    assert list(result.per_keypoint_oks) == list(COCO_17.keypoints)


def test_a_label_set_is_taken_as_its_images():
    image = people(1, (0, 0))
    labels = LabelSet(COCO_17, [image], [], "labels.json")
    assert evaluate(labels, {1: exact(image, [0.5])}, COCO_17).ap == ALL


def test_the_order_of_images_does_not_matter():
    images = [people(i, (0, 0), (200, 0)) for i in range(6)]
    found = {i.image_id: exact(i, [0.5, 0.5]) for i in images[::2]}
    found[1] = poses(np.full((1, 17, 2), 900.0), [0.5])
    assert evaluate(images, found, COCO_17) == evaluate(images[::-1], found, COCO_17)


BAD = {
    "unknown image": ({7: poses(np.zeros((0, 17, 2)), [])}, "of the labels, got image 7"),
    "14 keypoints": (
        {1: Poses(np.ones(1), np.ones((1, 14, 2)), np.ones((1, 14)))},
        "poses of image 1: expected keypoints (1, 17, 2), got (1, 14, 2)",
    ),
    "NaN": ({1: poses(np.full((1, 17, 2), np.nan), [0.5])}, "poses of image 1: expected finite"),
    "NaN score": ({1: poses(np.zeros((1, 17, 2)), [np.nan])}, "poses of image 1: expected finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_poses_that_cannot_be_judged_are_an_error(case):
    found, reason = BAD[case]
    with pytest.raises(DataError) as error:
        evaluate([people(1, (0, 0))], found, COCO_17)
    assert reason in str(error.value)


def test_the_same_image_twice_is_an_error():
    with pytest.raises(DataError, match="got an id twice"):
        evaluate([people(1), people(1)], {}, COCO_17)


def test_five_hundred_images_of_twenty_poses_take_a_second():
    """The promise is 5,000 in ten seconds of one core; it takes a fifth of that."""
    rng = np.random.default_rng(0)
    images = [people(i, *rng.uniform(0, 500, (rng.integers(1, 9), 2))) for i in range(500)]
    found = {}
    for image in images:
        near = image.keypoints[rng.integers(0, len(image), 20), :, :2]
        found[image.image_id] = poses(near + rng.normal(0, 5, near.shape), rng.random(20))
    start = process_time()
    evaluate(images, found, COCO_17)
    assert process_time() - start < 1
