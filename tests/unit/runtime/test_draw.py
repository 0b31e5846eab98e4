from __future__ import annotations

import numpy as np
import pytest

from erpose_edge.errors import ImageError
from erpose_edge.runtime.draw import draw_poses
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17, CROWDPOSE_14, Skeleton


def _standing(skeleton: Skeleton, size: float, at: tuple[float, float]) -> np.ndarray:
    heights = {"nose": 0.05, "eye": 0.03, "ear": 0.04, "top_head": 0.0, "neck": 0.15,
               "shoulder": 0.2, "elbow": 0.35, "wrist": 0.5, "hip": 0.5, "knee": 0.75,
               "ankle": 1.0}  # fmt: skip
    points = []
    for name in skeleton.keypoints:
        side = 0.1 if name.startswith("left_") else -0.1 if name.startswith("right_") else 0
        part = name.removeprefix("left_").removeprefix("right_")
        points.append((at[0] + side * size, at[1] + heights[part] * size))
    return np.array(points, np.float32)


def _poses(points: np.ndarray, visibility: float = 1.0) -> Poses:
    return Poses(
        np.array([0.9], np.float32), points[None], np.full((1, len(points)), visibility, np.float32)
    )


@pytest.mark.parametrize("skeleton", [COCO_17, CROWDPOSE_14])
@pytest.mark.parametrize("size", [30, 400, 3000])
def test_every_keypoint_and_limb_is_drawn_and_grows_with_the_picture(skeleton, size):
    image = np.full((size, size, 3), 90, np.uint8)
    points = _standing(skeleton, 0.8 * size, (0.5 * size, 0.1 * size))
    drawn = draw_poses(image, _poses(points), skeleton)
    changed = (drawn != image).any(axis=2)
    for x, y in points:
        assert changed[round(float(y)), round(float(x))]
    for a, b in skeleton.limbs:
        x, y = (points[a] + points[b]) / 2
        assert changed[round(float(y)), round(float(x))]
    assert 0.01 < changed.mean() < 0.5


def test_the_picture_itself_is_not_changed():
    image = np.zeros((100, 100, 3), np.uint8)
    draw_poses(image, _poses(_standing(COCO_17, 80, (50, 10))), COCO_17)
    assert not image.any()


def test_left_is_orange_and_right_is_blue():
    image = np.zeros((400, 400, 3), np.uint8)
    points = _standing(COCO_17, 300, (200, 40))
    drawn = draw_poses(image, _poses(points), COCO_17)
    for side, channel in (("left", 2), ("right", 0)):
        x, y = points[COCO_17.keypoints.index(f"{side}_knee")]
        assert drawn[round(float(y)), round(float(x))].argmax() == channel


def test_the_hidden_is_fainter_than_the_visible_and_still_there():
    image = np.zeros((400, 400, 3), np.uint8)
    points = _standing(COCO_17, 300, (200, 40))
    sums = [float(draw_poses(image, _poses(points, v), COCO_17).sum()) for v in (0, 0.5, 1)]
    assert 0 < sums[0] < sums[1] < sums[2]


@pytest.mark.parametrize("at", [(-5000.0, 50.0), (1e30, 1e30), (99.0, 99.0), (np.nan, 1.0)])
def test_keypoints_outside_of_the_picture_do_no_harm(at):
    image = np.zeros((100, 100, 3), np.uint8)
    points = _standing(COCO_17, 80, (50, 10))
    points[9] = at
    assert draw_poses(image, _poses(points), COCO_17).shape == image.shape


def test_nobody_leaves_the_picture_as_it_is():
    image = np.full((50, 50, 3), 7, np.uint8)
    assert np.array_equal(draw_poses(image, Poses.nobody(17), COCO_17), image)
    with pytest.raises(ImageError):
        draw_poses(image[..., 0], Poses.nobody(17), COCO_17)
