"""What a recording comes to between two moments."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import RequestError
from erpose_edge.machine.load import cpu_load
from erpose_edge.machine.telemetry.recording import Recording, Series, known
from erpose_edge.machine.telemetry.throttling import held_before, throttled
from erpose_edge.machine.thermal import FIXED_ZONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from erpose_edge.machine.telemetry.energy import EnergyCurve

_LONGEST_GAP = 2.5  # periods without a power sample; beyond, energy is unknown
_FEWEST_NS = 250_000_000  # the same for the shortest period
_DIGITS = 3


@dataclass(frozen=True)
class Spread:
    """Lowest, mean and highest of some samples."""

    lowest: float
    mean: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Spread | None:
        """Return it for the values that are there; None if none is."""
        there = known(values)
        if not there:
            return None
        mean = sum(there) / len(there)
        return cls(*(round(value, _DIGITS) for value in (min(there), mean, max(there))))


@dataclass(frozen=True)
class Summary:
    """What the machine did between two moments; None where no sensor says.

    Attributes:
        first_ns: Beginning on the clock ``time.perf_counter_ns``.
        last_ns: End.
        samples: How many were taken in between.
        power_from: What the power is of: rails of the board, or packages of the processor.
        energy_mj: Millijoules in between, by the trapezoid rule.
        mean_power_mw: Energy over time.
        max_power_mw: Highest of the samples; RAPL: of the means between two samples.
        rails_mw: By rail.
        temperatures_c: Degrees Celsius by zone.
        cpu_mhz: By policy.
        gpu_mhz: By clock.
        emc_mhz: Memory controller.
        gpu_load: 0 to 1.
        cpu_load: Share 0 to 1 of all processors' time, whoever used it.
        throttled: Why the numbers of this run are not those of a machine at full speed.
        notes: What was not measured, or not all the time.
    """

    first_ns: int
    last_ns: int
    samples: int
    power_from: tuple[str, ...]
    energy_mj: float | None
    mean_power_mw: float | None
    max_power_mw: float | None
    rails_mw: dict[str, Spread]
    temperatures_c: dict[str, Spread]
    cpu_mhz: dict[str, Spread]
    gpu_mhz: dict[str, Spread]
    emc_mhz: Spread | None
    gpu_load: Spread | None
    cpu_load: float | None
    throttled: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        lists = {name: list(getattr(self, name)) for name in ("power_from", "throttled", "notes")}
        return {**asdict(self), **lists}

    def lines(self) -> list[str]:
        """Return lines for people."""
        zones = [z for z in self.temperatures_c.items() if not z[0].startswith(FIXED_ZONE)]
        hottest = max(zones, key=lambda zone: zone[1].highest, default=None)
        lines = []
        if self.mean_power_mw is not None and self.max_power_mw is not None:
            lines.append(
                f"power {self.mean_power_mw / 1e3:.2f} W, at most {self.max_power_mw / 1e3:.2f} W "
                f"({' + '.join(self.power_from)})"
            )
        if hottest is not None:
            lines.append(f"hottest {hottest[0]}, {hottest[1].highest:.1f} °C")
        for name, clock in {**self.gpu_mhz, **self.cpu_mhz}.items():
            lines.append(f"{name} {clock.lowest:.0f} to {clock.highest:.0f} MHz")
        return [*lines, *self.throttled, *self.notes]


def summarise(
    recording: Recording, first_ns: int, last_ns: int, clock_tolerance: float = 0.1
) -> Summary:
    """Summarise the samples between two moments.

    Args:
        recording: What a sampler took.
        first_ns: Beginning on the clock ``time.perf_counter_ns``.
        last_ns: End.
        clock_tolerance: A clock that falls by a greater part below its start counts as throttled.

    Raises:
        RequestError: The end is not after the beginning.
    """
    if last_ns <= first_ns:
        raise RequestError(
            f"telemetry: expected an end after {first_ns} ns, got {last_ns} ns; "
            "take both from time.perf_counter_ns"
        )
    inside = recording.between(first_ns, last_ns)
    curve, why = _energy(recording, first_ns, last_ns)
    energy = None if curve is None else curve.energy_mj(first_ns, last_ns)
    mean = None if energy is None else energy / ((last_ns - first_ns) / 1e9)
    peak = None if curve is None else curve.max_power_mw(first_ns, last_ns)
    times = inside.cpu_times()
    busy = cpu_load(times[0], times[-1]) if times else None
    return Summary(
        first_ns=first_ns,
        last_ns=last_ns,
        samples=len(inside.rows),
        power_from=() if energy is None else _power_from(recording),
        energy_mj=_rounded(energy),
        mean_power_mw=_rounded(mean),
        max_power_mw=_rounded(mean if peak is None else peak),
        rails_mw=_spreads(inside.rails_mw()),
        temperatures_c=_spreads(inside.temperatures_c()),
        cpu_mhz=_spreads(inside.cpu_mhz()),
        gpu_mhz=_spreads(inside.gpu_mhz()),
        emc_mhz=Spread.of(inside.emc_mhz()),
        gpu_load=Spread.of(inside.gpu_load()),
        cpu_load=_rounded(busy),
        throttled=throttled(inside, clock_tolerance),
        notes=(*recording.layout.notes, *why, *held_before(inside), *_silent(inside)),
    )


def _energy(
    recording: Recording, first_ns: int, last_ns: int
) -> tuple[EnergyCurve | None, tuple[str, ...]]:
    curve = recording.energy()
    if curve is None:
        return None, ()
    times = recording.times_ns
    period_ns = (times[-1] - times[0]) / (len(times) - 1)
    gap_ns = curve.longest_gap_ns(first_ns, last_ns)
    if gap_ns <= max(_LONGEST_GAP * period_ns, _FEWEST_NS):
        return curve, ()
    return None, (f"energy: unknown, there was no power sample for {gap_ns / 1e9:.1f} s",)


def _power_from(recording: Recording) -> tuple[str, ...]:
    return recording.layout.total_from or tuple(recording.layout.energy_ranges_uj)


def _spreads(series: Series) -> dict[str, Spread]:
    found = {name: Spread.of(values) for name, values in series.items()}
    return {name: spread for name, spread in found.items() if spread is not None}


def _silent(inside: Recording) -> list[str]:
    count = len(inside.rows)
    return [
        f"{name}: no value in {missing} of {count} samples"
        for name, missing in inside.silent().items()
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
