"""AP of drawn images is the AP of a set in which they stand as often as they were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_people import crowd, noisy_poses

from erpose_edge.metrics.keypoint_ap import evaluate, match_poses
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
    resampled = ResampledAP(match_poses(images, poses, COCO_17))
    assert resampled(np.array(times)) == expected


def test_where_nobody_is_to_be_found_ap_is_undefined():
    nobody = replace(crowd(0, np.random.default_rng(0)), ignore=np.ones(3, bool))
    resampled = ResampledAP(match_poses([nobody], {}, COCO_17))
    assert resampled(np.ones(1, np.int64)) == -1


def test_without_a_right_pose_ap_is_0():
    image = crowd(0, np.random.default_rng(0))
    assert ResampledAP(match_poses([image], {}, COCO_17))(np.ones(1, np.int64)) == 0


def test_draws_are_as_large_as_the_set_and_the_same_for_the_same_seed():
    drawn = draw_images(50, 200, seed=3)
    assert drawn.shape == (200, 50)
    assert (drawn.sum(axis=1) == 50).all()
    assert drawn.mean(axis=0) == pytest.approx(1, abs=0.4)
    # An image is left out of a draw with a probability of (1 - 1/50)^50.
    assert (drawn == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)
    assert np.array_equal(drawn, draw_images(50, 200, seed=3))
    assert not np.array_equal(drawn, draw_images(50, 200, seed=4))
