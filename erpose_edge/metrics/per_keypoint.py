"""AP of one keypoint alone: where a network loses, by part of the body.

AP of keypoint k is COCO's keypoint AP of labels in which every other keypoint is unlabelled: a pose
is as similar to a person as its keypoint k, a person who does not label k is ignored together with
the poses on it. pycocotools gives the same number for such a label file. It is harder than the
mean similarity of found people: a pose whose wrist is off is wrong for the wrist.

Ref: https://cocodataset.org/#keypoints-eval; the similarity of one keypoint as in Ronchi and
Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017, eq. 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.metrics.keypoint_ap import MatchedPoses, accumulate
from erpose_edge.metrics.matching import AREA_RANGES, THRESHOLDS, Matches, RankedPoses, assign
from erpose_edge.metrics.oks import keypoint_oks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.metrics.image_labels import ImageLabels
    from erpose_edge.skeleton import Skeleton

_IMAGES_AT_ONCE = 64


def ap_per_keypoint(matched: MatchedPoses, skeleton: Skeleton) -> dict[str, float]:
    """Return the AP of every keypoint at OKS 0.50 to 0.95, over all areas.

    Args:
        matched: Images and poses; how they were matched does not matter.
        skeleton: Of both.

    Returns:
        In [0, 1] by name; -1 where nobody labels the keypoint.
    """
    images, poses = matched.images, matched.poses
    counts = [len(ranked.scores) for ranked in poses]
    starts = np.concatenate([[0], np.cumsum(counts)])
    shape = (len(skeleton), len(THRESHOLDS), int(starts[-1]))
    found, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    people = np.zeros(len(skeleton), np.int64)
    for image in images:
        labelled = (image.keypoints[:, :, 2] > 0) & ~image.ignore[:, None]
        people += labelled.sum(axis=0)
    order = sorted(range(len(images)), key=lambda i: (len(images[i]), counts[i]))
    sigmas = np.array(skeleton.sigmas)
    for start in range(0, len(order), _IMAGES_AT_ONCE):
        chosen = order[start : start + _IMAGES_AT_ONCE]
        parts = _match_some([images[i] for i in chosen], [poses[i] for i in chosen], sigmas)
        for index, (right, drop) in zip(chosen, parts):
            place = slice(int(starts[index]), int(starts[index + 1]))
            found[:, :, place], ignored[:, :, place] = right, drop
    # A keypoint stands where an area range does elsewhere.
    matches = Matches(np.where(found, 0, -1), ignored)
    precision, _ = accumulate(matches, matched.scores, people)
    return {name: float(precision[k].mean()) for k, name in enumerate(skeleton.keypoints)}


def _match_some(
    images: list[ImageLabels], poses: list[RankedPoses], sigmas: NDArray[np.float64]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return which poses take a person and which do not count, each (K, T, D), of each image."""
    count = len(sigmas)
    ranks = max(len(ranked.scores) for ranked in poses)
    people = max(len(image) for image in images)
    similar = np.full((len(images), count, ranks, people), -1.0)
    ignored = np.ones((len(images), count, people), bool)
    crowd = np.zeros((len(images), count, people), bool)
    for index, (image, ranked) in enumerate(zip(images, poses)):
        own = slice(people - len(image), people)  # backwards, as in `matching`
        alone = keypoint_oks(ranked.keypoints, image, sigmas)[:, ::-1]  # (D, N, K)
        similar[index, :, : len(ranked.scores), own] = alone.transpose(2, 0, 1)
        nobody = image.ignore[:, None] | (image.keypoints[:, :, 2] <= 0)
        ignored[index, :, own] = nobody[::-1].T
        crowd[index, :, own] = image.crowd[::-1]
    flat = (len(images) * count,)  # every keypoint is matched as an image of its own
    taken = assign(
        similar.reshape(flat + similar.shape[2:]),
        ignored.reshape((*flat, 1, people)),
        crowd.reshape((*flat, people)),
    ).reshape(len(images), count, len(THRESHOLDS), ranks)
    parts = []
    for index, ranked in enumerate(poses):
        person = taken[index, :, :, : len(ranked.scores)]
        right = person >= 0
        far = (ranked.areas > AREA_RANGES[0, 1])[None, None]
        drop = np.where(right, False, far)
        if people:
            own_ignored = np.broadcast_to(ignored[index][:, None], (count, len(THRESHOLDS), people))
            on_ignored = np.take_along_axis(own_ignored, np.maximum(person, 0), axis=2)
            drop = np.where(right, on_ignored, far)
        parts.append((right, drop))
    return parts
