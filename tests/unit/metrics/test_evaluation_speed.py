"""AP of 5,000 images with 20 poses each takes at most 10 s of one core; measured on a tenth."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scored_people import crowd

from erpose_edge.metrics.keypoint_ap import evaluate, match_poses
from erpose_edge.metrics.per_keypoint import ap_per_keypoint
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17

PART = 0.1
LIMIT_S = 10 * PART
POSES = 20


def many_poses(image, rng):
    near = image.keypoints[rng.integers(0, len(image), POSES), :, :2]
    points = near + rng.normal(0, 10, near.shape) * rng.uniform(0, 2, (POSES, 1, 1))
    scores = np.sort(rng.uniform(0, 1, POSES))[::-1]
    return Poses(
        scores.astype(np.float32), points.astype(np.float32), np.ones((POSES, 17), np.float32)
    )


@pytest.mark.slow
@pytest.mark.alone
def test_all_of_ap_per_keypoint_too_takes_at_most_10_s_for_5000_images():
    rng = np.random.default_rng(0)
    images = [crowd(i, rng, int(rng.integers(1, 6))) for i in range(round(5000 * PART))]
    poses = {image.image_id: many_poses(image, rng) for image in images}
    begin = time.process_time()
    evaluate(images, poses, COCO_17)
    ap_per_keypoint(match_poses(images, poses, COCO_17), COCO_17)
    assert time.process_time() - begin < LIMIT_S
