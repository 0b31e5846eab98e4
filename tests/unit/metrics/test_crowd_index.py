"""The crowd index on people that can be counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from erpose_edge.metrics.crowd_index import crowd_index, crowd_subset, crowding
from erpose_edge.metrics.image_labels import ImageLabels

BOX = [0, 0, 10, 10]


def people(*points, flags=None):
    """People of as many keypoints as each lists; the others are unlabelled, at 0, 0."""
    most = max(len(p) for p in points)
    keypoints = np.zeros((len(points), most, 3), np.float32)
    for row, listed in enumerate(points):
        keypoints[row, : len(listed), :2] = listed
        keypoints[row, : len(listed), 2] = 2 if flags is None else flags[row]
    return keypoints


def test_one_person_is_no_crowd():
    assert crowding(people([(1, 1), (2, 2)]), np.array([BOX])) == 0
    assert crowding(np.zeros((0, 17, 3)), np.zeros((0, 4))) == 0


def test_it_is_the_mean_over_people_of_foreign_over_own_keypoints():
    # Person 0 has 4 keypoints and 2 of the others' 3 in its box; person 1 has 2 and none; person 2
    # has 1 and none: (2/4 + 0 + 0) / 3.
    keypoints = people([(1, 1), (2, 2), (3, 3), (9, 9)], [(5, 5), (20, 20)], [(10, 0)])
    boxes = np.array([BOX, [18, 18, 5, 5], [10, -5, 3, 5.5]])
    assert crowding(keypoints, boxes) == pytest.approx((2 / 4) / 3)


def test_a_keypoint_on_the_edge_is_inside_and_one_beyond_is_not():
    boxes = np.array([BOX, [50, 50, 1, 1]])
    on_edges = people([(1, 1)], [(0, 10)])
    beyond = people([(1, 1)], [(0, np.nextafter(np.float32(10), np.float32(11)))])
    assert crowding(on_edges, boxes) == 0.5
    assert crowding(beyond, boxes) == 0


def test_only_labelled_keypoints_count_hidden_ones_too():
    hidden = people([(1, 1), (2, 2)], [(3, 3), (4, 4)], flags=[1, 1])
    boxes = np.array([BOX, BOX])
    assert crowding(hidden, boxes) == 1
    hidden[1, 0, 2] = 0  # person 0: 1 of 2; person 1: 2 of 1
    assert crowding(hidden, boxes) == 1  # (0.5 + 2) / 2, cut
    hidden[0, :, :2] += 100  # person 0 is out of both boxes
    assert crowding(hidden, boxes) == pytest.approx((1 / 2 + 0) / 2)


def test_a_person_without_labels_does_not_count():
    keypoints = people([(1, 1), (2, 2)], [(3, 3), (4, 4)], [(5, 5), (6, 6)])
    boxes = np.array([BOX, [3, 3, 1, 1], [5, 5, 1, 1]])
    assert crowding(keypoints, boxes) == pytest.approx((4 / 2) / 3)
    keypoints[2, :, 2] = 0
    assert crowding(keypoints, boxes) == pytest.approx((2 / 2) / 2)


def test_it_ends_at_one():
    keypoints = people(*[[(i, i)] for i in range(5)])
    assert crowding(keypoints, np.array([BOX] * 5)) == 1


def test_ignored_people_of_an_image_do_not_count():
    keypoints = people([(1, 1)], [(2, 2)], [(3, 3)])
    labels = ImageLabels(
        image_id=1, file_name="1.jpg", width=20, height=20, keypoints=keypoints,
        boxes=np.array([BOX, [50, 50, 1, 1], BOX], np.float32), areas=np.full(3, 100.0),
        ignore=np.zeros(3, bool), annotation_ids=np.arange(3),
    )  # fmt: skip
    assert crowd_index(labels) == 1  # (2 + 0 + 2) / 3, cut
    assert crowd_index(replace(labels, ignore=np.array([False, False, True]))) == 0.5


CROWDS = arrays.arrays(np.int64, (4, 5, 3), elements=st.integers(0, 40)).map(
    lambda a: np.concatenate([a[..., :2], a[..., 2:] % 3], 2).astype(np.float64)
)
BOXES = arrays.arrays(np.int64, (4, 4), elements=st.integers(1, 30)).map(np.float64)


@given(CROWDS, BOXES, st.integers(-50, 50), st.integers(-50, 50), st.sampled_from([0.25, 2, 16]))
def test_moving_and_scaling_the_picture_changes_nothing(keypoints, boxes, dx, dy, scale):
    moved, moved_boxes = keypoints.copy(), boxes * scale
    moved[..., :2] = (keypoints[..., :2] + (dx, dy)) * scale
    moved_boxes[:, :2] += np.array([dx, dy]) * scale
    found = crowding(keypoints, boxes)
    assert crowding(moved, moved_boxes) == found
    assert 0 <= found <= 1


@given(CROWDS, BOXES, st.permutations(range(4)))
def test_the_order_of_people_does_not_matter(keypoints, boxes, order):
    assert crowding(keypoints[order], boxes[order]) == pytest.approx(crowding(keypoints, boxes))


@given(CROWDS, BOXES)
def test_it_is_what_counting_one_by_one_gives(keypoints, boxes):
    ratios = []
    for i, (x, y, width, height) in enumerate(boxes):
        own = sum(flag > 0 for flag in keypoints[i, :, 2])
        others = sum(
            bool(f > 0 and x <= px <= x + width and y <= py <= y + height)
            for j in range(4) if j != i for px, py, f in keypoints[j]
        )  # fmt: skip
        if own:
            ratios.append(others / own)
    expected = min(1, sum(ratios) / len(ratios)) if len(ratios) > 1 else 0
    assert crowding(keypoints, boxes) == pytest.approx(expected)


def test_the_subsets_meet_at_the_lines_of_crowdposes_tool():
    found = {index: crowd_subset(index) for index in (0, 0.1999, 0.2, 0.7999, 0.8, 1)}
    assert list(found.values()) == ["easy", "easy", "medium", "medium", "hard", "hard"]
