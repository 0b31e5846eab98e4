"""Energy between two moments, from samples of power or of energy counters."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from erpose_edge.machine.rapl import energy_uj

if TYPE_CHECKING:
    from collections.abc import Sequence

_NS_PER_S = 1e9
_CLOSE_NS = 40_000_000


@dataclass(frozen=True)
class EnergyCurve:
    """Energy since the first sample; power is linear in between (the trapezoid rule).

    Attributes:
        times_ns: Moments of the samples on the clock ``time.perf_counter_ns``, growing; two or
            more.
        powers_mw: Power at the beginning and the end of each step between two samples.
    """

    times_ns: tuple[int, ...]
    powers_mw: tuple[tuple[float, float], ...]

    @classmethod
    def of_powers(cls, samples: Sequence[tuple[int, float]]) -> EnergyCurve | None:
        """Build it from (ns, mW) samples; None from fewer than two."""
        if len(samples) < 2:
            return None
        powers = [power for _, power in samples]
        return cls(tuple(ns for ns, _ in samples), tuple(zip(powers, powers[1:])))

    @classmethod
    def of_counter(cls, samples: Sequence[tuple[int, int]], range_uj: int) -> EnergyCurve | None:
        """Build it from (ns, microjoules) readings that start again above ``range_uj``."""
        apart = _apart(samples)
        if len(apart) < 2:
            return None
        powers = []
        for (start_ns, before), (end_ns, after) in zip(apart, apart[1:]):
            power = energy_uj(before, after, range_uj) / 1e3 / ((end_ns - start_ns) / _NS_PER_S)
            powers.append((power, power))
        return cls(tuple(ns for ns, _ in apart), tuple(powers))

    def energy_mj(self, first_ns: int, last_ns: int) -> float:
        """Return millijoules between two moments; outside the samples the nearest power holds."""
        totals = self._totals_mj()
        return self._until(last_ns, totals) - self._until(first_ns, totals)

    def energies_mj(self, intervals: Sequence[tuple[int, int]]) -> list[float]:
        """Return millijoules of many intervals (first, last) in ns."""
        totals = self._totals_mj()
        return [self._until(last, totals) - self._until(first, totals) for first, last in intervals]

    def max_power_mw(self, first_ns: int, last_ns: int) -> float | None:
        """Return the highest power at the samples between two moments; None if none is there."""
        inside = [
            power
            for start, end, powers in zip(self.times_ns, self.times_ns[1:], self.powers_mw)
            for ns, power in zip((start, end), powers)
            if first_ns <= ns <= last_ns
        ]
        return max(inside) if inside else None

    def longest_gap_ns(self, first_ns: int, last_ns: int) -> int:
        """Return the longest time without a sample that lies, or begins, between two moments."""
        times = self.times_ns
        within = [b - a for a, b in zip(times, times[1:]) if b > first_ns and a < last_ns]
        return max([*within, times[0] - first_ns, last_ns - times[-1]])

    def _totals_mj(self) -> list[float]:
        steps = zip(self.times_ns, self.times_ns[1:], self.powers_mw)
        energies = ((b - a) / _NS_PER_S * (p + q) / 2 for a, b, (p, q) in steps)
        return [0.0, *accumulate(energies)]

    def _until(self, ns: int, totals: list[float]) -> float:
        times = self.times_ns
        step = min(max(bisect_right(times, ns) - 1, 0), len(times) - 2)
        left, right = self.powers_mw[step]
        if ns >= times[-1]:
            return totals[-1] + right * (ns - times[-1]) / _NS_PER_S
        seconds = (ns - times[step]) / _NS_PER_S
        if ns <= times[0]:
            return left * seconds
        rise = (right - left) / ((times[step + 1] - times[step]) / _NS_PER_S)
        return totals[step] + left * seconds + rise * seconds**2 / 2


def _apart(samples: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leave readings out that are next to a later one: counters move in steps of a millisecond."""
    kept: list[tuple[int, int]] = []
    for sample in samples:
        if len(kept) > 1 and sample[0] - kept[-1][0] < _CLOSE_NS:
            kept.pop()
        kept.append(sample)
    return kept


def total_curve(curves: Sequence[EnergyCurve]) -> EnergyCurve | None:
    """Add curves that were sampled at the same moments."""
    if not curves:
        return None
    steps = zip(*(curve.powers_mw for curve in curves))
    powers = tuple((sum(p for p, _ in step), sum(q for _, q in step)) for step in steps)
    return EnergyCurve(curves[0].times_ns, powers)
