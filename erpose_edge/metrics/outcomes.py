"""What became of every pose: all that AP and its intervals need, small enough to be kept.

A document that holds outcomes can be checked by somebody who has neither the images nor the poses:
every AP, interval and retention in it follows from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import IntegrityError
from erpose_edge.metrics.matching import AREA_RANGES, THRESHOLDS
from erpose_edge.runtime.json_arrays import array_from_json, array_to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.keypoint_ap import MatchedPoses

_BITS = 1 << np.arange(len(THRESHOLDS), dtype=np.uint16)  # one for each threshold


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Of M poses in I images; A area ranges, T thresholds.

    Attributes:
        image: Index of the image of every pose, (M,), ascending.
        scores: (M,) float64.
        right: (A, T, M) bool; the pose takes a person.
        ignored: (A, T, M) bool; the pose counts neither as right nor as wrong.
        people: To find in each image and area range, (I, A).
    """

    image: NDArray[np.int64]
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    people: NDArray[np.int64]

    @classmethod
    def of(cls, matched: MatchedPoses) -> Outcomes:
        """Return those of matched poses."""
        matches = matched.matches
        right = matches.person >= 0
        return cls(matched.image_of_pose, matched.scores, right, matches.ignored, matched.people)

    def to_json(self) -> dict[str, Any]:
        """Return them as arrays of base64, little-endian; thresholds are the bits of a number."""
        return {
            "image": array_to_json(self.image, "<i4"),
            "score": array_to_json(self.scores, "<f8"),
            "right": array_to_json((self.right * _BITS[:, None]).sum(axis=1), "<u2"),
            "ignored": array_to_json((self.ignored * _BITS[:, None]).sum(axis=1), "<u2"),
            "people": array_to_json(self.people, "<i4"),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Outcomes:
        """Read what `to_json` wrote.

        Raises:
            IntegrityError: A field is missing, is no such array, or does not fit the others.
        """
        image = _unpacked(document, "image", "<i4").astype(np.int64)
        scores = _unpacked(document, "score", "<f8")
        right, ignored = (_unpacked(document, name, "<u2") for name in ("right", "ignored"))
        people = _unpacked(document, "people", "<i4").astype(np.int64)
        areas = len(AREA_RANGES)
        expected = [
            (len(scores),),
            (areas, len(scores)),
            (areas, len(scores)),
            (len(people), areas),
        ]
        found = [array.shape for array in (image, right, ignored, people)]
        fits = found == expected and scores.ndim == 1 and bool(np.isfinite(scores).all())
        fits = fits and bool((people >= 0).all())
        if not fits or (len(image) and not 0 <= image.min() <= image.max() < len(people)):
            raise IntegrityError(
                f"outcomes: expected arrays of {len(scores)} poses in {len(people)} images, "
                f"got shapes {found}; measure again"
            )
        bits = _BITS[:, None]
        return cls(
            image, scores, (right[:, None] & bits) > 0, (ignored[:, None] & bits) > 0, people
        )


def _unpacked(document: Mapping[str, Any], name: str, dtype: str) -> NDArray[Any]:
    try:
        return array_from_json(document[name], dtype)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"outcomes.{name}: expected an array of {dtype} in base64, got {error}; measure again"
        ) from None
