import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erpose_edge.metrics.label_entries import MASK_PER_BOX
from erpose_edge.quantization.sensitivity.pose_shift import (
    decibels,
    output_noise,
    output_power,
    pose_shift,
)
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17

SIGMAS = np.array(COCO_17.sigmas)
K = len(SIGMAS)
LEAST = 0.01


def people(scores, places):
    """People of 80 x 100 px whose first keypoints stand at ``places``."""
    generator = np.random.default_rng(3)
    body = generator.uniform(0, 1, (K, 2))
    body = (body - body.min(0)) / np.ptp(body, 0) * (80, 100)
    points = body + np.array(places, float).reshape(-1, 1, 2)
    return Poses(np.array(scores, np.float32), points.astype(np.float32), np.ones((len(scores), K)))


def loss(reference, other):
    lost, total = pose_shift(reference, other, SIGMAS, LEAST)
    return lost / total


def test_the_same_poses_lose_nothing():
    poses = people([0.9, 0.4], [(0, 0), (300, 40)])
    assert loss(poses, poses) == pytest.approx(0, abs=1e-6)


def test_a_shift_loses_what_its_oks_lacks_to_one():
    reference, moved = people([0.8], [(0, 0)]), people([0.8], [(3, 4)])
    area = 80 * 100 * MASK_PER_BOX
    expected = 1 - np.exp(-25 / (2 * area * (2 * SIGMAS) ** 2)).mean()
    assert loss(reference, moved) == pytest.approx(expected, rel=1e-4)


def test_people_count_by_their_score():
    reference = people([0.9, 0.1], [(0, 0), (1000, 0)])
    one_lost = people([0.9], [(0, 0)])
    lost, total = pose_shift(reference, one_lost, SIGMAS, LEAST)
    assert lost == pytest.approx(0.1, abs=1e-5)
    assert total == pytest.approx(1.9)


def test_a_new_person_is_a_loss_too():
    reference = people([0.5], [(0, 0)])
    more = people([0.5, 0.5], [(0, 0), (1000, 0)])
    assert loss(reference, more) == pytest.approx(0.5 / 1.5, abs=1e-5)


@pytest.mark.parametrize(("score", "lost"), [(0.45, 0), (0.41, 0), (0.39, 1), (0.1, 1)])
def test_a_person_with_less_than_half_the_score_is_lost(score, lost):
    reference, other = people([0.8], [(0, 0)]), people([score], [(0, 0)])
    assert loss(reference, other) == pytest.approx(lost, abs=1e-5)
    assert loss(other, reference) == pytest.approx(lost, abs=1e-5)


def test_a_pose_below_the_threshold_is_a_counterpart_but_does_not_count():
    reference, other = people([0.012], [(0, 0)]), people([0.008, 0.007], [(0, 0), (900, 0)])
    lost, total = pose_shift(reference, other, SIGMAS, LEAST)
    assert (lost, total) == (pytest.approx(0, abs=1e-6), pytest.approx(0.012))


def test_nobody_against_somebody_loses_everything():
    somebody = people([0.7], [(0, 0)])
    for pair in ((somebody, Poses.nobody(K)), (Poses.nobody(K), somebody)):
        assert loss(*pair) == 1
    assert pose_shift(Poses.nobody(K), Poses.nobody(K), SIGMAS, LEAST) == (0, 0)


@given(
    st.lists(st.floats(0.02, 1), min_size=1, max_size=4),
    st.lists(st.floats(0.02, 1), min_size=1, max_size=4),
    st.floats(-200, 200),
)
def test_a_loss_is_between_nothing_and_everything(first, second, move):
    reference = people(first, [(150 * i, 0) for i in range(len(first))])
    other = people(second, [(150 * i + move, 0) for i in range(len(second))])
    lost, total = pose_shift(reference, other, SIGMAS, LEAST)
    assert 0 <= lost <= total * (1 + 1e-6)


def levels(seed):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        [torch.randn(1, c, s, s, generator=generator) + 5 for s in (8, 4)] for c in (1, 34, 17)
    )


def test_the_mean_of_a_channel_is_no_signal():
    """A bias of the outputs must not make noise look small."""
    first = levels(0)
    moved = tuple([level + 100 for level in kind] for kind in first)
    assert output_power(first) == pytest.approx(output_power(moved), rel=1e-4)


def test_noise_of_a_tenth_is_twenty_decibels():
    first = levels(0)
    noisy = tuple(
        [level + 0.1 * (level - level.mean((2, 3), keepdim=True)) for level in kind]
        for kind in first
    )
    ratio = decibels(output_power(first), output_noise(noisy, first))
    assert ratio == {name: pytest.approx(20, abs=0.02) for name in ratio}
    assert list(ratio) == ["scores", "keypoints", "visibility"]


def test_without_noise_there_is_no_ratio():
    first = levels(1)
    assert decibels(output_power(first), output_noise(first, first)) == dict.fromkeys(
        ("scores", "keypoints", "visibility")
    )
