"""What an affine map does to an image, it does to its people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_people import dot_near, dotted_sample

from erpose_edge.data.sample import (
    HIDDEN,
    OUTSIDE,
    UNLABELLED,
    VISIBLE,
    clip_people,
    join,
    sample_of,
    warp,
)
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.skeleton import COCO_17, CROWDPOSE_14

PIXEL = 1.0  # how far a dot may be from its keypoint
PLACES = [(40, 40), (80, 30), (120, 45), (45, 85), (85, 90), (115, 80)]
SIZE = (120, 160)


def similarity(angle, scale, mirror, shift):
    """A map about the image's centre, (2, 3)."""
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    centre = np.array([80.0, 60.0])
    return np.concatenate([linear, (centre + shift - linear @ centre)[:, None]], 1)


MAPS = st.builds(
    similarity,
    st.floats(-0.6, 0.6),
    st.floats(0.7, 1.5),
    st.booleans(),
    st.tuples(st.floats(-15, 15), st.floats(-15, 15)),
)


@settings(max_examples=40, deadline=None)
@given(matrix=MAPS)
def test_keypoints_follow_their_dots(matrix):
    moved = warp(dotted_sample(PLACES), matrix, SIZE, COCO_17)
    seen = 0
    for place, flag in zip(moved.keypoints[0], moved.flags[0], strict=True):
        deep_inside = (place > 12).all() and (place < np.array(SIZE[::-1]) - 12).all()
        if flag == VISIBLE and deep_inside:
            seen += 1
            assert np.linalg.norm(dot_near(moved.image, place) - place) < PIXEL
    assert seen


@settings(max_examples=40, deadline=None)
@given(matrix=MAPS)
def test_areas_scale_with_the_determinant_and_boxes_hold_the_corners(matrix):
    sample = dotted_sample(PLACES)
    moved = warp(sample, matrix, SIZE, COCO_17)
    determinant = abs(np.linalg.det(matrix[:, :2]))
    np.testing.assert_allclose(moved.areas, sample.areas * determinant, rtol=1e-5)
    inside = moved.keypoints[0][moved.flags[0] == VISIBLE]
    assert (inside >= moved.boxes[0, :2]).all()
    assert (inside <= moved.boxes[0, 2:]).all()


@pytest.mark.parametrize("skeleton", [COCO_17, CROWDPOSE_14])
def test_a_mirror_swaps_left_and_right(skeleton):
    sample = dotted_sample([(10 + 8 * k, 40 + k) for k in range(len(skeleton))])
    sample = replace(sample, keypoints=sample.keypoints[:, : len(skeleton)],
                     flags=sample.flags[:, : len(skeleton)].copy())  # fmt: skip
    left, right = (skeleton.keypoints.index(f"{side}_wrist") for side in ("left", "right"))
    sample.flags[0, left] = HIDDEN
    flip = np.array([[-1.0, 0, 159], [0, 1, 0]])
    moved = warp(sample, flip, SIZE, skeleton)
    assert np.array_equal(moved.image, sample.image[:, ::-1])
    expected = np.array([159, 0]) + sample.keypoints[0, left] * (-1, 1)
    assert moved.keypoints[0, right].tolist() == expected.tolist()
    assert moved.flags[0, right] == HIDDEN
    assert moved.flags[0, left] == VISIBLE
    twice = warp(moved, flip, SIZE, skeleton)
    assert np.array_equal(twice.keypoints, sample.keypoints)
    assert np.array_equal(twice.flags, sample.flags)


def test_no_map_changes_nothing():
    sample = dotted_sample(PLACES)
    same = warp(sample, np.eye(2, 3), SIZE, COCO_17)
    assert np.array_equal(same.image, sample.image)
    for name in ("keypoints", "flags", "boxes", "areas", "ignored"):
        assert np.array_equal(getattr(same, name), getattr(sample, name))


def test_people_that_leave_the_picture_are_dropped():
    away = np.array([[1.0, 0, 200], [0, 1, 0]])
    moved = warp(dotted_sample(PLACES), away, SIZE, COCO_17)
    assert moved.keypoints.shape == (0, 17, 2)
    assert moved.boxes.shape == (0, 4)
    assert len(moved.areas) == len(moved.ignored) == len(moved.flags) == 0


def test_a_keypoint_that_leaves_is_known_to_be_outside_but_an_unlabelled_one_stays_unknown():
    moved = warp(dotted_sample(PLACES), np.array([[1.0, 0, -60], [0, 1, 0]]), SIZE, COCO_17)
    assert moved.flags[0, :6].tolist() == [OUTSIDE, VISIBLE, VISIBLE, OUTSIDE, VISIBLE, VISIBLE]
    assert (moved.flags[0, 6:] == UNLABELLED).all()
    assert moved.boxes[0, 0] == 0


def test_a_person_without_a_keypoint_in_the_picture_is_ignored():
    sample = dotted_sample([(100, 60), (110, 70)])
    sample.boxes[0] = (20, 40, 118, 78)
    moved = clip_people(sample, (0.0, 0.0, 60.0, 120.0))
    assert moved.ignored.tolist() == [True]
    assert moved.boxes[0].tolist() == [20, 40, 60, 78]


def test_a_person_too_small_to_see_is_ignored():
    sample = dotted_sample(PLACES)
    tiny = warp(sample, similarity(0, 0.05, False, (0, 0)), SIZE, COCO_17)
    assert tiny.areas[0] < 64
    assert tiny.ignored.tolist() == [True]


def labels(flag):
    keypoints = np.zeros((1, 17, 3), np.float32)
    keypoints[0, 0] = (30, 40, 2)
    keypoints[0, 1:, 2] = flag
    return ImageLabels(
        1, "a.jpg", 160, 120, keypoints, boxes=np.array([[10, 20, 30, 50]], np.float32),
        areas=np.array([900.0]), ignore=np.zeros(1, bool), annotation_ids=np.ones(1, np.int64),
    )  # fmt: skip


def test_flag_0_is_unknown_on_a_photograph_and_outside_on_a_generated_picture():
    image = np.zeros((120, 160, 3), np.uint8)
    assert (sample_of(image, labels(0), complete=False).flags[0, 1:] == UNLABELLED).all()
    assert (sample_of(image, labels(0), complete=True).flags[0, 1:] == OUTSIDE).all()
    assert (sample_of(image, labels(1), complete=True).flags[0, 1:] == HIDDEN).all()


def test_boxes_become_corners_and_the_labels_stay_as_they_were():
    given_labels = labels(2)
    sample = sample_of(np.zeros((120, 160, 3), np.uint8), given_labels, complete=False)
    assert sample.boxes.tolist() == [[10, 20, 40, 70]]
    assert given_labels.boxes.tolist() == [[10, 20, 30, 50]]


def test_joining_keeps_everyone():
    one, other = dotted_sample(PLACES), dotted_sample(PLACES[:2])
    both = join(one.image, [one, other])
    assert both.keypoints.shape == (2, 17, 2)
    assert np.array_equal(both.flags[1], other.flags[0])
    assert both.areas.tolist() == [one.areas[0], other.areas[0]]
