"""Non-maximum suppression against the rule written out, and its promises."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from erpose_edge.runtime.nms import around, suppress

# Few values: boxes coincide, touch, lie in each other and have no area.
corner = st.integers(-2, 6)
boxes = st.lists(st.tuples(corner, corner, corner, corner), max_size=20)
thresholds = st.sampled_from([0.01, 0.25, 1 / 3, 0.5, 0.65, 1.0])


def array(rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def area(box):
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def shared(a, b):
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def too_close(a, b, threshold):
    both = shared(a, b)
    return both > threshold * (area(a) + area(b) - both)


def written_out(rows, threshold):
    kept = []
    for i, box in enumerate(rows):
        if not any(too_close(rows[k], box, threshold) for k in kept):
            kept.append(i)
    return kept


@settings(max_examples=300)
@given(boxes, thresholds)
def test_it_is_the_rule_written_out(rows, threshold):
    assert suppress(array(rows), threshold).tolist() == written_out(rows, threshold)


@given(boxes, thresholds)
def test_nothing_that_stays_is_too_close_and_what_goes_was_too_close_to_a_better_one(
    rows, threshold
):
    kept = suppress(array(rows), threshold).tolist()
    for i, box in enumerate(rows):
        rivals = [k for k in kept if k < i]
        assert any(too_close(rows[k], box, threshold) for k in rivals) == (i not in kept)


@given(boxes, thresholds, st.integers(1, 5))
def test_at_most_so_many_stay_and_they_are_the_best(rows, threshold, most):
    every = suppress(array(rows), threshold)
    assert suppress(array(rows), threshold, most).tolist() == every[:most].tolist()


@given(boxes, thresholds)
def test_what_stayed_stays(rows, threshold):
    kept = array(rows)[suppress(array(rows), threshold)]
    assert suppress(kept, threshold).tolist() == list(range(len(kept)))


def test_the_best_box_stays_and_its_double_goes():
    double = [(0, 0, 10, 10), (0, 0, 10, 9), (20, 20, 30, 30)]
    assert suppress(array(double), 0.65).tolist() == [0, 2]
    assert suppress(array(double), 0.9).tolist() == [0, 1, 2]  # IoU is exactly 0.9: not above


def test_nobody_stays_nobody():
    assert suppress(np.zeros((0, 4), np.float32), 0.5).shape == (0,)


def test_a_rectangle_reaches_the_outermost_keypoints():
    keypoints = np.array([[[3, 9], [1, 4], [8, 5]]], np.float32)
    assert around(keypoints).tolist() == [[1, 4, 8, 9]]
