"""Charts as SVG text: axes, lines and dots, with colours and dashes left to the page's style.

A chart is 400 units wide, so that its text is still read on a phone. Series are told apart by
colour and, without colour, by dashes or by the form of their marks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 400
STYLES = 6  # forms and colours; a seventh series has the first one's again
MARKS = "●■▲◆▼✚"
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 26, 46
_HEIGHT = 270
_TICKS = 5
_MARK = 4.5
_LETTER = 8.0  # mean width of a letter of the page's style

Point = tuple[float, float | None]


@dataclass(frozen=True)
class Axis:
    """What an axis shows.

    Attributes:
        low: First value on it.
        high: Last one.
        label: Quantity, with its unit.
    """

    low: float
    high: float
    label: str

    @classmethod
    def over(cls, values: Iterable[float], label: str, *, zero: bool = False) -> Axis:
        """Return the axis that holds all of some values, and zero where that is asked for."""
        there = list(values)
        low, high = min(there, default=0.0), max(there, default=1.0)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        room = 0.05 * (high - low) or max(abs(high), 1.0) * 0.1
        return cls(low if zero else low - room, high + room, label)

    def ticks(self) -> list[tuple[float, str]]:
        """Return round values on the axis, with their text."""
        rough = (self.high - self.low) / _TICKS
        power = math.floor(math.log10(rough))
        step = next(s for s in (1, 2, 5, 10) if s * 10.0**power >= rough * 0.999) * 10.0**power
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(n * step, f"{n * step:.{digits}f}") for n in range(first, last + 1)]

    def part(self, value: float) -> float:
        """Return where a value is, 0 to 1."""
        return (value - self.low) / (self.high - self.low)


class Plot:
    """A chart that is being drawn: first its axes, then what is in them."""

    def __init__(
        self, x: Axis, y: Axis | None, *, height: int = _HEIGHT, left: int = _LEFT
    ) -> None:
        self._x, self._y, self._height, self._left = x, y, height, left
        self._top = _TOP if y is not None else 8
        self._parts: list[str] = []
        self._draw_axes()

    @property
    def _floor(self) -> float:
        return self._height - _BOTTOM

    def at_x(self, value: float) -> float:
        """Return where a value of the x axis is."""
        return self._left + self._x.part(value) * (WIDTH - self._left - _RIGHT)

    def at_y(self, value: float) -> float:
        """Return where a value of the y axis is; of a chart in rows, its own units."""
        if self._y is None:
            return value
        return self._floor - self._y.part(value) * (self._floor - self._top)

    def line(self, points: Sequence[Point], series: int, *, marked: bool = False) -> None:
        """Draw a line, with gaps where there is no value."""
        run: list[tuple[float, float]] = []
        runs = [run]
        for x, y in points:
            if y is None:
                run = []
                runs.append(run)
            else:
                run.append((self.at_x(x), self.at_y(y)))
        for part in runs:
            if len(part) > 1:
                text = " ".join(f"{x:.1f},{y:.1f}" for x, y in part)
                self._parts.append(f'<polyline class="line s{series % STYLES}" points="{text}"/>')
            for x, y in part if marked or len(part) == 1 else ():
                self._mark(x, y, series, 2.5)

    def dot(self, x: float, y: float, series: int) -> None:
        """Draw a mark at a value."""
        self._mark(self.at_x(x), self.at_y(y), series, _MARK)

    def span(self, low: float, high: float, y: float, series: int) -> None:
        """Draw an interval of the x axis."""
        a, b, at = self.at_x(low), self.at_x(high), self.at_y(y)
        self._parts.append(
            f'<path class="span s{series % STYLES}" d="M{a:.1f} {at:.1f}H{b:.1f}'
            f'M{a:.1f} {at - 5:.1f}v10M{b:.1f} {at - 5:.1f}v10"/>'
        )

    def upright(self, x: float, low: float, high: float, series: int) -> None:
        """Draw an interval of the y axis."""
        at, a, b = self.at_x(x), self.at_y(low), self.at_y(high)
        self._parts.append(
            f'<path class="span s{series % STYLES}" d="M{at:.1f} {a:.1f}V{b:.1f}'
            f'M{at - 5:.1f} {a:.1f}h10M{at - 5:.1f} {b:.1f}h10"/>'
        )

    def path(self, points: Sequence[tuple[float, float]]) -> None:
        """Draw a faint line that belongs to no series."""
        text = " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in points)
        self._parts.append(f'<polyline class="front" points="{text}"/>')

    def text(self, x: float, y: float, words: str, *, room: float, end: bool = False) -> None:
        """Write words at a place of the picture, shortened to ``room`` units."""
        letters = int(room / _LETTER)
        shown = words if len(words) <= letters else f"{words[: letters - 1]}…"
        anchor = ' text-anchor="end"' if end else ""
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{anchor}>{escape(shown)}</text>')

    def svg(self, name: str, title: str, description: str) -> str:
        """Return the chart, which a screen reader calls by its title.

        Args:
            name: Unique on the page.
            title: What it shows.
            description: What is seen in it.
        """
        return (
            f'<svg role="img" aria-labelledby="{name}-title {name}-desc" '
            f'viewBox="0 0 {WIDTH} {self._height}"><title id="{name}-title">{escape(title)}</title>'
            f'<desc id="{name}-desc">{escape(description)}</desc>{"".join(self._parts)}</svg>'
        )

    def _draw_axes(self) -> None:
        right, floor = WIDTH - _RIGHT, self._floor
        for value, text in self._x.ticks():
            at, half = self.at_x(value), len(text) * _LETTER / 2
            middle = min(max(at, half), WIDTH - half)
            self._parts.append(
                f'<path class="grid" d="M{at:.1f} {self._top}V{floor}"/>'
                f'<text x="{middle:.1f}" y="{floor + 18}" text-anchor="middle">{text}</text>'
            )
        middle = (self._left + right) / 2
        self._parts.append(
            f'<text x="{middle:.0f}" y="{floor + 38}" text-anchor="middle">'
            f"{escape(self._x.label)}</text>"
        )
        if self._y is not None:
            self._parts.append(f'<text x="4" y="15">{escape(self._y.label)}</text>')
        for value, text in [] if self._y is None else self._y.ticks():
            at = self.at_y(value)
            self._parts.append(
                f'<path class="grid" d="M{self._left} {at:.1f}H{right}"/>'
                f'<text x="{self._left - 5}" y="{at + 5:.1f}" text-anchor="end">{text}</text>'
            )
        self._parts.append(f'<path class="axis" d="M{self._left} {self._top}V{floor}H{right}"/>')

    def _mark(self, x: float, y: float, series: int, size: float) -> None:
        form, s = series % STYLES, size
        path = (
            f"M{x - s:.1f} {y:.1f}a{s} {s} 0 1 0 {2 * s} 0a{s} {s} 0 1 0 {-2 * s} 0z",
            f"M{x - s:.1f} {y - s:.1f}h{2 * s}v{2 * s}h{-2 * s}z",
            f"M{x - s:.1f} {y + s:.1f}l{s} {-2 * s}l{s} {2 * s}z",
            f"M{x - s:.1f} {y:.1f}l{s} {-s}l{s} {s}l{-s} {s}z",
            f"M{x - s:.1f} {y - s:.1f}l{s} {2 * s}l{s} {-2 * s}z",
            f"M{x - s:.1f} {y - 1:.1f}h{2 * s}v2h{-2 * s}zM{x - 1:.1f} {y - s:.1f}h2v{2 * s}h-2z",
        )[form]
        self._parts.append(f'<path class="mark s{form}" d="{path}"/>')
