"""OKS against the formula of the COCO page, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.metrics.oks import oks
from erpose_edge.skeleton import COCO_17

SIGMAS = np.array(COCO_17.sigmas)


def one_person(flags=2.0, area=2500.0, box=(100.0, 100.0, 50.0, 50.0)):
    keypoints = np.full((1, 17, 3), 120, np.float32)
    keypoints[:, :, 2] = flags
    return ImageLabels(
        image_id=1,
        file_name="1.jpg",
        width=640,
        height=480,
        keypoints=keypoints,
        boxes=np.array([box], np.float32),
        areas=np.array([area]),
        ignore=np.zeros(1, bool),
        annotation_ids=np.ones(1, np.int64),
    )


def test_the_same_place_is_one():
    assert oks(np.full((1, 17, 2), 120.0), one_person(), SIGMAS) == 1


def test_a_keypoint_two_sigmas_away_at_the_persons_scale_gives_exp_of_minus_a_half():
    person = one_person()
    pose = np.full((1, 17, 2), 120.0)
    pose[0, :, 0] += 2 * SIGMAS * np.sqrt(2500)
    assert oks(pose, person, SIGMAS)[0, 0] == pytest.approx(np.exp(-0.5))


def test_unlabelled_keypoints_do_not_count_and_hidden_ones_do():
    flags = np.zeros(17)
    flags[0], flags[5] = 2, 1
    pose = np.full((1, 17, 2), 120.0)
    pose[0, 1:5] = 1e5  # unlabelled
    pose[0, 5] = 1e5  # labelled, hidden
    assert oks(pose, one_person(flags), SIGMAS)[0, 0] == pytest.approx(0.5)


def test_a_pose_within_three_boxes_of_a_person_without_keypoints_is_on_it():
    person = one_person(flags=0)
    inside, outside = np.full((1, 17, 2), 51.0), np.full((1, 17, 2), -1000.0)
    assert oks(inside, person, SIGMAS)[0, 0] == 1
    assert oks(outside, person, SIGMAS)[0, 0] < 1e-6


def test_nobody_gives_an_empty_table():
    assert oks(np.zeros((0, 17, 2)), one_person(), SIGMAS).shape == (0, 1)


@given(
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    area=st.floats(1, 1e6),
    seed=st.integers(0, 2**32 - 1),
)
def test_oks_is_a_similarity_that_falls_with_distance(shift, area, seed):
    person = one_person(flags=np.random.default_rng(seed).integers(0, 3, 17), area=area)
    near = np.full((1, 17, 2), 120.0) + np.array(shift)
    far = np.full((1, 17, 2), 120.0) + 2 * np.array(shift)
    if (person.keypoints[:, :, 2] > 0).any():
        assert 0 <= oks(far, person, SIGMAS)[0, 0] <= oks(near, person, SIGMAS)[0, 0] <= 1
