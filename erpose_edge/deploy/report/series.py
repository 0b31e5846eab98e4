"""The charts of a report over time: latency second by second, temperatures, clocks and power."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.deploy.report.charts import Chart, key
from erpose_edge.deploy.report.svg import STYLES, Axis, Plot
from erpose_edge.deploy.report.table import NOTHING, Table, number
from erpose_edge.validate.latency.packing import unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from erpose_edge.deploy.report.entries import Entry

# Of telemetry: field, what its chart is called, axis, factor.
_KINDS = (
    ("temperatures_c", "Temperature", "temperature (°C)", 1.0),
    ("clocks_mhz", "Clocks", "clock (MHz)", 1.0),
    ("power_mw", "Power", "power (W)", 1e-3),
)


def over_time(name: str, scenario: str, entries: Sequence[Entry]) -> Chart | None:
    """Return the median latency of every second of a scenario; None where it was but one."""
    measured = _in_scenario(scenario, entries)
    curves = [(entry, found["statistics"]["curve"]) for entry, found in measured]
    values = [ms for _, curve in curves for ms in curve["p50_ms"]]
    seconds = sorted({second for _, curve in curves for second in curve["second"]})
    if len(seconds) < 2:
        return None
    plot = Plot(
        Axis.over(seconds, "second of the run", zero=True),
        Axis.over(values, "end to end (ms)", zero=True),
    )
    columns: list[list[str]] = []
    for entry, curve in curves:
        points = list(zip(curve["second"], curve["p50_ms"], strict=True))
        plot.line(points, entry.series, marked=len(points) <= 60)
        median = dict(points)
        frames = dict(zip(curve["second"], curve["frames"], strict=True))
        columns.append([number(median.get(second), 4) for second in seconds])
        columns.append([str(frames.get(second, NOTHING)) for second in seconds])
    headers = [f"{entry.label}: {what}" for entry, _ in curves for what in ("p50 (ms)", "frames")]
    title = f"Latency over time ({scenario})"
    seen = "Median of the end-to-end latency (ms) of every second; flat is steady."
    return Chart(
        name,
        title,
        plot.svg(name, title, seen),
        [key(entry.label, entry.series, line=True) for entry, _ in curves],
        _by_second(title, ["second", *headers], [str(second) for second in seconds], columns),
        [seen],
    )


def machine_over_time(name: str, scenario: str, entries: Sequence[Entry]) -> list[Chart]:
    """Return temperatures, clocks and power in a scenario, for what sensors there are."""
    charts = []
    for entry, found in _in_scenario(scenario, entries):
        telemetry = found["telemetry"]
        if telemetry is None:
            continue
        first_ns = int(unpacked(found["samples_ns"], f"{entry.label} samples_ns", 4)[0, 0])
        series = telemetry["series"]
        at = [(ns - first_ns) / 1e9 for ns in series["at_ns"]]
        for field, title, label, factor in _KINDS:
            values = series[field]
            values = values if isinstance(values, dict) else {"board": values}
            scaled = {n: _scaled(line, factor) for n, line in values.items()}
            there = {n: line for n, line in scaled.items() if any(v is not None for v in line)}
            if there:
                full = f"{title} ({scenario} of {entry.label})"
                charts.append(_sensors(f"{name}-{entry.series}-{field}", full, label, at, there))
    return charts


def _sensors(
    name: str, title: str, label: str, at: list[float], values: dict[str, list[float | None]]
) -> Chart:
    highest = {n: max(v for v in line if v is not None) for n, line in values.items()}
    drawn = sorted(sorted(values, key=lambda n: (-highest[n], n))[:STYLES])
    shown = [v for n in drawn for v in values[n] if v is not None]
    plot = Plot(Axis.over(at, "second of the run"), Axis.over(shown, label))
    for place, sensor in enumerate(drawn):
        plot.line(list(zip(at, values[sensor], strict=True)), place)
    columns = [[number(value, 2) for value in line] for line in values.values()]
    seen = f"{label} of {', '.join(drawn)}."
    more = len(values) - len(drawn)
    return Chart(
        name,
        title,
        plot.svg(name, title, seen),
        [key(sensor, place, line=True) for place, sensor in enumerate(drawn)],
        _by_second(title, ["second", *values], [f"{second:.2f}" for second in at], columns),
        [f"Drawn are the {len(drawn)} highest; the table has {more} more."] if more else [],
    )


def _in_scenario(scenario: str, entries: Sequence[Entry]) -> list[tuple[Entry, dict[str, Any]]]:
    return [
        (entry, entry.latency["scenarios"][scenario])
        for entry in entries
        if entry.latency is not None and scenario in entry.latency["scenarios"]
    ]


def _scaled(line: Sequence[float | None], factor: float) -> list[float | None]:
    return [None if value is None else factor * value for value in line]


def _by_second(
    title: str, headers: list[str], seconds: list[str], columns: list[list[str]]
) -> Table:
    return Table(title, headers, np.array([seconds, *columns]).T.tolist())
