"""Labelled people in a row, and poses for them that are wrong by as much as one likes."""

from __future__ import annotations

import numpy as np

from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17

K = len(COCO_17)


def crowd(image_id: int, rng: np.random.Generator, people: int = 3) -> ImageLabels:
    """Return an image with some people, each a box of 100 x 100 pixels."""
    corner = 120.0 * np.arange(people)[:, None, None] + rng.uniform(0, 100, (people, K, 2))
    keypoints = np.concatenate([corner, np.full((people, K, 1), 2.0)], axis=2)
    return ImageLabels(
        image_id=image_id,
        file_name=f"{image_id}.jpg",
        width=120 * people,
        height=120 * people,
        keypoints=keypoints.astype(np.float32),
        boxes=np.array([[120 * i, 120 * i, 100, 100] for i in range(people)], np.float32),
        areas=np.full(people, 1e4),
        ignore=np.zeros(people, bool),
        annotation_ids=people * image_id + 1 + np.arange(people),
        crowd_index=None,
    )


def noisy_poses(image: ImageLabels, rng: np.random.Generator, noise_px: float = 8.0) -> Poses:
    """Return a pose for each person, moved by up to twice ``noise_px``, and one of nobody."""
    people = image.keypoints[:, :, :2]
    spread = noise_px * rng.uniform(0, 2, (len(people), 1, 1))
    found = people + spread * rng.standard_normal(people.shape)
    points = np.concatenate([found, rng.uniform(0, 300, (1, K, 2))]).astype(np.float32)
    scores = np.sort(rng.uniform(0.1, 1, len(points)))[::-1].astype(np.float32)
    order = rng.permutation(len(points))
    return Poses(scores, points[order], np.ones((len(points), K), np.float32))
