"""The charts of a report that compare artifacts: trade-off, accuracy, distribution of times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.deploy.report.svg import MARKS, STYLES, WIDTH, Axis, Plot
from erpose_edge.deploy.report.table import Table, ap, number
from erpose_edge.validate.latency.packing import unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from erpose_edge.deploy.report.entries import Entry

_SHOWN = 99.5  # percent of the frames that a distribution shows; the table has the longest
_STEPS = 200
_ROW, _NAMED_ROW = 24, 38
_LANES = 16  # height of a row in which its marks are
_GUTTER = 120
_PERCENTILES = (1, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)


@dataclass(frozen=True)
class Key:
    """What a series looks like: the number of its style, its mark, and whether it is a line."""

    label: str
    style: int
    mark: str
    line: bool


@dataclass(frozen=True)
class Chart:
    """A chart with its numbers.

    Attributes:
        name: Unique on the page.
        title: What it shows.
        svg: The picture.
        keys: Which series is which.
        table: Its numbers.
        notes: What to know of it, a line each.
    """

    name: str
    title: str
    svg: str
    keys: Sequence[Key]
    table: Table
    notes: Sequence[str] = ()


def key(label: str, series: int, *, line: bool = False) -> Key:
    """Return how a series looks."""
    return Key(label, series % STYLES, MARKS[series % STYLES], line)


def trade_off(name: str, entries: Sequence[Entry]) -> Chart | None:
    """Return accuracy over latency, on the same data; None for fewer than two artifacts."""
    points = []
    ends: dict[str, Sequence[float] | None] = {}
    for entry in entries:
        if entry.latency is not None and entry.accuracy is not None:
            p50 = entry.latency["turns"]["end_to_end_ms"]["p50"]
            points.append((entry, p50, entry.accuracy["ap"]))
            ends[entry.label] = entry.accuracy["intervals"]["ap"]
    if len(points) < 2:
        return None
    plot = Plot(
        Axis.over([ms for _, ms, _ in points], "end to end, p50 (ms)", zero=True),
        Axis.over(
            [v for e, _, value in points for v in (value, *(ends[e.label] or ()))],
            "AP, with its interval",
        ),
    )
    front = [p for p in points if not any(_better(other, p) for other in points)]
    plot.path(sorted((ms, value) for _, ms, value in front))
    for entry, ms, value in points:
        pair = ends[entry.label]
        if pair is not None:
            plot.upright(ms, pair[0], pair[1], entry.series)
        plot.dot(ms, value, entry.series)
    best = [entry.label for entry, *_ in front]
    rows = [
        [
            entry.label,
            number(ms, 4),
            ap(value),
            *(number(end, 4) for end in ends[entry.label] or (None, None)),
            "yes" if entry.label in best else "no",
        ]
        for entry, ms, value in points
    ]
    headers = ["artifact", "end to end p50 (ms)", "AP", "AP from", "AP to", "on the front"]
    title = "Accuracy over latency"
    seen = f"Up and left is better. No other is both faster and better than: {', '.join(best)}."
    seen = seen if len(best) > 1 else f"{best[0]} is both the fastest and the best."
    return Chart(
        name,
        title,
        plot.svg(name, title, f"AP over end-to-end latency of {len(points)} artifacts. {seen}"),
        [key(entry.label, entry.series) for entry, *_ in points],
        Table(title, headers, rows),
        [seen, "Where intervals overlap, other images may order the artifacts otherwise."],
    )


def accuracies(name: str, entries: Sequence[Entry]) -> Chart | None:
    """Return AP with its interval, an artifact a row."""
    found = [(entry, entry.accuracy) for entry in entries if entry.accuracy is not None]
    if not found:
        return None
    ends = [each["intervals"]["ap"] or [each["ap"]] for _, each in found]
    level = round(100 * found[0][1]["bootstrap"]["level"])
    plot = Plot(
        Axis.over([end for pair in ends for end in pair], f"AP with its {level} % interval"),
        None,
        height=_NAMED_ROW * len(found) + 62,
        left=12,
    )
    rows = []
    for place, (entry, each) in enumerate(found):
        y = 24 + _NAMED_ROW * place
        plot.text(14, y, entry.label, room=WIDTH - 30)
        pair = each["intervals"]["ap"]
        if pair is not None:
            plot.span(pair[0], pair[1], y + 13, entry.series)
        plot.dot(each["ap"], y + 13, entry.series)
        shown = [number(end, 4) for end in pair or (None, None)]
        rows.append([entry.label, ap(each["ap"]), *shown])
    title = "AP and how sure it is"
    return Chart(
        name,
        title,
        plot.svg(name, title, f"AP of {len(found)} artifacts, each with its interval."),
        [],
        Table(title, ["artifact", "AP", "from", "to"], rows),
        ["The interval is that of one network on other images of the same kind."],
    )


def keypoints(name: str, entries: Sequence[Entry]) -> Chart | None:
    """Return the AP of every keypoint, a keypoint a row."""
    found = [(entry, entry.accuracy["per_keypoint_ap"]) for entry in entries if entry.accuracy]
    if not found:
        return None
    names = list(dict.fromkeys(point for _, each in found for point in each))
    plot = Plot(
        Axis(0.0, 1.0, "AP of the keypoint"), None, height=_ROW * len(names) + 66, left=_GUTTER
    )
    rows = []
    for place, point in enumerate(names):
        y = 22 + _ROW * place
        plot.text(_GUTTER - 8, y + 5, point.replace("_", " "), room=_GUTTER - 8, end=True)
        values = [each.get(point) for _, each in found]
        for lane, ((entry, _), value) in enumerate(zip(found, values, strict=True)):
            if value is not None and value >= 0:
                plot.dot(value, y + _LANES * ((lane + 0.5) / len(found) - 0.5), entry.series)
        rows.append([point.replace("_", " "), *(ap(value) for value in values)])
    title = "AP by keypoint"
    return Chart(
        name,
        title,
        plot.svg(name, title, f"AP of {len(names)} keypoints for {len(found)} artifacts."),
        [key(entry.label, entry.series) for entry, _ in found],
        Table(title, ["keypoint", *(entry.label for entry, _ in found)], rows),
    )


def distribution(name: str, entries: Sequence[Entry]) -> Chart | None:
    """Return which part of the frames took at most how long, end to end, timed in turns."""
    times = [(entry, _end_to_end_ms(entry)) for entry in entries if entry.latency is not None]
    if not times:
        return None
    longest = max(float(np.percentile(ms, _SHOWN)) for _, ms in times)
    plot = Plot(Axis.over([longest], "end to end (ms)", zero=True), Axis(0, 100, "frames (%)"))
    parts = np.linspace(0, 100, _STEPS + 1)
    for entry, ms in times:
        curve = zip(np.percentile(ms, parts), parts, strict=True)
        plot.line([(float(x), float(y)) for x, y in curve if x <= longest], entry.series)
    rows = []
    for percent in _PERCENTILES:
        label = "longest" if percent == 100 else f"{percent:g} %"
        rows.append([label, *(number(np.percentile(ms, percent), 4) for _, ms in times)])
    rows.append(["frames", *(str(len(ms)) for _, ms in times)])
    title = "How long frames take (in turns)"
    seen = "The part of the frames (%) that took at most so long; further left is faster."
    return Chart(
        name,
        title,
        plot.svg(name, title, seen),
        [key(entry.label, entry.series, line=True) for entry, _ in times],
        Table(title, ["so many frames take at most (ms)", *(e.label for e, _ in times)], rows),
        [seen, f"It ends at {longest:.1f} ms; the table has the longest frames."],
    )


def _end_to_end_ms(entry: Entry) -> NDArray[np.float64]:
    latency = entry.latency or {}
    marks = unpacked(latency["turns"]["samples_ns"], f"{entry.label} samples_ns", 4)
    return np.asarray((marks[:, 3] - marks[:, 0]) / 1e6)


def _better(a: tuple[Entry, float, float], b: tuple[Entry, float, float]) -> bool:
    """Tell whether ``a`` is as good as ``b`` in both, and better in one."""
    return a[1] <= b[1] and a[2] >= b[2] and a[1:] != b[1:]
