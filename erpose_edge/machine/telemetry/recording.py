"""Rows of numbers as the sampler took them, and the quantities in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Dict, Optional, Tuple, Union

from erpose_edge.machine.load import CpuTimes
from erpose_edge.machine.rails import power_mw
from erpose_edge.machine.telemetry.channels import (
    COUNTER,
    CPU_CLOCK,
    CPU_TIMES,
    EMC_CLOCK,
    ENERGY,
    FIRMWARE,
    GPU_CLOCK,
    GPU_LOAD,
    MICROWATT,
    MILLIAMPERE,
    MILLIVOLT,
    TEMPERATURE,
    Layout,
)
from erpose_edge.machine.telemetry.energy import EnergyCurve, total_curve
from erpose_edge.machine.thermal import celsius

if TYPE_CHECKING:
    from collections.abc import Sequence

# A moment in ns, and what each channel gave; None where it gave nothing.
Row = Tuple[int, Tuple[Union[int, CpuTimes, None], ...]]
Series = Dict[str, Tuple[Optional[float], ...]]


@dataclass(frozen=True)
class Sample:
    """The machine at one moment; what no sensor gave is None or left out.

    Attributes:
        at_ns: Moment on the clock ``time.perf_counter_ns``.
        power_mw: What the board takes; None on x86, where energy is counted instead.
        rails_mw: By rail.
        temperatures_c: By zone.
        cpu_mhz: By policy.
        gpu_mhz: By clock; 0 while the GPU sleeps.
        emc_mhz: Memory controller.
        gpu_load: 0 to 1.
        counters: Throttling, by what is counted.
    """

    at_ns: int
    power_mw: float | None
    rails_mw: dict[str, float]
    temperatures_c: dict[str, float]
    cpu_mhz: dict[str, float]
    gpu_mhz: dict[str, float]
    emc_mhz: float | None
    gpu_load: float | None
    counters: dict[str, float]


@dataclass(frozen=True)
class Recording:
    """What a sampler took.

    Attributes:
        layout: What the columns are.
        rows: In the order of time.
    """

    layout: Layout
    rows: tuple[Row, ...]

    @property
    def times_ns(self) -> tuple[int, ...]:
        """Moments of the samples."""
        return tuple(ns for ns, _ in self.rows)

    def between(self, first_ns: int, last_ns: int) -> Recording:
        """Return the samples between two moments; the nearest one if there is none."""
        inside = tuple(row for row in self.rows if first_ns <= row[0] <= last_ns)
        if not inside:
            middle = (first_ns + last_ns) // 2
            inside = tuple(sorted(self.rows, key=lambda row: abs(row[0] - middle))[:1])
        return Recording(self.layout, inside)

    def rails_mw(self) -> Series:
        """Return the power of every rail."""
        volts, amperes = self._series(MILLIVOLT), self._series(MILLIAMPERE)
        rails = {
            name: tuple(
                None if u is None or i is None else power_mw(u, i)
                for u, i in zip(values, amperes[name])
            )
            for name, values in volts.items()
        }
        return {**rails, **self._series(MICROWATT, lambda value: value / 1e3)}

    def power_mw(self) -> tuple[float | None, ...]:
        """Return what the board takes; None where a rail that belongs to it gave nothing."""
        rails = self.rails_mw()
        if not self.layout.total_from:
            return (None,) * len(self.rows)
        columns = zip(*(rails[name] for name in self.layout.total_from))
        return tuple(
            sum(v for v in row if v is not None) if None not in row else None for row in columns
        )

    def energy(self) -> EnergyCurve | None:
        """Return energy over time, of the board or else of processor packages; None if unknown."""
        if self.layout.total_from:
            powers = zip(self.times_ns, self.power_mw())
            return EnergyCurve.of_powers([(ns, mw) for ns, mw in powers if mw is not None])
        columns = self._columns(ENERGY)
        rows = [
            (ns, values)
            for ns, values in zip(self.times_ns, zip(*columns.values()))
            if None not in values
        ]
        curves = []
        for position, name in enumerate(columns):
            readings = [(ns, _whole(values[position])) for ns, values in rows]
            curve = EnergyCurve.of_counter(readings, self.layout.energy_ranges_uj[name])
            curves += [] if curve is None else [curve]
        return total_curve(curves)

    def temperatures_c(self) -> Series:
        """Return degrees Celsius of every zone."""
        columns = self._columns(TEMPERATURE)
        return {
            name: tuple(None if value is None else celsius(_whole(value)) for value in values)
            for name, values in columns.items()
        }

    def cpu_mhz(self) -> Series:
        """Return the clock of every policy."""
        return self._series(CPU_CLOCK, lambda khz: khz / 1e3)

    def gpu_mhz(self) -> Series:
        """Return every clock of the GPU."""
        return self._series(GPU_CLOCK, lambda hz: hz / 1e6)

    def emc_mhz(self) -> tuple[float | None, ...]:
        """Return the clock of the memory controller."""
        return self._only(self._series(EMC_CLOCK, lambda hz: hz / 1e6))

    def gpu_load(self) -> tuple[float | None, ...]:
        """Return the GPU's load, 0 to 1."""
        return self._only(self._series(GPU_LOAD, lambda per_mille: per_mille / 1e3))

    def counters(self) -> Series:
        """Return the numbers that grow by throttling."""
        return self._series(COUNTER)

    def firmware_bits(self) -> int:
        """Return the bits that a Raspberry Pi's firmware set at any time; 0 elsewhere."""
        bits = 0
        for column in self._columns(FIRMWARE).values():
            for value in column:
                bits |= 0 if value is None else _whole(value)
        return bits

    def cpu_times(self) -> list[CpuTimes]:
        """Return the processors' times, where known."""
        values = [value for column in self._columns(CPU_TIMES).values() for value in column]
        return [value for value in values if isinstance(value, CpuTimes)]

    def silent(self) -> dict[str, int]:
        """Return how often channels gave nothing, by name; those that never failed are left out."""
        failed = {}
        for position, channel in enumerate(self.layout.channels):
            missing = sum(values[position] is None for _, values in self.rows)
            if missing:
                failed[f"{channel.quantity} {channel.name}"] = missing
        return failed

    def samples(self) -> tuple[Sample, ...]:
        """Return the samples one by one."""
        fields = (self.rails_mw, self.temperatures_c, self.cpu_mhz, self.gpu_mhz, self.counters)
        rails, temperatures, cpu, gpu, counters = (_by_moment(field()) for field in fields)
        power, emc, load = self.power_mw(), self.emc_mhz(), self.gpu_load()
        return tuple(
            Sample(
                at_ns=ns,
                power_mw=power[n],
                rails_mw=rails(n),
                temperatures_c=temperatures(n),
                cpu_mhz=cpu(n),
                gpu_mhz=gpu(n),
                emc_mhz=emc[n],
                gpu_load=load[n],
                counters=counters(n),
            )
            for n, ns in enumerate(self.times_ns)
        )

    def _columns(self, quantity: str) -> dict[str, tuple[int | CpuTimes | None, ...]]:
        return {
            channel.name: tuple(values[position] for _, values in self.rows)
            for position, channel in enumerate(self.layout.channels)
            if channel.quantity == quantity
        }

    def _series(self, quantity: str, scale: Callable[[float], float] = float) -> Series:
        return {
            name: tuple(None if value is None else scale(_whole(value)) for value in values)
            for name, values in self._columns(quantity).items()
        }

    def _only(self, series: Series) -> tuple[float | None, ...]:
        return next(iter(series.values()), (None,) * len(self.rows))


def known(values: Sequence[float | None]) -> list[float]:
    """Return the values that are there."""
    return [value for value in values if value is not None]


def _by_moment(series: Series) -> Callable[[int], dict[str, float]]:
    def at(position: int) -> dict[str, float]:
        values = ((name, column[position]) for name, column in series.items())
        return {name: value for name, value in values if value is not None}

    return at


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"channel: expected a whole number, got {value!r}")
    return value
