"""Backgrounds: rooms, streets, landscapes, clutter and plain noise, without any person."""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

from erpose_edge.data.generated.dice import Dice

Colour = Tuple[int, int, int]
KINDS = (
    ("room", 3), ("street", 3), ("nature", 3), ("clutter", 2.5), ("noise", 1), ("plain", 0.7),
)  # fmt: skip


def paint_background(dice: Dice, size: tuple[int, int], horizon: int) -> np.ndarray:
    """Paint a picture without people.

    Args:
        dice: Where it is drawn from.
        size: (height, width).
        horizon: Row in which ground and sky (or wall) meet; may lie outside the picture.

    Returns:
        uint8 BGR (height, width, 3).
    """
    kind = dice.weighted(KINDS)
    floor = min(max(horizon + dice.whole(0, size[0] // 6), 1), size[0] - 1)
    image = np.empty((*size, 3), np.uint8)
    if kind == "noise":
        image[:] = _noise(dice, size)
    elif kind in ("clutter", "plain"):
        _fill(dice, image, dice.colour(), dice.colour())
    else:
        upper, lower = _COLOURS[kind](dice)
        _fill(dice, image[:floor], *upper)
        _fill(dice, image[floor:], *lower)
    if kind == "clutter":
        _leaves(dice, image, dice.whole(40, 160))
    elif kind == "room":
        _room(dice, image, floor)
    elif kind == "street":
        _street(dice, image, floor)
    elif kind == "nature":
        _hills(dice, image, floor)
    _texture(dice, image)
    return image


def _tint(dice: Dice, *colours: Colour) -> tuple[Colour, Colour]:
    b, g, r = dice.pick(colours)
    step = dice.whole(-30, 30)
    return (b, g, r), (max(0, min(255, b + step)), max(0, min(255, g + step)), min(255, r))


_COLOURS = {
    "room": lambda dice: ((dice.colour(60), dice.colour(60)), (dice.colour(), dice.colour())),
    "street": lambda dice: (
        _tint(dice, (235, 206, 170), (220, 220, 220), (90, 60, 40), (250, 240, 230)),
        _tint(dice, (110, 110, 112), (80, 82, 84), (140, 150, 160), (60, 58, 56)),
    ),
    "nature": lambda dice: (
        _tint(dice, (240, 200, 150), (225, 220, 215), (200, 210, 245), (120, 90, 70)),
        _tint(dice, (50, 120, 80), (60, 140, 120), (150, 190, 215), (240, 240, 240), (70, 90, 120)),
    ),
}


def _fill(dice: Dice, view: np.ndarray, first: Colour, second: Colour) -> None:
    """Fill with a gradient from one colour to another, downwards or sideways."""
    down = dice.chance(0.6)
    count = view.shape[0] if down else view.shape[1]
    if count == 0:
        return
    t = (np.arange(count, dtype=np.int32) * 256 // count)[:, None]
    ramp = ((np.array(first, np.int32) * (256 - t) + np.array(second, np.int32) * t) >> 8).astype(
        np.uint8
    )
    view[:] = ramp[:, None] if down else ramp[None]


def _noise(dice: Dice, size: tuple[int, int]) -> np.ndarray:
    """Smooth colour noise of one scale, the three channels alike to a random degree."""
    cells = dice.whole(2, 24)
    cells_wide = max(2, cells * size[1] // size[0])
    grid = dice.raw_bytes(cells * cells_wide * 3).reshape(cells, cells_wide, 3).astype(np.uint16)
    grey = dice.whole(0, 3)
    grid = ((grid * (4 - grey) + grid[:, :, :1] * grey) >> 2).astype(np.uint8)
    return cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_LINEAR_EXACT)


def _texture(dice: Dice, image: np.ndarray) -> None:
    """Add noise of three scales, each of its own strength, to the whole picture."""
    size = image.shape[:2]
    total = np.zeros(size, np.int16)
    for kind, most in (("cloud", 28), ("cloth", 24), ("grain", 20)):
        strength = int(dice.skewed(0, most))
        layer = dice.noise(size, kind).astype(np.int16)
        layer -= 128
        layer *= strength
        layer >>= 5
        total += layer
    _add(image, total)


def _add(view: np.ndarray, noise: np.ndarray) -> None:
    """Add an int16 layer to all three channels, in place."""
    plus = np.clip(noise, 0, 255).astype(np.uint8)
    minus = np.clip(-noise, 0, 255).astype(np.uint8)
    cv2.add(view, cv2.merge((plus, plus, plus)), dst=view)
    cv2.subtract(view, cv2.merge((minus, minus, minus)), dst=view)


def _rectangle(image: np.ndarray, box: tuple[float, float, float, float], colour: Colour) -> None:
    x0, y0, x1, y1 = (int(v) for v in box)
    cv2.rectangle(image, (x0, y0), (x1, y1), colour, cv2.FILLED, cv2.LINE_8)


def _stroke(
    image: np.ndarray, start: tuple[int, int], end: tuple[int, int], wide: int, colour: Colour
) -> None:
    """Draw a straight line ``wide`` px wide.

    Not ``cv2.line``: OpenCV 4 and 5 draw lines of more than one pixel differently.
    """
    dx, dy = end[0] - start[0], end[1] - start[1]
    long = (dx * dx + dy * dy) ** 0.5
    if long == 0:
        return
    side = np.array((-dy, dx)) * (max(wide, 1) / (2 * long))
    corners = (start - side, start + side, end + side, end - side)
    points = np.rint(np.array(corners) * 16).astype(np.int32)
    cv2.fillConvexPoly(image, points, colour, cv2.LINE_8, 4)


def _leaves(dice: Dice, image: np.ndarray, count: int) -> None:
    """Lay polygons over each other, many small and few large: the dead-leaves model.

    Ref: Lee, Mumford and Huang, "Occlusion models for natural images", IJCV 2001.
    """
    height, width = image.shape[:2]
    for _ in range(count):
        share = dice.between(0.1, 1.0)
        radius = 0.022 * height / share  # Sizes fall with the square, as in photographs.
        x, y = dice.between(0, width), dice.between(0, height)
        corners = dice.whole(3, 8)
        stretch = dice.between(0.3, 1.0)
        unit = dice.raw_bytes(2 * corners).reshape(-1, 2).astype(np.float64) / 127.5 - 1.0
        points = np.array((x, y)) + unit * (radius, radius * stretch)
        hull = cv2.convexHull(np.rint(points * 16).astype(np.int32))
        cv2.fillConvexPoly(image, hull, dice.colour(), cv2.LINE_8, 4)


def _room(dice: Dice, image: np.ndarray, floor: int) -> None:
    height, width = image.shape[:2]
    _rectangle(image, (0, floor, width, floor + height * 0.012), dice.colour())
    if dice.chance(0.4):  # Wallpaper or tiles.
        gap = dice.whole(max(3, height // 40), max(4, height // 8))
        colour = dice.colour()
        for x in range(dice.whole(0, gap), width, gap):
            _stroke(image, (x, 0), (x, floor), 1 + gap // 12, colour)
        if dice.chance(0.5):
            for y in range(dice.whole(0, gap), floor, gap):
                _stroke(image, (0, y), (width, y), 1 + gap // 12, colour)
    for _ in range(dice.whole(1, 5)):  # Pictures, windows, shelves, doors.
        left, top = dice.between(-0.1, 1.0) * width, dice.between(-0.1, 0.8) * floor
        w, h = dice.between(0.06, 0.35) * width, dice.between(0.08, 0.6) * height
        bottom = min(top + h, floor)
        rim = 0.012 * height
        _rectangle(image, (left - rim, top - rim, left + w + rim, bottom + rim), dice.colour())
        _rectangle(image, (left, top, left + w, bottom), dice.colour())
        if dice.chance(0.5):
            _shelf(dice, image, (left, top, left + w, bottom))
    for _ in range(dice.whole(0, 3)):  # Boards of the floor.
        x = dice.whole(-width, 2 * width)
        above = (width // 2, floor - height // 3)
        _stroke(image, above, (x, height), 1, dice.colour())


def _shelf(dice: Dice, image: np.ndarray, box: tuple[float, float, float, float]) -> None:
    """Fill a rectangle with rows of narrow upright things."""
    left, top, right, bottom = box
    rows = dice.whole(1, 4)
    step = (bottom - top) / rows
    if step < 4 or right - left < 8:
        return
    for row in range(rows):
        x, base = left, top + (row + 1) * step - 2
        while x < right - 2:
            wide = (right - left) * dice.between(0.04, 0.16) + 1
            high = step * dice.between(0.4, 0.95)
            if dice.chance(0.8):
                _rectangle(image, (x, base - high, min(x + wide, right), base), dice.colour())
            x += wide + 1


def _street(dice: Dice, image: np.ndarray, floor: int) -> None:
    height, width = image.shape[:2]
    x = -width * dice.between(0.0, 0.2)
    while x < width:
        wide = width * dice.between(0.12, 0.5)
        top = floor - height * dice.between(0.1, 0.9)
        wall = dice.colour(40)
        _rectangle(image, (x, top, x + wide, floor), wall)
        _windows(dice, image, (x, max(top, -height * 0.1), x + wide, floor))
        x += wide * dice.between(0.9, 1.4)
    if dice.chance(0.7):  # Kerb and lines on the road.
        _rectangle(image, (0, floor, width, floor + height * 0.02), dice.colour(80))
        for _ in range(dice.whole(1, 4)):
            a, b = dice.whole(-width, 2 * width), dice.whole(0, width)
            thick = 1 + height // dice.whole(60, 200)
            _stroke(image, (b, floor), (a, height), thick, dice.colour(120))


def _windows(dice: Dice, image: np.ndarray, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box
    gap = image.shape[0] * dice.between(0.05, 0.16)
    wide, high = gap * dice.between(0.35, 0.8), gap * dice.between(0.35, 0.9)
    colour = dice.colour()
    y = top + gap * 0.3
    while y + high < bottom:
        x = left + gap * 0.2
        while x + wide < right:
            _rectangle(image, (x, y, x + wide, y + high), colour)
            x += gap
        y += gap * 1.1


def _hills(dice: Dice, image: np.ndarray, floor: int) -> None:
    height, width = image.shape[:2]
    for layer in range(dice.whole(0, 3)):
        colour = (dice.whole(40, 140), dice.whole(70, 150), dice.whole(40, 130))
        crest = floor - height * dice.between(0.02, 0.3) / (layer + 1)
        ridge = [min(floor, int(crest + height * dice.between(-0.06, 0.06))) for _ in range(7)]
        for i in range(6):  # Convex pieces: OpenCV 4 and 5 fill other polygons differently.
            left, right = width * i // 6, width * (i + 1) // 6
            piece = [(left, floor), (left, ridge[i]), (right, ridge[i + 1]), (right, floor)]
            cv2.fillConvexPoly(image, np.array(piece, np.int32), colour, cv2.LINE_8)
    for _ in range(dice.whole(0, 40)):  # Tufts and stones.
        x, y = dice.whole(0, width), dice.whole(floor, height)
        tall = 2 + (y - floor) // 8
        lean = dice.whole(-tall // 2, tall // 2)
        _stroke(image, (x, y), (x + lean, y - tall), 1, dice.colour(20, 160))
    if dice.chance(0.3):
        _leaves(dice, image[:floor], dice.whole(10, 40))
