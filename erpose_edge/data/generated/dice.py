"""Random draws, sines and noise that are the same bits on every platform.

Three rules keep a scene identical everywhere. Draws come from PCG64 and are turned into values with
IEEE operations that round correctly (+ - * / sqrt), never with ``exp`` or ``pow``. Sines and
cosines, whose last bit depends on the C library, come from a table of integers: ``round(sin *
2**14)``, 0.00003 coarse, so that no table entry can flip. Pictures are uint8 and are filtered only
by operations that OpenCV documents as bit-exact (GaussianBlur on uint8, INTER_LINEAR_EXACT) or by
integer arithmetic. Shapes are convex hulls and rectangles: OpenCV 4 and 5 fill those alike, but not
other polygons or thick lines (checked with 4.9 and 5.0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np

Item = TypeVar("Item")

_TURN = 4096
_ONE = 1 << 14
_COS = tuple(round(math.cos(2 * math.pi * i / _TURN) * _ONE) / _ONE for i in range(_TURN))
_FIELD = 1024


def cos_sin(degrees: float) -> tuple[float, float]:
    """Return cosine and sine of an angle, taken from the table (steps of 0.09 degrees)."""
    index = math.floor(degrees * (_TURN / 360.0) + 0.5) % _TURN
    return _COS[index], _COS[(index - _TURN // 4) % _TURN]


class Dice:
    """Draws from one PCG64 stream.

    Args:
        seed: A seed, or a generator whose stream is drawn from.
    """

    def __init__(self, seed: int | np.random.Generator) -> None:
        if not isinstance(seed, np.random.Generator):
            seed = np.random.Generator(np.random.PCG64(seed))
        self.generator = seed
        self._random = self.generator.random

    def between(self, low: float, high: float) -> float:
        """Draw a number, uniform in [low, high)."""
        return low + (high - low) * float(self._random())

    def whole(self, low: int, high: int) -> int:
        """Draw a whole number, uniform in low..high, both included."""
        return low + int(float(self._random()) * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Draw True with this probability."""
        return float(self._random()) < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """Draw one of the items, all equally likely."""
        return items[int(float(self._random()) * len(items))]

    def weighted(self, items: Sequence[tuple[Item, float]]) -> Item:
        """Draw one of (item, weight), in proportion to the weights."""
        left = self.between(0.0, sum(weight for _, weight in items))
        for item, weight in items:
            left -= weight
            if left < 0:
                return item
        return items[-1][0]

    def skewed(self, low: float, high: float) -> float:
        """Draw a number in [low, high), denser near ``low`` (density falls linearly)."""
        return low + (high - low) * min(float(self._random()), float(self._random()))

    def colour(self, low: int = 10, high: int = 245) -> tuple[int, int, int]:
        """Draw a BGR colour; most draws are muted towards grey, as in photographs."""
        values = [self.whole(low, high) for _ in range(3)]
        own = self.pick((1, 1, 2, 2, 4, 7))  # eighths of the colour that are not grey
        if own < 7:
            grey = self.whole(low, high)
            values = [(own * v + (8 - own) * grey) // 8 for v in values]
        return values[0], values[1], values[2]

    def raw_bytes(self, count: int) -> np.ndarray:
        """Draw ``count`` uint8 values, uniform in 0..255."""
        words = self.generator.bit_generator.random_raw((count + 7) // 8)
        return words.astype("<u8").view(np.uint8)[:count]

    def grid(self, rows: int, columns: int, size: tuple[int, int]) -> np.ndarray:
        """Draw a grid of uint8 values and enlarge it smoothly to ``size`` (height, width)."""
        cells = self.raw_bytes(rows * columns).reshape(rows, columns)
        return cv2.resize(cells, (size[1], size[0]), interpolation=cv2.INTER_LINEAR_EXACT)

    def noise(self, size: tuple[int, int], kind: str) -> np.ndarray:
        """Cut a window of one of the noise fields.

        Args:
            size: (height, width) of the window.
            kind: ``grain`` (per pixel), ``cloth`` (some pixels wide) or ``cloud`` (wide).

        Returns:
            uint8 array (height, width) around 128; a view where it fits, so read only.
        """
        field = _field(kind)
        rows, columns = -(-size[0] // _FIELD), -(-size[1] // _FIELD)
        top = self.whole(0, max(0, _FIELD - size[0]))
        left = self.whole(0, max(0, _FIELD - size[1]))
        if rows > 1 or columns > 1:
            field = np.tile(field, (rows, columns))
        return field[top : top + size[0], left : left + size[1]]


@lru_cache(maxsize=4)
def _field(kind: str) -> np.ndarray:
    dice = Dice({"grain": 11, "cloth": 12, "cloud": 13}[kind])
    size = (_FIELD, _FIELD)
    if kind == "grain":
        # The sum of four bytes is near enough to a normal distribution.
        four = dice.raw_bytes(4 * _FIELD * _FIELD).reshape(4, *size).astype(np.uint16)
        field = (four.sum(axis=0, dtype=np.uint16) >> 2).astype(np.uint8)
    else:
        cells = (160, 80, 40) if kind == "cloth" else (64, 20, 8)
        layers = [dice.grid(n, n, size).astype(np.uint16) for n in cells]
        field = ((layers[0] + 2 * layers[1] + 3 * layers[2]) // 6).astype(np.uint8)
    field.setflags(write=False)
    return field
