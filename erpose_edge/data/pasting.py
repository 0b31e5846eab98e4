"""Cut one person out and paste it in front of others: what augmentation and crowds share."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from erpose_edge.data.sample import HIDDEN, VISIBLE, Sample, join
from erpose_edge.skeleton import Skeleton

_TORSO = ("shoulder", "hip")
FACE = ("nose", "eye", "ear")
HEAD = (*FACE, "head")


def only(sample: Sample, person: int) -> Sample:
    """Return ``sample`` with none of its people but ``person``."""
    return replace(
        sample,
        keypoints=sample.keypoints[[person]],
        flags=sample.flags[[person]],
        boxes=sample.boxes[[person]],
        areas=sample.areas[[person]],
        ignored=sample.ignored[[person]],
    )


def silhouette(
    size: tuple[int, int],
    keypoints: NDArray[np.float32],
    known: NDArray[np.bool_],
    thickness: int,
    skeleton: Skeleton,
) -> NDArray[np.uint8]:
    """Return a mask (H, W) around the limbs, torso and head of a person, 255 inside.

    Args:
        size: (height, width) of the mask.
        keypoints: (K, 2), x and y in pixels of the mask.
        known: (K,); limbs without both ends are left out.
        thickness: Of limbs, in pixels; the head is a disc of 1.5 times that width.
        skeleton: Of the keypoints.
    """
    mask = np.zeros(size, np.uint8)
    points = np.round(keypoints).astype(int)
    for a, b in skeleton.limbs:
        if known[a] and known[b]:
            cv2.line(mask, points[a].tolist(), points[b].tolist(), 255, thickness)
    torso = keypoints_of(skeleton, _TORSO)
    if known[torso].all():
        hull = cv2.convexHull(points[torso].astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 255)
        cv2.polylines(mask, [hull], True, 255, thickness)
    head = [i for i in keypoints_of(skeleton, HEAD) if known[i]]
    if head:
        centre = points[head].mean(0).astype(int)
        cv2.circle(mask, centre.tolist(), max(2, int(thickness * 0.75)), 255, -1)
    return mask


def keypoints_of(skeleton: Skeleton, parts: tuple[str, ...]) -> list[int]:
    """Return the keypoints whose name ends in one of ``parts``: both sides of the body."""
    return [i for i, name in enumerate(skeleton.keypoints) if name.split("_")[-1] in parts]


def put_in_front(sample: Sample, newcomer: Sample, mask: NDArray[np.uint8]) -> Sample:
    """Return ``sample`` with the people of ``newcomer`` in front of its own.

    Visible keypoints that the newcomer covers become hidden and keep their place.

    Args:
        sample: The scene so far.
        newcomer: A picture of the same size and its people.
        mask: (H, W) uint8, 255 where the newcomer is seen; its edge is softened by two pixels.
    """
    height, width = mask.shape
    softness = cv2.GaussianBlur(mask, (5, 5), 0)
    left, top, wide, tall = cv2.boundingRect(softness)
    part = np.s_[top : top + tall, left : left + wide]
    share = softness[part][..., None].astype(np.uint16)
    image = sample.image.copy()
    image[part] = (newcomer.image[part] * share + sample.image[part] * (255 - share) + 127) // 255
    x, y = np.clip(sample.keypoints, 0, (width - 1, height - 1)).astype(np.intp).transpose(2, 0, 1)
    covered = (mask[y, x] > 127) & (sample.flags == VISIBLE)
    below = replace(sample, flags=np.where(covered, np.int8(HIDDEN), sample.flags))
    return join(image, [below, newcomer])
