"""One training image with its people, and what an affine map does to both."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.runtime.preprocess import PADDING
from erpose_edge.skeleton import Skeleton

UNLABELLED, HIDDEN, VISIBLE, OUTSIDE = 0, 1, 2, -1  # flags; the first three are COCO's
_SMALLEST_AREA = 64.0  # square pixels; smaller people are ignored, neither person nor background


@dataclass(frozen=True)
class Sample:
    """An image and its people.

    Attributes:
        image: BGR uint8 (H, W, 3).
        keypoints: x and y in pixels of ``image`` (N, K, 2) float32.
        flags: (N, K) int8: VISIBLE, HIDDEN, UNLABELLED (nothing is known), OUTSIDE (it is known
            to lie outside the picture).
        boxes: x0, y0, x1, y1 in pixels of ``image`` (N, 4) float32.
        areas: Square pixels (N,) float32.
        ignored: True for people that are neither person nor background (N,).
    """

    image: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    flags: NDArray[np.int8]
    boxes: NDArray[np.float32]
    areas: NDArray[np.float32]
    ignored: NDArray[np.bool_]


def sample_of(image: NDArray[np.uint8], labels: ImageLabels, *, complete: bool) -> Sample:
    """Return ``labels`` as a sample.

    Args:
        image: BGR uint8 (H, W, 3).
        labels: Its labels.
        complete: True where flag 0 means outside the picture (generated people), False where it
            means unlabelled.
    """
    boxes = labels.boxes.astype(np.float32).reshape(-1, 4).copy()
    boxes[:, 2:] += boxes[:, :2]
    flags = labels.keypoints[..., 2].astype(np.int8)
    if complete:
        flags = np.where(flags == UNLABELLED, np.int8(OUTSIDE), flags)
    return Sample(
        image=image,
        keypoints=labels.keypoints[..., :2].astype(np.float32),
        flags=flags,
        boxes=boxes,
        areas=labels.areas.astype(np.float32),
        ignored=labels.ignore.astype(bool),
    )


def warp(
    sample: Sample, matrix: NDArray[np.float64], size: tuple[int, int], skeleton: Skeleton
) -> Sample:
    """Return ``sample`` under an affine map; people that leave the picture are dropped.

    Args:
        sample: Image and people.
        matrix: (2, 3), from source to output pixels; a negative determinant mirrors, and then
            left and right keypoints swap.
        size: (height, width) of the output.
        skeleton: Of the keypoints.
    """
    height, width = size
    image = cv2.warpAffine(
        sample.image,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderValue=(PADDING, PADDING, PADDING),
    )
    linear, shift = matrix[:, :2], matrix[:, 2]
    determinant = float(np.linalg.det(linear))
    keypoints = (sample.keypoints @ linear.T + shift).astype(np.float32)
    flags = sample.flags
    if determinant < 0:
        mirror = np.asarray(skeleton.mirror)
        keypoints, flags = keypoints[:, mirror], flags[:, mirror]
    x0, y0, x1, y1 = sample.boxes.T
    corners = np.stack([x0, y0, x1, y0, x1, y1, x0, y1], -1).reshape(-1, 4, 2) @ linear.T + shift
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1).astype(np.float32)
    moved = replace(
        sample,
        image=np.asarray(image, np.uint8),
        keypoints=keypoints,
        flags=flags,
        boxes=boxes,
        areas=(sample.areas * abs(determinant)).astype(np.float32),
    )
    return clip_people(moved, (0.0, 0.0, float(width), float(height)))


def shrink(sample: Sample, size: tuple[int, int]) -> Sample:
    """Return ``sample`` with its image averaged down to ``size`` (height, width) in pixels."""
    height, width = sample.image.shape[:2]
    if size == (height, width):
        return sample
    scale = np.array([size[1] / width, size[0] / height])

    def moved(points: NDArray[np.float32]) -> NDArray[np.float32]:
        # Pixel centres lie at whole numbers, and it is the pictures' edges that meet.
        return ((points + 0.5) * scale - 0.5).astype(np.float32)

    image = cv2.resize(sample.image, size[::-1], interpolation=cv2.INTER_AREA)
    return replace(
        sample,
        image=np.asarray(image, np.uint8),
        keypoints=moved(sample.keypoints),
        boxes=moved(sample.boxes.reshape(-1, 2, 2)).reshape(-1, 4),
        areas=(sample.areas * scale.prod()).astype(np.float32),
    )


def clip_people(sample: Sample, window: tuple[float, float, float, float]) -> Sample:
    """Return ``sample`` with its people cut to a window of the picture.

    Keypoints outside become OUTSIDE, people without anything inside are dropped, people without
    a labelled keypoint or too small to see are ignored.

    Args:
        sample: Image and people.
        window: x0, y0, x1, y1 in pixels.
    """
    low, high = np.array(window[:2], np.float32), np.array(window[2:], np.float32)
    inside = ((sample.keypoints >= low) & (sample.keypoints < high)).all(-1)
    known = sample.flags != UNLABELLED
    flags = np.where(known & ~inside, np.int8(OUTSIDE), sample.flags)
    boxes = np.concatenate(
        [np.clip(sample.boxes[:, :2], low, high), np.clip(sample.boxes[:, 2:], low, high)], 1
    )
    kept = (boxes[:, 2:] - boxes[:, :2] > 1).all(1)
    ignored = sample.ignored | ~(flags > 0).any(1) | (sample.areas < _SMALLEST_AREA)
    return Sample(
        image=sample.image,
        keypoints=sample.keypoints[kept],
        flags=flags[kept],
        boxes=boxes[kept].astype(np.float32),
        areas=sample.areas[kept],
        ignored=ignored[kept],
    )


def join(image: NDArray[np.uint8], parts: list[Sample]) -> Sample:
    """Return one sample that shows ``image`` and holds the people of all ``parts``."""
    return Sample(
        image=image,
        keypoints=np.concatenate([p.keypoints for p in parts]),
        flags=np.concatenate([p.flags for p in parts]),
        boxes=np.concatenate([p.boxes for p in parts]),
        areas=np.concatenate([p.areas for p in parts]),
        ignored=np.concatenate([p.ignored for p in parts]),
    )
