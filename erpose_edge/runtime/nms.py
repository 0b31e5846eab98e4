"""Non-maximum suppression, for networks that answer more than once for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# So many of the best answers compete. A dense branch gives about ten a person, and evaluation asks
# for unsure ones too: with fewer, crowds would lose people before suppression begins.
CANDIDATES = 1000


def suppress(
    boxes: NDArray[np.float32], threshold: float, most: int = CANDIDATES
) -> NDArray[np.intp]:
    """Return which boxes stay: none overlaps a better one that stays by more than ``threshold``.

    Args:
        boxes: x0, y0, x1, y1 (N, 4), best first; one side left or above of the other is no area.
        threshold: Intersection over union, in (0, 1].
        most: At most so many stay.

    Returns:
        Indices (M,), ascending.
    """
    left = np.arange(len(boxes))
    sizes = (boxes[:, 2:] - boxes[:, :2]).clip(0)
    areas = sizes[:, 0] * sizes[:, 1]
    kept: list[int] = []
    while len(left) and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[left, :2], boxes[best, :2])
        high = np.minimum(boxes[left, 2:], boxes[best, 2:])
        sides = (high - low).clip(0)
        shared = sides[:, 0] * sides[:, 1]
        # Not divided by the union, which is 0 for two boxes without an area.
        left = left[~(shared > threshold * (areas[left] + areas[best] - shared))]
    return np.array(kept, np.intp)


def around(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rectangles x0, y0, x1, y1 (N, 4) around keypoints (N, K, 2)."""
    return np.concatenate([keypoints.min(axis=1), keypoints.max(axis=1)], axis=1)
