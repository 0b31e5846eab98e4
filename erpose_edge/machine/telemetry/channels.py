"""The files that a sampler reads again and again, held open."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from erpose_edge.machine.clocks import find_cpu_policies, find_emc, find_gpus, policy_name
from erpose_edge.machine.load import PROC_STAT, find_gpu_load
from erpose_edge.machine.rails import find_rails, total_rails
from erpose_edge.machine.rapl import find_rapl
from erpose_edge.machine.thermal import (
    find_firmware_bits,
    find_throttle_counters,
    find_zones,
    passive_limits,
)

if TYPE_CHECKING:
    from pathlib import Path

MILLIVOLT, MILLIAMPERE, MICROWATT = "mV", "mA", "uW"
ENERGY, TEMPERATURE = "energy", "temperature"
CPU_CLOCK, GPU_CLOCK, EMC_CLOCK = "cpu clock", "gpu clock", "emc clock"
GPU_LOAD, CPU_TIMES = "gpu load", "cpu times"
COUNTER, FIRMWARE = "counter", "firmware"
_READ = 512  # bytes; the first line of /proc/stat is the longest
_MOST_PROCESSORS = 8  # of a large machine; more would cost more than they tell


@dataclass(frozen=True)
class Channel:
    """One number of the machine.

    Attributes:
        quantity: One of the constants above.
        name: Rail, zone, clock or counter.
        path: File that it is read from.
    """

    quantity: str
    name: str
    path: Path


@dataclass(frozen=True)
class Layout:
    """What can be sampled on this machine.

    Attributes:
        channels: In the order in which they are read: power first.
        total_from: Rails whose sum is the board's power; empty without rails.
        energy_ranges_uj: Highest reading of the energy counters by name.
        limits_c: Temperatures from which on the kernel lowers clocks, by zone.
        notes: What is not measured, and what to do about it.
    """

    channels: tuple[Channel, ...]
    total_from: tuple[str, ...]
    energy_ranges_uj: dict[str, int]
    limits_c: dict[str, float]
    notes: tuple[str, ...]


def find_channels(root: Path) -> Layout:
    """Look for every sensor once."""
    power = _rail_channels(root)
    rails = total_rails(dict.fromkeys(channel.name for channel in power))
    notes: list[str] = []
    ranges: dict[str, int] = {}
    if not rails:
        rapl = find_rapl(root)
        power = [Channel(ENERGY, counter.name, counter.path) for counter in rapl.counters]
        ranges = {counter.name: counter.range_uj for counter in rapl.counters}
        notes += rapl.notes or (() if power else ("power: unknown, this machine has no sensor",))
    emc, why = find_emc(root)
    notes += [] if why is None else [why]
    load = find_gpu_load(root)
    channels = [*power, *_clock_channels(root)]
    channels += [] if emc is None else [Channel(EMC_CLOCK, "emc", emc)]
    channels += [] if load is None else [Channel(GPU_LOAD, "gpu", load)]
    channels.append(Channel(CPU_TIMES, "cpu", root / PROC_STAT))
    channels += [Channel(TEMPERATURE, name, path) for name, path in find_zones(root).items()]
    channels += _counter_channels(root)
    bits = find_firmware_bits(root)
    channels += [] if bits is None else [Channel(FIRMWARE, "throttling", bits)]
    return Layout(tuple(channels), rails, ranges, passive_limits(root), tuple(notes))


class OpenFiles:
    """Files that stay open: reading at offset 0 makes the kernel look again."""

    def __init__(self, channels: tuple[Channel, ...]) -> None:
        self._handles: list[int | None] = [_open(channel.path) for channel in channels]

    def read(self) -> list[bytes | None]:
        """Return what each file says now; None for one that is gone or gives nothing."""
        return [None if handle is None else _read(handle) for handle in self._handles]

    def close(self) -> None:
        """Let go of the files."""
        handles, self._handles = self._handles, []
        for handle in handles:
            if handle is not None:
                os.close(handle)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _read(handle: int) -> bytes | None:
    try:
        return os.pread(handle, _READ, 0)
    except OSError:  # the sensor sleeps (EAGAIN) or is gone (ENODEV)
        return None


def _rail_channels(root: Path) -> list[Channel]:
    channels = []
    for rail in find_rails(root):
        for quantity, path in (
            (MILLIVOLT, rail.millivolts),
            (MILLIAMPERE, rail.milliamperes),
            (MICROWATT, rail.microwatts),
        ):
            if path is not None:
                channels.append(Channel(quantity, rail.name, path))
    return channels


def _clock_channels(root: Path) -> list[Channel]:
    policies = _spread(find_cpu_policies(root))
    cpu = [Channel(CPU_CLOCK, policy_name(p), p / "scaling_cur_freq") for p in policies]
    return cpu + [Channel(GPU_CLOCK, g.name, g / "cur_freq") for g in find_gpus(root)]


def _counter_channels(root: Path) -> list[Channel]:
    found = [Channel(COUNTER, name, path) for name, path in find_throttle_counters(root).items()]
    cores = [channel for channel in found if channel.path.name == "core_throttle_count"]
    return [channel for channel in found if channel not in cores] + _spread(cores)


def _spread(items: list) -> list:  # type: ignore[type-arg]
    step = -(-len(items) // _MOST_PROCESSORS) or 1
    return items[::step]
