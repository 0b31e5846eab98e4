"""Whether an artifact still finds the poses that its manifest says it must find.

The manifest's poses were computed by the reference, engines round differently, and poses of equal
score come in any order: so each expected pose is looked for among all that are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact
    from erpose_edge.runtime.estimator import PoseEstimator

CLEAR_SCORE = 0.4  # poses that have to be found; the best one of a picture has to be in any case
# Share of its score that a pose has to be found with: rounding alone may lower it.
KEPT_SCORE = 0.75
# Mean distance of a pose's keypoints over the diagonal of the box around them. int8 kernels round
# otherwise than the reference: up to 0.0102 was seen with the bundled weights in OpenVINO.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Miss:
    """An expected pose that was not found.

    Attributes:
        seed: Of the picture.
        score: That the pose was expected with.
        nearest_px: Mean distance of its keypoints from those of the nearest pose that was found
            with nearly its score, in source pixels; infinite if none was.
        allowed_px: What it may be at most.
    """

    seed: int
    score: float
    nearest_px: float
    allowed_px: float


def check_self_test(
    estimator: PoseEstimator,
    artifact: Artifact,
    render: Callable[[int, tuple[int, int]], NDArray[np.uint8]],
) -> list[Miss]:
    """Run an artifact on the pictures of its self-test.

    Args:
        estimator: Opened from ``artifact``.
        artifact: Its manifest has a self-test.
        render: Draws the picture of a seed and a size (height, width), BGR.

    Returns:
        Every pose that had to be found and was not, within `TOLERANCE`; none if all is well.

    Raises:
        RequestError: The artifact has no self-test.
    """
    test = artifact.manifest.self_test
    if test is None:
        raise RequestError(
            f"{artifact.folder}: self_test: expected poses to find again, got none; "
            "export the artifact again"
        )
    misses: list[Miss] = []
    threshold, estimator.score_threshold = estimator.score_threshold, 0.0
    try:
        for seed, expected in zip(test.seeds, test.poses):
            found = estimator(render(seed, test.size))
            best = max((pose["score"] for pose in expected), default=0.0)
            for pose in expected:
                if pose["score"] < min(CLEAR_SCORE, best):
                    continue
                points = np.array(pose["keypoints"], np.float64)[:, :2]
                sure = found.keypoints[found.scores >= KEPT_SCORE * pose["score"]]
                nearest, allowed = _nearest(points, sure), TOLERANCE * _diagonal(points)
                if not nearest <= allowed:  # nor is what is not a number
                    misses.append(Miss(seed, pose["score"], nearest, allowed))
    finally:
        estimator.score_threshold = threshold
    return misses


def _nearest(points: NDArray[np.float64], found: NDArray[np.float32]) -> float:
    """Return how far the nearest of ``found`` (N, K, 2) is from ``points`` (K, 2), in pixels."""
    if not len(found):
        return float("inf")
    return float(np.linalg.norm(found - points, axis=2).mean(axis=1).min())


def _diagonal(points: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))
