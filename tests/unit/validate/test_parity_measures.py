"""Distances of arrays and of sets of poses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.parity.layers import Operation, find_taps
from erpose_edge.validate.parity.measures import EXACT_DB, array_distance, pose_distance

SIGMAS = np.array(COCO_17.sigmas)


def distance(a, b):
    return array_distance([(np.asarray(a, np.float32), np.asarray(b, np.float32))])


def test_snr_is_the_ratio_of_energies_in_decibels():
    found = distance([3, 4], [3, 4.5])
    assert found.snr_db == pytest.approx(20.0)  # 25 over 0.25
    assert (found.max_error, found.mean_error, found.bias) == (0.5, 0.25, 0.25)


@given(st.floats(0.01, 10))
def test_a_scale_that_is_wrong_costs_what_it_should(factor):
    found = distance([1.0, -2.0], [factor, -2.0 * factor])
    error = abs(np.float32(factor) - 1)
    expected = -20 * np.log10(error) if error else EXACT_DB
    assert found.snr_db == pytest.approx(min(expected, EXACT_DB), abs=1e-3)
    assert found.cosine == pytest.approx(1.0)


def test_pairs_count_as_one_array():
    parts = array_distance([(np.ones(1), np.ones(1)), (np.ones(3), np.zeros(3))])
    assert parts == distance([1, 1, 1, 1], [1, 0, 0, 0])


@pytest.mark.parametrize(
    ("a", "b", "snr"),
    [([1], [1], EXACT_DB), ([0], [0], EXACT_DB), ([0], [1], -EXACT_DB), ([1], [np.nan], -EXACT_DB)],
)
def test_what_has_no_ratio_has_an_end_of_the_scale(a, b, snr):
    assert distance(a, b).snr_db == snr


def people(count, seed=0):
    rng = np.random.default_rng(seed)
    place = np.arange(count)[:, None, None] * 300.0
    points = (rng.random((count, 17, 2)) * 100 + place).astype(np.float32)
    scores = np.linspace(0.9, 0.5, count).astype(np.float32)
    return Poses(scores, points, np.ones((count, 17), np.float32))


def moved(poses, by, order=None):
    chosen = np.arange(len(poses)) if order is None else order
    points = poses.keypoints[chosen] + np.float32(by)
    return Poses(poses.scores[chosen], points, poses.visibility[chosen])


def test_poses_are_sets_whatever_their_order():
    a = people(3)
    found = pose_distance([(a, moved(a, 3.0, [2, 0, 1]))], 0.3, SIGMAS)
    assert (found.people, found.only_a, found.only_b) == (3, 0, 0)
    assert found.px_median == pytest.approx(3 * 2**0.5, rel=1e-5)
    assert found.px_max == pytest.approx(3 * 2**0.5, rel=1e-5)
    assert 0.1 < found.oks_min <= found.oks_mean < 1
    assert found.score_max == 0


def test_people_on_one_side_only_are_counted_on_that_side():
    a, b = people(3), people(2)
    first = Poses(a.scores[:2], a.keypoints[:2], a.visibility[:2])
    assert pose_distance([(a, first)], 0.3, SIGMAS).only_a == 1
    assert pose_distance([(first, a)], 0.3, SIGMAS).only_b == 1
    far = pose_distance([(b, moved(b, 1000.0))], 0.3, SIGMAS)
    assert (far.only_a, far.only_b, far.oks_mean) == (2, 2, 1.0)


def test_who_is_just_below_the_threshold_on_the_other_side_is_not_lost():
    a = people(1)
    weak = Poses(np.array([0.5], np.float32), a.keypoints, a.visibility)
    found = pose_distance([(a, weak)], 0.6, SIGMAS)
    assert (found.people, found.only_a, found.only_b) == (1, 0, 0)
    assert found.score_max == pytest.approx(0.4)


def test_nobody_on_either_side_is_no_difference():
    nobody = Poses.nobody(17)
    found = pose_distance([(nobody, nobody)], 0.3, SIGMAS)
    assert (found.people, found.px_max, found.oks_mean) == (0, 0.0, 1.0)


def test_keypoints_that_cannot_be_seen_do_not_count():
    a = people(1)
    hidden = np.ones((1, 17), np.float32)
    hidden[0, 3] = 0
    points = a.keypoints.copy()
    points[0, 3] += 10
    found = pose_distance(
        [(Poses(a.scores, a.keypoints, hidden), Poses(a.scores, points, hidden))], 0.3, SIGMAS
    )
    assert found.px_max == 0


def test_a_layer_ends_behind_its_activation_and_quantization_and_additions_are_layers():
    operations = [
        Operation("c1", "convolution", ("x",), "a.first.conv"),
        Operation("r1", "follower", ("c1",)),
        Operation("q1", "follower", ("r1",)),
        Operation("c2", "convolution", ("q1",), "a.second.conv"),
        Operation("s2", "sigmoid", ("c2",)),
        Operation("m2", "product", ("c2", "s2")),
        Operation("add", "addition", ("q1", "m2")),
        Operation("pool", "other", ("add",)),
        Operation("c3", "convolution", ("pool",), "head.scores.0"),
        Operation("shape", "other", ("c3",)),
        Operation("grid", "addition", ("shape", "pool")),
    ]
    taps = {tap.layer.name: tap for tap in find_taps(operations)}
    assert {name: tap.chain for name, tap in taps.items()} == {
        "a.first.conv": ("c1", "r1", "q1"),
        "a.second.conv": ("c2", "s2", "m2"),
        "a.sum": ("add",),
        "head.scores.0": ("c3",),
    }
    assert taps["a.sum"].layer.inputs == ("a.first.conv", "a.second.conv")
    assert taps["head.scores.0"].layer.inputs == ("a.sum",)
    assert taps["a.first.conv"].layer.inputs == ()
