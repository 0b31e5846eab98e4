"""How crowded an image is, and what is made of that.

Ref: Li et al., "CrowdPose: Efficient Crowded Scenes Pose Estimation and A New Benchmark", CVPR
2019, https://arxiv.org/abs/1812.00324
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.image_labels import ImageLabels

SUBSETS = ("easy", "medium", "hard")
EASY_BELOW, HARD_FROM = 0.2, 0.8  # of CrowdPose's evaluation tool; its paper draws other lines


def crowd_subset(index: float) -> str:
    """Return ``easy``, ``medium`` or ``hard`` for an image of a crowd index."""
    if index < EASY_BELOW:
        return "easy"
    return "medium" if index < HARD_FROM else "hard"


def crowd_index(labels: ImageLabels) -> float:
    """Return the crowd index of an image, from its people that are not ignored.

    Ignored people are left out: nobody knows where the keypoints of a crowd region are.
    """
    people = ~labels.ignore
    return crowding(labels.keypoints[people], labels.boxes[people])


def crowding(keypoints: NDArray[np.floating], boxes: NDArray[np.floating]) -> float:
    """Return the crowd index of N people.

    For each person, the labelled keypoints of other people inside its box, over its own labelled
    keypoints; of that the mean over people, in [0, 1]. Keypoints on the edge of a box are inside.
    A person without a labelled keypoint does not count. The cut at 1 is ours: the paper's formula
    has no bound, the values of its set have.

    Args:
        keypoints: (N, K, 3), x, y and COCO flag, of which 1 and 2 are labelled.
        boxes: (N, 4), x, y, width, height.

    Returns:
        0 where fewer than two people are labelled.
    """
    own = (keypoints[:, :, 2] > 0).sum(axis=1)
    people = own > 0
    if np.count_nonzero(people) < 2:
        return 0.0
    others = others_inside(keypoints, boxes)
    return min(1.0, float((others[people] / own[people]).mean()))


def others_inside(
    keypoints: NDArray[np.floating], boxes: NDArray[np.floating]
) -> NDArray[np.int64]:
    """Return how many labelled keypoints of other people lie in each box, (N,).

    Args:
        keypoints: (N, K, 3), as in `crowding`.
        boxes: (N, 4), x, y, width, height; keypoints on the edge are inside.
    """
    labelled = keypoints[:, :, 2] > 0  # (N, K)
    # float64 in the labels' own frame: a box and a keypoint on its edge round alike.
    corners = boxes.astype(np.float64)[:, None, None]  # (N, 1, 1, 4)
    offsets = keypoints.astype(np.float64)[None, :, :, :2] - corners[..., :2]  # box, person, K
    inside = ((offsets >= 0) & (offsets <= corners[..., 2:])).all(axis=3) & labelled
    counts = inside.sum(axis=2)
    others: NDArray[np.int64] = counts.sum(axis=1) - np.diagonal(counts)
    return others
