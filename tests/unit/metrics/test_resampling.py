"""AP of drawn images is the AP of a set in which they stand as often as they were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_people import crowd, noisy_poses

from erpose_edge.metrics import resampling
from erpose_edge.metrics.keypoint_ap import evaluate, match_poses
from erpose_edge.metrics.outcomes import Outcomes
from erpose_edge.metrics.resampling import ResampledAP, draw_images
from erpose_edge.skeleton import COCO_17


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.data())
def test_an_image_that_counts_n_times_is_n_images(seed, data):
    rng = np.random.default_rng(seed)
    images = [crowd(i, rng) for i in range(6)]
    poses = {i.image_id: noisy_poses(i, rng) for i in images}
    times = data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(any))
    copied = [i for i, n in enumerate(times) for _ in range(n)]
    copies = [replace(images[i], image_id=place) for place, i in enumerate(copied)]
    found = {place: poses[images[i].image_id] for place, i in enumerate(copied)}
    expected = evaluate(copies, found, COCO_17).ap
    resampled = ResampledAP(Outcomes.of(match_poses(images, poses, COCO_17)))
    assert resampled(np.array(times)) == expected


def mixed(image, rng):
    """Return an image with people of two sizes, two in one place, of whom some are ignored."""
    areas = rng.choice([40.0**2, 100.0**2], len(image))
    areas[:2] = [40.0**2, 100.0**2]
    keypoints = image.keypoints[[0, 0, *range(2, len(image))]]
    return replace(image, areas=areas, keypoints=keypoints, ignore=rng.random(len(image)) < 0.3)


@pytest.mark.parametrize("seed", range(5))
def test_it_holds_for_every_size_and_beside_ignored_people(seed):
    rng = np.random.default_rng(seed)
    images = [mixed(crowd(i, rng, 5), rng) for i in range(8)]
    poses = {i.image_id: noisy_poses(i, rng, 5) for i in images}
    times = rng.integers(0, 4, (3, 8))
    outcomes = Outcomes.of(match_poses(images, poses, COCO_17))
    for name, area in (("ap", 0), ("ap_medium", 1), ("ap_large", 2)):
        expected = []
        for row in times:
            copied = [i for i, n in enumerate(row) for _ in range(n)]
            copies = [replace(images[i], image_id=place) for place, i in enumerate(copied)]
            found = {place: poses[images[i].image_id] for place, i in enumerate(copied)}
            expected.append(getattr(evaluate(copies, found, COCO_17), name))
        assert ResampledAP(outcomes, area).of_draws(times).tolist() == expected
        assert 0 < expected[0] < 1


def test_many_draws_in_parts_are_what_they_are_at_once(monkeypatch):
    rng = np.random.default_rng(1)
    images = [crowd(i, rng) for i in range(9)]
    poses = {i.image_id: noisy_poses(i, rng) for i in images}
    ap = ResampledAP(Outcomes.of(match_poses(images, poses, COCO_17)))
    draws = draw_images(9, 50, seed=0)
    at_once = ap.of_draws(draws)
    monkeypatch.setattr(resampling, "_AT_ONCE", 100)
    assert np.array_equal(ap.of_draws(draws), at_once)
    assert len(np.unique(at_once)) > 30


def test_where_nobody_is_to_be_found_ap_is_undefined():
    nobody = replace(crowd(0, np.random.default_rng(0)), ignore=np.ones(3, bool))
    resampled = ResampledAP(Outcomes.of(match_poses([nobody], {}, COCO_17)))
    assert resampled(np.ones(1, np.int64)) == -1


def test_without_a_right_pose_ap_is_0():
    image = crowd(0, np.random.default_rng(0))
    assert ResampledAP(Outcomes.of(match_poses([image], {}, COCO_17)))(np.ones(1, np.int64)) == 0


def test_draws_are_as_large_as_the_set_and_the_same_for_the_same_seed():
    drawn = draw_images(50, 200, seed=3)
    assert drawn.shape == (200, 50)
    assert (drawn.sum(axis=1) == 50).all()
    assert drawn.mean(axis=0) == pytest.approx(1, abs=0.4)
    # An image is left out of a draw with a probability of (1 - 1/50)^50.
    assert (drawn == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)
    assert np.array_equal(drawn, draw_images(50, 200, seed=3))
    assert not np.array_equal(drawn, draw_images(50, 200, seed=4))
