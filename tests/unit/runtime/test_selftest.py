from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_pose import K, tiny_manifest

from erpose_edge.errors import RequestError
from erpose_edge.runtime.artifact import Artifact
from erpose_edge.runtime.manifest import SelfTest
from erpose_edge.runtime.poses import Poses
from erpose_edge.runtime.selftest import TOLERANCE, check_self_test

SIZE = (48, 64)
PEOPLE = np.random.default_rng(0).uniform(0, 40, (3, K, 2)).astype(np.float32)
PEOPLE[:, 0], PEOPLE[:, 1] = 0, (30, 40)  # a diagonal of at least 50 px


def poses(scores, keypoints=PEOPLE):
    scores = np.array(scores, np.float32)
    count = len(scores)
    return Poses(scores, keypoints[:count], np.ones((count, K), np.float32))


def artifact(expected):
    test = None if expected is None else SelfTest((7,), SIZE, (expected.to_json(),))
    return Artifact(Path("a"), replace(tiny_manifest("compact", "onnxruntime"), self_test=test))


class Finds:
    """Stands for an estimator whose network gives the same whatever it is shown."""

    def __init__(self, found):
        self.found, self.score_threshold = found, 0.7

    def __call__(self, frame):
        assert frame == (7, SIZE)
        sure = self.found.scores >= self.score_threshold
        found = self.found
        return Poses(found.scores[sure], found.keypoints[sure], found.visibility[sure])


def misses(expected, found):
    return check_self_test(Finds(found), artifact(expected), lambda seed, size: (seed, size))


def test_poses_of_equal_score_may_come_in_any_order():
    expected = poses([0.9, 0.9, 0.5])
    assert misses(expected, poses([0.9, 0.9, 0.5], PEOPLE[[1, 0, 2]])) == []


@pytest.mark.parametrize(("share", "count"), [(0.9, 0), (1.1, 1)])
def test_a_pose_may_be_off_by_a_share_of_its_diagonal(share, count):
    diagonal = np.linalg.norm(np.ptp(PEOPLE[0], axis=0))
    moved = PEOPLE.copy()
    moved[0, :, 0] += share * TOLERANCE * diagonal
    found = misses(poses([0.9, 0.8, 0.7]), poses([0.9, 0.8, 0.7], moved))
    assert len(found) == count
    for miss in found:
        assert (miss.seed, miss.score) == (7, 0.9)
        assert miss.nearest_px == pytest.approx(share * TOLERANCE * diagonal, rel=1e-3)
        assert miss.allowed_px == pytest.approx(TOLERANCE * diagonal, rel=1e-3)


def test_nobody_found_is_infinitely_far():
    assert [m.nearest_px for m in misses(poses([0.9]), Poses.nobody(K))] == [float("inf")]


def test_keypoints_that_are_not_numbers_are_a_miss():
    assert len(misses(poses([0.9]), poses([0.9], PEOPLE * np.nan))) == 1


@pytest.mark.parametrize(("score", "count"), [(0.7, 0), (0.6, 1)])
def test_a_pose_has_to_be_found_with_nearly_its_score(score, count):
    assert len(misses(poses([0.9]), poses([score]))) == count


def test_a_pose_that_is_not_clear_may_be_lost():
    assert misses(poses([0.9, 0.39]), poses([0.9])) == []


def test_the_best_pose_counts_however_weak_the_network_is():
    assert [m.score for m in misses(poses([0.1, 0.05]), Poses.nobody(K))] == [0.1]


def test_a_picture_without_people_expects_nothing():
    assert misses(Poses.nobody(K), poses([0.9])) == []


def test_the_estimators_threshold_is_put_back():
    estimator = Finds(poses([0.5]))
    assert check_self_test(estimator, artifact(poses([0.5])), lambda *a: a) == []
    assert estimator.score_threshold == 0.7


def test_an_artifact_without_a_self_test_is_an_error():
    with pytest.raises(RequestError, match="self_test: expected poses"):
        misses(None, poses([0.9]))
