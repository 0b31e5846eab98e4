"""Pictures of people who stand on a meadow, for tests of what is cut out and pasted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from erpose_edge.data.pasting import silhouette
from erpose_edge.data.sample import VISIBLE
from erpose_edge.metrics.image_labels import ImageLabels
from erpose_edge.skeleton import COCO_17

SIZE = (240, 320)
# A person of height 1 that stands upright, its feet at (0, 0); COCO-17 order.
POSE = np.array([
    (0, -.93), (.02, -.95), (-.02, -.95), (.04, -.94), (-.04, -.94),
    (.1, -.8), (-.1, -.8), (.13, -.65), (-.13, -.65), (.14, -.5), (-.14, -.5),
    (.07, -.5), (-.07, -.5), (.07, -.27), (-.07, -.27), (.07, -.04), (-.07, -.04),
])  # fmt: skip
_COLOURS = ((40, 40, 200), (200, 60, 30), (30, 160, 40), (180, 40, 160), (20, 140, 200), (90, 9, 9))


def standing(*places: tuple[float, float, float], image_id: int = 1) -> ImageLabels:
    """Return labels of people of (x, y) of the feet and height in pixels, everything visible."""
    keypoints = np.full((len(places), 17, 3), VISIBLE, np.float32)
    boxes = np.zeros((len(places), 4), np.float32)
    for row, (x, y, height) in enumerate(places):
        keypoints[row, :, :2] = POSE * height + (x, y)
        boxes[row] = x - 0.25 * height, y - height, 0.5 * height, height
    return ImageLabels(
        image_id=image_id,
        file_name=f"{image_id}.png",
        width=SIZE[1],
        height=SIZE[0],
        keypoints=keypoints,
        boxes=boxes,
        areas=0.53 * boxes[:, 2:].astype(np.float64).prod(1),
        ignore=np.zeros(len(places), bool),
        annotation_ids=10 * image_id + np.arange(len(places)),
    )


def body(labels: ImageLabels, person: int) -> NDArray[np.bool_]:
    """Return where a person is seen, (H, W)."""
    thickness = int(0.2 * np.sqrt(labels.areas[person]))
    points = labels.keypoints[person, :, :2]
    return silhouette(SIZE, points, np.ones(17, bool), thickness, COCO_17) > 0


def picture(labels: ImageLabels) -> NDArray[np.uint8]:
    """Return a bluish meadow with noise, and people of one colour each."""
    rng = np.random.default_rng(labels.image_id)
    image = np.full((*SIZE, 3), (190, 200, 150), np.float64)
    for person in range(len(labels)):
        image[body(labels, person)] = _COLOURS[(labels.image_id + person) % len(_COLOURS)]
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def write_photographs(folder: Path) -> list[ImageLabels]:
    """Write six pictures with two people each, apart from each other; return their labels."""
    images = [standing((80, 220, 130), (240, 200, 110), image_id=i) for i in range(1, 7)]
    for labels in images:
        cv2.imwrite(str(folder / labels.file_name), picture(labels))
    return images
