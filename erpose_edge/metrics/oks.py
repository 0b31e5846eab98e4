"""Object keypoint similarity (OKS) of poses and labelled people.

Ref: https://cocodataset.org/#keypoints-eval
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.image_labels import ImageLabels


def similarity(
    distance_sq: NDArray[np.float64], areas: NDArray[np.float64], sigmas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how similar a keypoint at a distance is, 1 at no distance.

    Args:
        distance_sq: (..., K), square pixels.
        areas: Person area that broadcasts against ``distance_sq``, square pixels.
        sigmas: Fall-off of each keypoint, (K,), unitless.

    Returns:
        (..., K) in [0, 1].
    """
    # np.spacing(1) is pycocotools' guard against an area of 0, kept so that both agree.
    scaled: NDArray[np.float64] = distance_sq / (2 * sigmas) ** 2 / (areas + np.spacing(1)) / 2
    return np.exp(-scaled)


def oks(
    poses: NDArray[np.floating], people: ImageLabels, sigmas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the OKS of every pose with every labelled person of one image.

    Only labelled keypoints count. Of a person without one, all K count, and the distance is that
    to twice its box: such a person only serves to ignore the poses on it.

    Args:
        poses: Keypoints, (D, K, 2), x and y in source pixels.
        people: The N labelled people of the image.
        sigmas: Fall-off of each keypoint, (K,), unitless.

    Returns:
        (D, N) in [0, 1].
    """
    if not len(poses) or not len(people):
        return np.zeros((len(poses), len(people)))
    points = poses.astype(np.float64)[:, None]  # (D, 1, K, 2)
    labels = people.keypoints.astype(np.float64)
    labelled = labels[:, :, 2] > 0  # (N, K)
    counts = labelled.sum(axis=1)
    offsets = points - labels[:, :, :2]  # (D, N, K, 2)
    bare = counts == 0
    if bare.any():
        offsets[:, bare] = _outside(points, people.boxes[bare].astype(np.float64))
        labelled = labelled | bare[:, None]
        counts = labelled.sum(axis=1)
    per_keypoint = similarity((offsets**2).sum(axis=3), people.areas[:, None], sigmas)
    total: NDArray[np.float64] = (per_keypoint * labelled).sum(axis=2) / counts
    return total


def keypoint_oks(
    poses: NDArray[np.floating], people: ImageLabels, sigmas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the OKS of every pose with every person as if each keypoint were the only label.

    Where a person does not label a keypoint, it is that of a person without any, as in `oks`.

    Args:
        poses: Keypoints, (D, K, 2), x and y in source pixels.
        people: The N labelled people of the image.
        sigmas: Fall-off of each keypoint, (K,), unitless.

    Returns:
        (D, N, K) in [0, 1].
    """
    if not len(poses) or not len(people):
        return np.zeros((len(poses), len(people), len(sigmas)))
    points = poses.astype(np.float64)[:, None]  # (D, 1, K, 2)
    labels = people.keypoints.astype(np.float64)
    areas = people.areas[:, None]
    alone = similarity(((points - labels[:, :, :2]) ** 2).sum(axis=3), areas, sigmas)
    far = (_outside(points, people.boxes.astype(np.float64)) ** 2).sum(axis=3)
    bare = similarity(far, areas, sigmas).sum(axis=2) / len(sigmas)
    return np.where(labels[:, :, 2] > 0, alone, bare[:, :, None])


def _outside(points: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far (D, N, K, 2) ``points`` lie outside three times each box (N, 4), per axis."""
    low = (boxes[:, :2] - boxes[:, 2:])[:, None]  # (N, 1, 2)
    high = (boxes[:, :2] + 2 * boxes[:, 2:])[:, None]
    return np.maximum(0, low - points) + np.maximum(0, points - high)
