"""Painting: figures made of rounded shapes, with light, folds and patterns, as cut-outs.

Every shape is the convex hull of some circles: two make a limb, one a ball, several a torso. Hulls
and fills run on integers (1/16 px), so the same figure gives the same pixels everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from erpose_edge.data.generated.dice import Dice, cos_sin

_SHIFT = 4
_ROUND = np.array([cos_sin(22.5 * i) for i in range(16)])
# Shadow on what lies behind, edge, body and lit side of a shape: (radius factor, move towards the
# light in radii, brightness as v/128).
_BANDS = ((1.16, -0.14, 86), (1.0, 0.0, 98), (0.74, 0.16, 126), (0.42, 0.34, 146))
# What an alpha of 0..255 leaves of the picture below, of 256.
_REST = np.array([256 - (alpha * 257 + 128) // 256 for alpha in range(256)], np.uint16)
_SMALL = 25_000  # px; smaller figures are painted twice as large and then reduced


@dataclass
class Material:
    """How the surface of some shapes looks.

    Attributes:
        colour: BGR.
        second: BGR of the pattern, or None for a plain surface.
        pattern: One of PATTERNS.
        period: Width of one repeat of the pattern, px of the picture.
        axis: Cosine and sine of the direction in which the pattern runs.
        rough: Strength of folds and grain, 0 (skin) to about 1.
    """

    colour: tuple[int, int, int]
    second: tuple[int, int, int] | None = None
    pattern: str = "stripes"
    period: float = 8.0
    axis: tuple[float, float] = (0.0, 1.0)
    rough: float = 0.3


PATTERNS = ("stripes", "thin", "checks", "plaid", "dots", "camouflage")


@dataclass
class Figure:
    """Shapes in painting order, back to front.

    Attributes:
        circles: (x, y, radius) in px of the picture, pixel centres at whole numbers.
        shapes: (first circle, end of its circles, material index, tag) of each shape.
        materials: What the shapes are made of.
        flat: Tags of shapes that get no light of their own (eyes, prints).
    """

    circles: list[tuple[float, float, float]] = field(default_factory=list)
    shapes: list[tuple[int, int, int, str]] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    flat: frozenset[str] = frozenset()

    def add(self, tag: str, material: int, *circles: tuple[float, float, float]) -> None:
        """Add the hull of these circles in front of the shapes so far."""
        start = len(self.circles)
        self.circles.extend(circles)
        self.shapes.append((start, len(self.circles), material, tag))


@dataclass(frozen=True)
class Cutout:
    """A painted figure.

    Attributes:
        left, top: Where its first column and row lie in the picture, px.
        bgr: uint8 (h, w, 3), already multiplied by its alpha.
        alpha: uint8 (h, w).
        part: uint8 (h * zoom, w * zoom), 1 + index of the shape seen at a pixel, 0 outside.
        zoom: How much larger ``part`` is than the picture, 1 or 2.
    """

    left: int
    top: int
    bgr: np.ndarray
    alpha: np.ndarray
    part: np.ndarray
    zoom: int

    def part_at(self, x: float, y: float) -> int:
        """Return 1 + index of the shape at a place of the picture, 0 where there is none."""
        column = int((x - self.left + 0.5) * self.zoom)
        row = int((y - self.top + 0.5) * self.zoom)
        if 0 <= row < self.part.shape[0] and 0 <= column < self.part.shape[1]:
            return int(self.part[row, column])
        return 0


def paint(
    figure: Figure, frame: tuple[int, int], light: tuple[float, float], dice: Dice
) -> Cutout | None:
    """Paint a figure.

    Args:
        figure: What to paint; at most 254 shapes.
        frame: Size of the picture (height, width); what lies outside is not painted.
        light: Unit vector towards the light in the picture (x right, y down).
        dice: Where folds and pattern offsets are drawn from.

    Returns:
        The cut-out, or None if nothing of it lies in the picture.
    """
    circles = np.array(figure.circles, dtype=np.float64).reshape(-1, 3)
    low = np.floor((circles[:, :2] - circles[:, 2:]).min(axis=0)).astype(int) - 1
    high = np.ceil((circles[:, :2] + circles[:, 2:]).max(axis=0)).astype(int) + 2
    left, top = max(0, int(low[0])), max(0, int(low[1]))
    right, bottom = min(frame[1], int(high[0])), min(frame[0], int(high[1]))
    if right <= left or bottom <= top:
        return None
    zoom = 2 if (right - left) * (bottom - top) < _SMALL else 1
    size = ((bottom - top) * zoom, (right - left) * zoom)
    part, shade = _draw(figure, _outlines(circles, (left, top), zoom, light), size)
    radius = float(np.median(circles[:, 2])) * zoom
    blur = 2 * min(10, max(1, int(radius * 0.3))) + 1
    shade = cv2.GaussianBlur(shade, (blur, blur), 0)
    bgra = _colour(figure, part, shade, zoom, dice)
    bgr, alpha = cv2.cvtColor(bgra, cv2.COLOR_BGRA2BGR), cv2.extractChannel(bgra, 3)
    return Cutout(left, top, bgr, alpha, part, zoom)


def _outlines(
    circles: np.ndarray, origin: tuple[int, int], zoom: int, light: tuple[float, float]
) -> np.ndarray:
    """Return the 16 outline points of every circle in every band, (4, N, 16, 2) int32, 1/16 px."""
    scale = zoom << _SHIFT
    centre = (circles[:, :2] - np.array(origin) + 0.5) * scale - 0.5 * (1 << _SHIFT)
    radius = circles[:, 2:] * scale
    bands = np.array(_BANDS)
    moved = centre[None] + bands[:, 1, None, None] * radius[None] * np.array(light)
    grown = bands[:, 0, None, None] * radius[None]
    outline = moved[:, :, None, :] + grown[:, :, None, :] * _ROUND
    # Far outside the picture coordinates no longer matter but would overflow in the fill.
    return np.rint(np.clip(outline, -1.0e6, 1.0e6)).astype(np.int32)


def _draw(
    figure: Figure, outlines: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    part = np.zeros(size, np.uint8)
    shade = np.full(size, 118, np.uint8)
    hull, fill = cv2.convexHull, cv2.fillConvexPoly
    for index, (start, end, _, tag) in enumerate(figure.shapes):
        points = outlines[:, start:end].reshape(len(_BANDS), -1, 2)
        edge = hull(points[1])
        fill(part, edge, index + 1, cv2.LINE_8, _SHIFT)
        if tag in figure.flat:
            fill(shade, edge, 128, cv2.LINE_8, _SHIFT)
            continue
        fill(shade, hull(points[0]), _BANDS[0][2], cv2.LINE_8, _SHIFT)
        fill(shade, edge, _BANDS[1][2], cv2.LINE_8, _SHIFT)
        fill(shade, hull(points[2]), _BANDS[2][2], cv2.LINE_8, _SHIFT)
        fill(shade, hull(points[3]), _BANDS[3][2], cv2.LINE_8, _SHIFT)
    return part, shade


def _colour(
    figure: Figure, part: np.ndarray, shade: np.ndarray, zoom: int, dice: Dice
) -> np.ndarray:
    """Look up colours, lay patterns, reduce by the zoom and multiply by light and folds.

    Returns:
        uint8 (h, w, 4), BGR multiplied by alpha, and alpha, in the size of the picture.
    """
    material_of = np.zeros(256, np.uint8)
    material_of[1 : len(figure.shapes) + 1] = [shape[2] + 1 for shape in figure.shapes]
    surface: np.ndarray = cv2.LUT(part, material_of)
    # One row a material, 128 further down its pattern; a row is read as one 32-bit number.
    table = np.zeros((256, 4), np.uint8)
    rough = np.zeros(256, np.int16)
    for index, material in enumerate(figure.materials):
        table[index + 1] = (*material.colour, 255)
        rough[index + 1] = rough[index + 129] = int(material.rough * 128)
        if material.second is not None:
            table[index + 129] = (*material.second, 255)
            mask = _pattern(material, part.shape, zoom, dice)
            mask &= surface == index + 1
            surface |= mask.view(np.uint8) << 7
    bgra: np.ndarray = (
        np.take(table.view(np.uint32).ravel(), surface).view(np.uint8).reshape(*part.shape, 4)
    )
    if zoom == 2:
        surface = np.ascontiguousarray(surface[::2, ::2])
        half = surface.shape[::-1]
        bgra = cv2.resize(bgra, half, interpolation=cv2.INTER_LINEAR_EXACT)
        shade = cv2.resize(shade, half, interpolation=cv2.INTER_LINEAR_EXACT)
    folds = dice.noise(surface.shape, "cloth").astype(np.int16)
    folds -= 128
    grain = dice.noise(surface.shape, "grain").astype(np.int16)
    grain -= 128
    grain >>= 1
    folds += grain
    folds *= rough[surface]
    folds >>= 7
    folds += shade
    light = np.clip(folds, 0, 255).astype(np.uint8)
    lit = np.multiply(bgra, cv2.merge((light, light, light, np.full_like(light, 128))), dtype="u2")
    lit >>= 7
    return np.minimum(lit, 255, out=lit).astype(np.uint8)


def _pattern(material: Material, size: tuple[int, int], zoom: int, dice: Dice) -> np.ndarray:
    """Return where the second colour of a pattern lies, bool (h, w)."""
    if material.pattern == "camouflage":
        return dice.noise(size, "cloth") > 132
    # Positions along and across the pattern, 256 steps to a repeat.
    step = 256 * 64 / max(2.0, material.period * zoom)
    along, across = round(material.axis[0] * step), round(material.axis[1] * step)
    x = np.arange(size[1], dtype=np.int32)[None]
    y = np.arange(size[0], dtype=np.int32)[:, None]
    u = ((x * along + y * across) >> 6) & 255
    if material.pattern == "stripes":
        return u < 128
    if material.pattern == "thin":
        return u < 50
    v = ((y * along - x * across) >> 6) & 255
    if material.pattern == "checks":
        return (u < 128) ^ (v < 128)
    if material.pattern == "plaid":
        return (u < 60) | (v < 60)
    return (u - 128) ** 2 + (v - 128) ** 2 < 64**2


def composite(image: np.ndarray, cutout: Cutout) -> None:
    """Lay a cut-out over a picture (uint8 BGR), in place."""
    height, width = cutout.alpha.shape
    view = image[cutout.top : cutout.top + height, cutout.left : cutout.left + width]
    rest = cv2.LUT(cutout.alpha, _REST)
    under = np.multiply(view, cv2.merge((rest, rest, rest)), dtype=np.uint16)
    under >>= 8
    under += cutout.bgr
    np.minimum(under, 255, out=under)
    view[:] = under
