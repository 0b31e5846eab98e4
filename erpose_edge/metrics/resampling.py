"""AP of drawn images: how far a number would move with other images of the same kind.

Poses are matched once for each image; a draw only says how often each image counts. That gives the
very AP of a set in which the image stands so often.

Ref: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentiles).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.metrics.keypoint_ap import RECALLS, UNDEFINED
from erpose_edge.metrics.matching import THRESHOLDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.keypoint_ap import MatchedPoses

INTERVAL = (2.5, 97.5)  # percentiles of the draws
DRAWS = 1000


class ResampledAP:
    """AP over OKS 0.50 to 0.95 and all areas, for any number of times that each image counts."""

    def __init__(self, matched: MatchedPoses) -> None:
        order = np.argsort(-matched.scores, kind="stable")
        image = matched.image_of_pose[order]
        right = (matched.matches.person[0] >= 0)[:, order]
        counts = ~matched.matches.ignored[0][:, order]
        self._people = matched.people[:, 0]
        # For each threshold, the image of every pose that counts, and which of these are right.
        self._ranked = [
            (image[counts[index]], np.flatnonzero(right[index][counts[index]]))
            for index in range(len(THRESHOLDS))
        ]

    def __call__(self, times: NDArray[np.int64]) -> float:
        """Return the AP of a set that has image ``i`` (by ascending id) ``times[i]`` times, (I,).

        -1 where nobody is to be found.
        """
        people = int(self._people @ times)
        if not people:
            return UNDEFINED
        curves = [_precision_curve(times[image], right, people) for image, right in self._ranked]
        return float(np.stack(curves).mean())


def draw_images(images: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Return how often each of some images stands in each draw of as many, (draws, images)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    chosen = generator.integers(0, images, (draws, images))
    return np.stack([np.bincount(draw, minlength=images) for draw in chosen])


def _precision_curve(
    times: NDArray[np.int64], right: NDArray[np.intp], people: int
) -> NDArray[np.float64]:
    """Return the precision at each of the 101 recalls.

    The curve has its corners at right poses, and the copies of a right pose only raise it.

    Args:
        times: How often each pose counts, best first, (M,).
        right: Which of them are right, ascending.
        people: To find.
    """
    if not len(right):
        return np.zeros(len(RECALLS))
    found = times[right].cumsum()
    precision = found / (times.cumsum()[right] + np.spacing(1))
    falling = np.maximum.accumulate(precision[::-1])[::-1]  # the best at this recall or a higher
    reached = np.searchsorted(found / people, RECALLS, side="left")
    return np.append(falling, 0.0)[reached]
