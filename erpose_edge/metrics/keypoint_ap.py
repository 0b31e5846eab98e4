"""Keypoint average precision and recall, equal to those of pycocotools and of CrowdPose's tool.

Ref: https://cocodataset.org/#keypoints-eval; COCOeval of pycocotools 2.0. One difference is meant:
pycocotools takes a match with the annotation whose id is 0 for no match, which is not repeated.

CrowdPose's tool (crowdposetools.cocoeval) is COCOeval with these changes, which are followed:

- The area of a person in OKS is 0.53 times that of its box, whatever area the file gives. This
  holds for the CrowdPose-14 skeleton; labels of another skeleton keep their areas.
- Images are divided by their crowd index: easy < 0.2 <= medium < 0.8 <= hard, and each subset is
  evaluated as if it were the whole set. This is done for every set whose images have an index.
- It prints AP over all areas only. AP by area and AR are still computed here.

Its number for a subset is the mean of the whole precision table, -1 where nobody is to be found
included. With one category the table is either all -1 or without any, so that this is the mean
which is used everywhere. It rounds to four places; no number is rounded here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import DataError
from erpose_edge.metrics.crowd_index import SUBSETS, crowd_subset
from erpose_edge.metrics.image_labels import ImageLabels, LabelSet
from erpose_edge.metrics.label_entries import MASK_PER_BOX
from erpose_edge.metrics.matching import (
    AREA_RANGES,
    MAX_POSES,
    THRESHOLDS,
    Matches,
    RankedPoses,
    ignored_people,
    match,
)
from erpose_edge.metrics.oks import similarity
from erpose_edge.skeleton import CROWDPOSE_14

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.poses import Poses
    from erpose_edge.skeleton import Skeleton

UNDEFINED = -1.0  # nobody to find: neither right nor wrong
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class KeypointAP:
    """How well poses fit labelled people; every number is in [0, 1], or -1 where it is undefined.

    Attributes:
        ap: Mean average precision at OKS 0.50 to 0.95.
        ap50: Average precision at OKS 0.50.
        ap75: Average precision at OKS 0.75.
        ap_medium: As ``ap``, for people of 32^2 to 96^2 square pixels.
        ap_large: As ``ap``, for people from 96^2 square pixels.
        ar: Mean recall at OKS 0.50 to 0.95.
        per_keypoint_oks: For each keypoint, its mean similarity over the people that are found at
            OKS 0.50 and label it.
        images: Number of images.
        people: Number of people to find.
        ap_crowd_easy: As ``ap``, on the images with a crowd index below 0.2; None where there is
            no such image.
        ap_crowd_medium: On those from 0.2 to below 0.8. (``ap_medium`` is of people's size.)
        ap_crowd_hard: On those from 0.8.
    """

    ap: float
    ap50: float
    ap75: float
    ap_medium: float
    ap_large: float
    ar: float
    per_keypoint_oks: dict[str, float]
    images: int
    people: int
    ap_crowd_easy: float | None = None
    ap_crowd_medium: float | None = None
    ap_crowd_hard: float | None = None


@dataclass(frozen=True)
class MatchedPoses:
    """What becomes of every pose; all metrics follow from it.

    Attributes:
        images: I of them, by ascending id.
        poses: Of each image.
        matches: Of the M poses of all images, in that order.
        scores: Of the same poses, (M,).
        people: To find in each image and area range, (I, A).
    """

    images: list[ImageLabels]
    poses: list[RankedPoses]
    matches: Matches
    scores: NDArray[np.float64]
    people: NDArray[np.int64]

    @property
    def image_of_pose(self) -> NDArray[np.int64]:
        """Index into ``images`` of every pose, (M,)."""
        counts = [len(ranked.scores) for ranked in self.poses]
        return np.repeat(np.arange(len(self.images)), counts)


def match_poses(
    ground_truth: LabelSet | Sequence[ImageLabels],
    detections: Mapping[int, Poses],
    skeleton: Skeleton,
) -> MatchedPoses:
    """Match the poses of every image with its people; arguments and errors as in `evaluate`."""
    listed = ground_truth.images if isinstance(ground_truth, LabelSet) else ground_truth
    images = sorted(listed, key=lambda image: image.image_id)
    _check_ids(images, detections)
    if skeleton == CROWDPOSE_14:
        images = [replace(image, areas=_box_areas(image)) for image in images]
    poses = [_rank(detections.get(image.image_id), image, len(skeleton)) for image in images]
    matches = match(images, poses, np.array(skeleton.sigmas))
    scores = np.concatenate([np.zeros(0)] + [ranked.scores for ranked in poses])
    people = np.array([(~ignored_people(image)).sum(axis=1) for image in images], np.int64)
    people = people.reshape(len(images), len(AREA_RANGES))
    return MatchedPoses(images, poses, matches, scores, people)


def evaluate(
    ground_truth: LabelSet | Sequence[ImageLabels],
    detections: Mapping[int, Poses],
    skeleton: Skeleton,
) -> KeypointAP:
    """Return the keypoint AP of ``detections``.

    Args:
        ground_truth: Labelled images.
        detections: For each image id, its poses in source pixels. An image that is left out has
            none; of more than 20 the best 20 count.
        skeleton: Of both. For CrowdPose-14 areas are taken from boxes, as CrowdPose's tool does.

    Raises:
        DataError: Poses stand on an unknown image, have another number of keypoints, or are not
            finite.
    """
    matched = match_poses(ground_truth, detections, skeleton)
    images, poses, matches = matched.images, matched.poses, matched.matches
    scores, people = matched.scores, matched.people
    precision, recall = accumulate(matches, scores, people.sum(axis=0))
    everyone, medium, large = precision
    easy, crowded, hard = _by_crowding(matched)
    return KeypointAP(
        ap=float(everyone.mean()),
        ap50=float(everyone[0].mean()),
        ap75=float(everyone[5].mean()),
        ap_medium=float(medium.mean()),
        ap_large=float(large.mean()),
        ar=float(recall[0].mean()),
        per_keypoint_oks=_per_keypoint(images, poses, matches, skeleton),
        images=len(images),
        people=sum(int(np.count_nonzero(~image.ignore)) for image in images),
        ap_crowd_easy=easy,
        ap_crowd_medium=crowded,
        ap_crowd_hard=hard,
    )


def _box_areas(image: ImageLabels) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = MASK_PER_BOX * image.boxes[:, 2:].astype(np.float64).prod(axis=1)
    return areas


def _by_crowding(matched: MatchedPoses) -> list[float | None]:
    """Return the AP of the easy, medium and hard images; None for a subset without an image.

    A pose is matched within its image, so a subset needs no matching of its own; images without a
    crowd index are in none.
    """
    matches, scores, people = matched.matches, matched.scores, matched.people
    subsets = [
        None if i.crowd_index is None else crowd_subset(i.crowd_index) for i in matched.images
    ]
    image_of_pose = matched.image_of_pose
    found: list[float | None] = []
    for name in SUBSETS:
        chosen = np.array([subset == name for subset in subsets], bool)
        kept = chosen[image_of_pose]
        part = Matches(matches.person[:1, :, kept], matches.ignored[:1, :, kept])  # all areas
        precision, _ = accumulate(part, scores[kept], people[chosen, :1].sum(axis=0))
        found.append(float(precision.mean()) if chosen.any() else None)
    return found


def _check_ids(images: list[ImageLabels], detections: Mapping[int, Poses]) -> None:
    known = {image.image_id for image in images}
    if len(known) != len(images):
        raise DataError("labels: expected one entry for each image id, got an id twice")
    unknown = sorted(set(detections) - known)
    if unknown:
        raise DataError(f"poses: expected images of the labels, got image {unknown[0]}")


def _rank(poses: Poses | None, image: ImageLabels, keypoints: int) -> RankedPoses:
    if poses is None:
        return RankedPoses(np.zeros(0), np.zeros((0, keypoints, 2)))
    scores = np.asarray(poses.scores, np.float64)
    points = np.asarray(poses.keypoints, np.float64)
    expected = (len(scores), keypoints, 2)
    if points.shape != expected:
        raise DataError(
            f"poses of image {image.image_id}: expected keypoints {expected}, got {points.shape}"
        )
    if not (np.isfinite(scores).all() and np.isfinite(points).all()):
        raise DataError(
            f"poses of image {image.image_id}: expected finite scores and keypoints, got others; "
            "the network or its engine is broken"
        )
    best = np.argsort(-scores, kind="stable")[:MAX_POSES]
    return RankedPoses(scores[best], points[best])


def accumulate(
    matches: Matches, scores: NDArray[np.float64], people: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision at each recall (A, T, R) and the highest recall (A, T).

    Args:
        matches: Of M poses; A may be other divisions than of areas.
        scores: (M,).
        people: Number of people to find in each area range, (A,).
    """
    precision = np.full((len(people), len(THRESHOLDS), len(RECALLS)), UNDEFINED)
    recall = np.full(precision.shape[:2], UNDEFINED)
    order = np.argsort(-scores, kind="stable")
    found = (matches.person >= 0)[..., order]
    counts = ~matches.ignored[..., order]
    right = (found & counts).cumsum(axis=2)
    wrong = (~found & counts).cumsum(axis=2)
    for area, threshold in np.ndindex(recall.shape):
        if people[area]:
            curve = _precision_curve(
                right[area, threshold], wrong[area, threshold], int(people[area])
            )
            precision[area, threshold], recall[area, threshold] = curve
    return precision, recall


def _precision_curve(
    right: NDArray[np.int64], wrong: NDArray[np.int64], people: int
) -> tuple[NDArray[np.float64], float]:
    """Return the precision at each of the 101 recalls, and the recall of all poses."""
    if not len(right):
        return np.zeros(len(RECALLS)), 0.0
    recall = right / people
    precision = right / (wrong + right + np.spacing(1))
    falling = np.maximum.accumulate(precision[::-1])[::-1]  # the best at this recall or a higher
    reached = np.searchsorted(recall, RECALLS, side="left")
    return np.append(falling, 0.0)[reached], float(recall[-1])


def _per_keypoint(
    images: list[ImageLabels], poses: list[RankedPoses], matches: Matches, skeleton: Skeleton
) -> dict[str, float]:
    person = np.where(matches.ignored[0, 0], -1, matches.person[0, 0])  # all areas, OKS 0.50
    total, labelled = np.zeros(len(skeleton)), np.zeros(len(skeleton))
    start = 0
    for image, ranked in zip(images, poses):
        taken = person[start : start + len(ranked.scores)]
        start += len(taken)
        labels = image.keypoints[taken[taken >= 0]].astype(np.float64)
        offsets = ranked.keypoints[taken >= 0] - labels[:, :, :2]
        areas = image.areas[taken[taken >= 0], None]
        close = similarity((offsets**2).sum(axis=2), areas, np.array(skeleton.sigmas))
        visible = labels[:, :, 2] > 0
        total += (close * visible).sum(axis=0)
        labelled += visible.sum(axis=0)
    mean = np.where(labelled > 0, total / np.maximum(labelled, 1), UNDEFINED)
    return {name: float(mean[index]) for index, name in enumerate(skeleton.keypoints)}
