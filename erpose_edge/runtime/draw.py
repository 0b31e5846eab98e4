"""Draw skeletons on a picture so that they can be read at any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from erpose_edge.runtime.preprocess import checked_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.poses import Poses
    from erpose_edge.skeleton import Skeleton

# BGR. Orange and blue differ in brightness too and for every kind of colour blindness.
_LEFT = (40, 140, 255)
_RIGHT = (255, 170, 40)
_MIDDLE = (235, 235, 235)
_OUTLINE = (25, 25, 25)
_FAINTEST = 0.35  # opacity of a keypoint that the network takes for hidden
_SUBPIXEL = 4  # cv2 draws in units of 1/16 px


def draw_poses(image: NDArray[np.uint8], poses: Poses, skeleton: Skeleton) -> NDArray[np.uint8]:
    """Return a copy of a picture with skeletons on it.

    The person's left side is orange, the right side blue, the middle white. Lines grow with the
    person; what is likely hidden is fainter. The best pose is drawn last, on top.

    Args:
        image: BGR (H, W, 3).
        poses: In the picture's own pixels.
        skeleton: Names and limbs; as many keypoints as the poses have.

    Raises:
        ImageError: ``image`` is not such an array.
    """
    canvas: NDArray[np.uint8] = checked_image(image).copy()
    for person in reversed(range(len(poses))):
        points, visibility = poses.keypoints[person], poses.visibility[person]
        if np.isfinite(points).all():
            _draw_person(canvas, points, visibility, skeleton)
    return canvas


def _draw_person(
    canvas: NDArray[np.uint8],
    points: NDArray[np.float32],
    visibility: NDArray[np.float32],
    skeleton: Skeleton,
) -> None:
    width = _line_width(points, canvas.shape[:2])
    opacity = _FAINTEST + (1 - _FAINTEST) * np.clip(visibility, 0, 1)
    # Keypoints of a face lie close together: what is as wide as a limb would hide it.
    widths = [max(1, round(0.6 * width)) if _in_face(n) else width for n in skeleton.keypoints]
    for a, b in skeleton.limbs:
        colour = _limb_colour(skeleton.keypoints[a], skeleton.keypoints[b])
        narrow = min(widths[a], widths[b])
        _line(canvas, points[[a, b]], colour, narrow, float(min(opacity[a], opacity[b])))
    for index, name in enumerate(skeleton.keypoints):
        _dot(canvas, points[index], _side_colour(name), widths[index], float(opacity[index]))


def _line_width(points: NDArray[np.float32], size: tuple[int, int]) -> int:
    """Return the width of a limb in pixels: 2 % of the person, at least what a screen shows."""
    extent = float(np.hypot(*(points.max(axis=0) - points.min(axis=0))))
    thinnest = max(1.0, min(size) / 400)
    return round(min(max(0.018 * extent, thinnest), max(0.012 * max(size), 2.0)))


def _in_face(name: str) -> bool:
    return name.rpartition("_")[2] in ("nose", "eye", "ear")


def _side_colour(name: str) -> tuple[int, int, int]:
    return _LEFT if name.startswith("left_") else _RIGHT if name.startswith("right_") else _MIDDLE


def _limb_colour(a: str, b: str) -> tuple[int, int, int]:
    """Return the side's colour; a limb that crosses the body is white, one from the nose sided."""
    sides = {_side_colour(a), _side_colour(b)}
    return _MIDDLE if {_LEFT, _RIGHT} <= sides else next(iter(sides - {_MIDDLE}), _MIDDLE)


def _line(
    canvas: NDArray[np.uint8],
    ends: NDArray[np.float32],
    colour: tuple[int, int, int],
    width: int,
    opacity: float,
) -> None:
    region = _region(canvas, ends, 2 * width + 2)
    if region is None:
        return
    layer, corner = region
    drawn = layer.copy()
    start, end = (_fixed(point - corner) for point in ends)
    outline = width + max(2, width // 2)
    cv2.line(drawn, start, end, _OUTLINE, outline, cv2.LINE_AA, _SUBPIXEL)
    cv2.line(drawn, start, end, colour, width, cv2.LINE_AA, _SUBPIXEL)
    cv2.addWeighted(drawn, opacity, layer, 1 - opacity, 0, dst=layer)


def _dot(
    canvas: NDArray[np.uint8],
    point: NDArray[np.float32],
    colour: tuple[int, int, int],
    width: int,
    opacity: float,
) -> None:
    region = _region(canvas, point[None], 2 * width + 3)
    if region is None:
        return
    layer, corner = region
    drawn = layer.copy()
    centre = _fixed(point - corner)
    radius = 1.0 * width + 0.5
    for grown, fill in ((max(1.0, 0.35 * width), _OUTLINE), (0.0, colour)):
        cv2.circle(
            drawn, centre, round((radius + grown) * 2**_SUBPIXEL), fill, -1, cv2.LINE_AA, _SUBPIXEL
        )
    cv2.addWeighted(drawn, opacity, layer, 1 - opacity, 0, dst=layer)


def _region(
    canvas: NDArray[np.uint8], points: NDArray[np.float32], margin: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """Return the part of the canvas around some points and its corner; None outside of it."""
    size = np.array(canvas.shape[1::-1])
    # Far-off coordinates are cut before they become integers; cv2 clips what is left.
    low = np.clip(np.floor(points.min(axis=0)) - margin, 0, size).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + margin + 1, 0, size).astype(int)
    if (high <= low).any():
        return None
    return canvas[low[1] : high[1], low[0] : high[0]], low.astype(np.float32)


def _fixed(point: NDArray[np.float32]) -> tuple[int, int]:
    limit = 2**24  # cv2 takes 32-bit numbers
    x, y = np.clip(np.round(point * 2**_SUBPIXEL), -limit, limit)
    return int(x), int(y)
