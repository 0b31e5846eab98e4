"""Match poses to labelled people as COCO does, many images at a time.

The rule is greedy: best score first, each pose takes the most similar person that is still free
at that OKS threshold; people to find come before ignored ones, and a crowd stays free. The loop
runs over the rank of a pose; images, area ranges and thresholds are array axes.

Ref: COCOeval.evaluateImg of pycocotools 2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.metrics.oks import oks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.image_labels import ImageLabels

MAX_POSES = 20  # of an image count, the best ones
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of OKS
AREA_RANGES = np.array([[0.0, 1e10], [32.0**2, 96.0**2], [96.0**2, 1e10]])  # all, medium, large
_IMAGES_AT_ONCE = 64
_FREE = -1


@dataclass(frozen=True)
class RankedPoses:
    """The best poses of one image, D of them, best first.

    Attributes:
        scores: (D,) float64.
        keypoints: (D, K, 2) float64, x and y in source pixels.
    """

    scores: NDArray[np.float64]
    keypoints: NDArray[np.float64]

    @property
    def areas(self) -> NDArray[np.float64]:
        """Area of the box around the keypoints, (D,), square pixels."""
        sides = self.keypoints.max(axis=1) - self.keypoints.min(axis=1)
        area: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
        return area


@dataclass(frozen=True)
class Matches:
    """What became of M poses, in the order of images and of scores.

    Attributes:
        person: (A, T, M), index of the person in its image, or -1; A area ranges, T thresholds.
        ignored: (A, T, M) bool; the pose counts neither as right nor as wrong.
    """

    person: NDArray[np.int64]
    ignored: NDArray[np.bool_]


def match(
    images: Sequence[ImageLabels], poses: Sequence[RankedPoses], sigmas: NDArray[np.float64]
) -> Matches:
    """Return the matches of every pose with the people of its image.

    Args:
        images: Labelled people.
        poses: For each image, in the same order.
        sigmas: Fall-off of each keypoint, (K,), unitless.
    """
    # Images with about as many people side by side, so that padding stays small.
    order = sorted(range(len(images)), key=lambda i: (len(images[i]), len(poses[i].scores)))
    parts: list[Matches] = [_NOTHING] * len(images)
    for start in range(0, len(order), _IMAGES_AT_ONCE):
        chosen = order[start : start + _IMAGES_AT_ONCE]
        found = _match_some([images[i] for i in chosen], [poses[i] for i in chosen], sigmas)
        for index, part in zip(chosen, found):
            parts[index] = part
    return Matches(
        np.concatenate([_NOTHING.person] + [part.person for part in parts], axis=2),
        np.concatenate([_NOTHING.ignored] + [part.ignored for part in parts], axis=2),
    )


_NOTHING = Matches(
    np.zeros((len(AREA_RANGES), len(THRESHOLDS), 0), np.int64),
    np.zeros((len(AREA_RANGES), len(THRESHOLDS), 0), bool),
)


def ignored_people(image: ImageLabels) -> NDArray[np.bool_]:
    """Return which people each area range ignores, (A, N)."""
    low, high = AREA_RANGES[:, :1], AREA_RANGES[:, 1:]
    ignored: NDArray[np.bool_] = image.ignore | (image.areas < low) | (image.areas > high)
    return ignored


def _match_some(
    images: list[ImageLabels], poses: list[RankedPoses], sigmas: NDArray[np.float64]
) -> list[Matches]:
    """Match a few images padded to one shape: I images, D poses, G people."""
    counts = [len(p.scores) for p in poses]
    shape = (len(images), max(counts), max(len(image) for image in images))
    similar = np.full(shape, -1.0)  # below every threshold where there is only padding
    ignored = np.ones((shape[0], len(AREA_RANGES), shape[2]), bool)
    crowd = np.zeros((shape[0], shape[2]), bool)
    for index, ranked in enumerate(poses):
        image = images[index]
        # People stand backwards: of equally similar ones COCO takes the last, argmax the first.
        people = slice(shape[2] - len(image), shape[2])
        similar[index, : counts[index], people] = oks(ranked.keypoints, image, sigmas)[:, ::-1]
        ignored[index, :, people] = ignored_people(image)[:, ::-1]
        crowd[index, people] = image.crowd[::-1]
    taken_by = assign(similar, ignored, crowd)
    found = []
    for index, ranked in enumerate(poses):
        person = taken_by[index, :, :, : counts[index]]
        area = ranked.areas
        outside = (area < AREA_RANGES[:, :1]) | (area > AREA_RANGES[:, 1:])  # (A, D)
        on_ignored = (
            np.take_along_axis(ignored[index][:, None], np.maximum(person, 0), axis=2)
            if shape[2]
            else np.zeros(person.shape, bool)
        )
        drop = np.where(person == _FREE, outside[:, None], on_ignored)
        found.append(Matches(np.where(person == _FREE, _FREE, shape[2] - 1 - person), drop))
    return found


def assign(
    similar: NDArray[np.float64], ignored: NDArray[np.bool_], crowd: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the person that each pose takes, (I, A, T, D), or -1.

    Args:
        similar: OKS, (I, D, G), poses best first.
        ignored: (I, A, G).
        crowd: (I, G).
    """
    count, ranks, people = similar.shape
    areas = ignored.shape[1]
    least = np.minimum(THRESHOLDS, 1 - 1e-10)[:, None]
    taken_by = np.full((count, areas, len(THRESHOLDS), ranks), _FREE, np.int64)
    if not people:
        return taken_by
    free = np.ones((count, areas, len(THRESHOLDS), people), bool)
    wanted = ~ignored[:, :, None]  # (I, A, 1, G)
    last = np.arange(people)
    for rank in range(ranks):
        candidate = similar[:, rank][:, None, None]  # (I, 1, 1, G)
        fits = free & (candidate >= least)
        first_choice = fits & wanted
        choice = np.where(first_choice.any(axis=3, keepdims=True), first_choice, fits)
        best = np.where(choice, candidate, -1.0).argmax(axis=3)
        found = choice.any(axis=3)
        taken_by[..., rank] = np.where(found, best, _FREE)
        free &= (last != taken_by[..., rank, None]) | crowd[:, None, None]
    return taken_by
