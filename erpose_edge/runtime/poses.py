"""The poses that were found in one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Poses:
    """N poses, best first; nobody is N = 0.

    Attributes:
        scores: How sure the network is of each person, (N,) float32 in [0, 1], descending.
        keypoints: (N, K, 2) float32, x and y in source pixels; centre of the first pixel is (0, 0).
        visibility: Probability that the keypoint can be seen, (N, K) float32 in [0, 1].
    """

    scores: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    visibility: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def nobody(cls, keypoints: int) -> Poses:
        """Return no poses, of a skeleton of ``keypoints`` keypoints."""
        return cls(
            np.zeros(0, np.float32),
            np.zeros((0, keypoints, 2), np.float32),
            np.zeros((0, keypoints), np.float32),
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Return ``{"score", "keypoints": [[x, y, visibility] * K]}`` for every pose.

        Coordinates are rounded to 0.01 px, probabilities to 0.0001.
        """
        points = np.round(self.keypoints.astype(np.float64), 2)
        visibility = np.round(self.visibility.astype(np.float64), 4)
        rows = np.concatenate([points, visibility[..., None]], axis=-1).tolist()
        scores = np.round(self.scores.astype(np.float64), 4).tolist()
        return [{"score": score, "keypoints": rows[i]} for i, score in enumerate(scores)]
