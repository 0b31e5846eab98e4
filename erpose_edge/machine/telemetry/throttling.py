"""Signs that a machine slowed itself down, in words."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from erpose_edge.machine.telemetry.recording import known
from erpose_edge.machine.thermal import firmware_reasons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from erpose_edge.machine.telemetry.recording import Recording

_WINDOW = 5  # samples; one sample alone may have met a change of clocks
_BUSY = 0.05  # load of a GPU below which its governor may let the clock fall
_LEVEL = "cooling by "  # those of thermal.find_throttle_counters that are levels, not counts


def throttled(recording: Recording, clock_tolerance: float) -> tuple[str, ...]:
    """Return what slowed the machine down, one sentence each; empty if nothing shows.

    A governor that saves power looks the same as one that cools: pinned clocks tell them apart.

    Args:
        recording: Samples of the time in question.
        clock_tolerance: Part of its clock at the start that a processor may lose.
    """
    reasons = []
    for name, values in recording.counters().items():
        numbers = known(values)
        if numbers and max(numbers) > numbers[0]:
            what = "rose from level" if name.startswith(_LEVEL) else "went from"
            reasons.append(f"throttled: {name} {what} {numbers[0]:.0f} to {max(numbers):.0f}")
    for zone, values in recording.temperatures_c().items():
        limit, hottest = recording.layout.limits_c.get(zone), max(known(values), default=0.0)
        if limit is not None and hottest >= limit:
            reasons.append(
                f"throttled: {zone} reached {hottest:.1f} °C; from {limit:.1f} °C on the kernel "
                "lowers clocks"
            )
    reasons += [f"throttled: {why}" for why in firmware_reasons(recording.firmware_bits())]
    return (*reasons, *_fallen_clocks(recording, clock_tolerance))


def _fallen_clocks(recording: Recording, clock_tolerance: float) -> list[str]:
    reasons: list[str] = []
    loads = recording.gpu_load()
    for name, clocks in recording.gpu_mhz().items():
        busy = [mhz for mhz, load in zip(clocks, loads) if mhz and (load is None or load > _BUSY)]
        reasons += _fallen(f"gpu clock {name}", busy, clock_tolerance)
    fastest = [max(known(row)) for row in zip(*recording.cpu_mhz().values()) if known(row)]
    return reasons + _fallen("fastest cpu clock", fastest, clock_tolerance)


def held_before(recording: Recording) -> list[str]:
    """Return the cooling that was already at work when the time in question began."""
    first = {name: known(values)[:1] for name, values in recording.counters().items()}
    return [
        f"{name} was at level {numbers[0]:.0f} before"
        for name, numbers in first.items()
        if name.startswith(_LEVEL) and numbers and numbers[0] > 0
    ]


def _fallen(name: str, clocks: Sequence[float], tolerance: float) -> list[str]:
    if len(clocks) < 2 * _WINDOW:
        return []
    start = median(clocks[:_WINDOW])
    lowest = min(median(clocks[at : at + _WINDOW]) for at in range(len(clocks) - _WINDOW + 1))
    lost = 1 - lowest / start
    if lost <= tolerance:
        return []
    return [
        f"throttled: {name} fell from {start:.0f} to {lowest:.0f} MHz, "
        f"by {lost:.0%}, more than the {tolerance:.0%} allowed"
    ]
