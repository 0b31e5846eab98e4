"""Retention is a ratio of APs, and its interval that of images drawn for both networks at once."""

from __future__ import annotations

import numpy as np
import pytest
from scored_people import crowd, noisy_poses

from erpose_edge.errors import DataError
from erpose_edge.metrics.keypoint_ap import evaluate, match_poses
from erpose_edge.metrics.outcomes import Outcomes
from erpose_edge.metrics.resampling import ResampledAP, draw_images
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.retention import measure_retention


@pytest.fixture
def images(rng):
    return [crowd(i, rng) for i in range(40)]


def poses_of(images, noise_px, seed):
    rng = np.random.default_rng(seed)
    return {image.image_id: noisy_poses(image, rng, noise_px) for image in images}


def test_it_is_the_ratio_of_the_two_aps(images):
    reference, worse = poses_of(images, 6, 1), poses_of(images, 10, 2)
    found = measure_retention(images, reference, worse, COCO_17, draws=20)
    assert found.ap == evaluate(images, worse, COCO_17).ap
    assert found.reference_ap == evaluate(images, reference, COCO_17).ap
    assert found.value == found.ap / found.reference_ap < 1
    assert found.low < found.value < found.high
    assert found.difference.value == found.ap - found.reference_ap
    assert found.difference.low < found.difference.value < found.difference.high


def test_the_same_poses_keep_everything_whatever_is_drawn(images):
    poses = poses_of(images, 8, 1)
    found = measure_retention(images, poses, poses, COCO_17, draws=40)
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert str(found) == "100.0 % [100.0, 100.0]"
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)


def test_drawing_for_both_at_once_is_sharper_than_for_each(images):
    """A quarter of the images is hard for both; who draws more of them does not matter."""
    reference, other = poses_of(images, 5, 1), poses_of(images, 6, 1)
    for image in images[::4]:
        reference[image.image_id] = other[image.image_id] = Poses.nobody(17)
    found = measure_retention(images, reference, other, COCO_17, draws=200)
    ours = ResampledAP(Outcomes.of(match_poses(images, other, COCO_17)))
    theirs = ResampledAP(Outcomes.of(match_poses(images, reference, COCO_17)))
    pairs = zip(draw_images(40, 200, seed=1), draw_images(40, 200, seed=2), strict=True)
    apart = np.percentile([ours(a) / theirs(b) for a, b in pairs], (2.5, 97.5))
    assert found.high - found.low < 0.5 * (apart[1] - apart[0])


def test_the_same_seed_gives_the_same_interval(images):
    pair = poses_of(images, 6, 1), poses_of(images, 10, 2)
    first, again, other = (
        measure_retention(images, *pair, COCO_17, draws=30, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_an_image_that_could_not_be_read_does_not_count(images):
    poses = poses_of(images, 6, 1)
    del poses[3]
    left = [image for image in images if image.image_id != 3]
    found = measure_retention(images, poses, poses, COCO_17, draws=1)
    assert found.ap == evaluate(left, poses, COCO_17).ap


def test_a_reference_that_finds_nobody_has_no_retention(images):
    nobody = {image.image_id: Poses.nobody(17) for image in images}
    assert measure_retention(images, nobody, poses_of(images, 6, 1), COCO_17) is None


def test_other_images_are_refused(images):
    poses = poses_of(images, 6, 1)
    fewer = {key: value for key, value in poses.items() if key not in (3, 5)}
    with pytest.raises(
        DataError,
        match=r"retention: expected poses of both networks on the same images, got image 3 "
        r"\(and 1 more\) of one only; measure both",
    ):
        measure_retention(images, poses, fewer, COCO_17)
