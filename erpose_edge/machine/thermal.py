"""Temperatures, the temperatures at which the kernel acts, and how far it has acted.

Ref: https://docs.kernel.org/driver-api/thermal/sysfs-api.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from erpose_edge.machine.sysfs import numbered, read_int, read_text, unique_name

# Jetson's zones of parts that are switched off give -256; no chip works outside these.
_COLDEST_C, _HOTTEST_C = -100.0, 250.0
_ZONES = ("sys/class/thermal", "sys/devices/virtual/thermal")


FIXED_ZONE = "PMIC"  # JetPack 4 gives a constant 100 or 50 degrees for it
# Of hexadecimal digits without 0x; bits 16 to 19 tell of the time since the start of the board.
# Ref: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_FIRMWARE_BITS = (
    "the supply's voltage is too low",
    "the processor's clock is capped",
    "the firmware throttles",
    "the soft temperature limit is reached",
)


@dataclass(frozen=True)
class TripPoint:
    """A temperature at which the kernel does something.

    Attributes:
        kind: ``active`` turns a fan, ``passive`` lowers clocks, ``hot`` warns, ``critical`` shuts
            down.
        temperature_c: Degrees Celsius.
    """

    kind: str
    temperature_c: float


def find_zones(root: Path = Path("/")) -> dict[str, Path]:
    """Return the files of the thermal zones by the zone's type; a second of a type gets ``-2``."""
    zones: dict[str, Path] = {}
    for folder in _zone_folders(root):
        zones[unique_name(read_text(folder / "type") or folder.name, zones)] = folder / "temp"
    return zones


def read_temperatures(root: Path = Path("/")) -> dict[str, float]:
    """Return temperatures in degrees Celsius by zone; zones that give none are left out."""
    found = {name: celsius(read_int(path)) for name, path in find_zones(root).items()}
    return {name: value for name, value in found.items() if value is not None}


def celsius(millidegrees: int | None) -> float | None:
    """Return degrees Celsius of what a zone gave; None for a zone that is switched off."""
    if millidegrees is None or not _COLDEST_C < millidegrees / 1e3 < _HOTTEST_C:
        return None
    return millidegrees / 1e3


def read_trip_points(root: Path = Path("/")) -> dict[str, tuple[TripPoint, ...]]:
    """Return the trip points of every zone that has some."""
    trips: dict[str, tuple[TripPoint, ...]] = {}
    for name, path in find_zones(root).items():
        points = []
        for kind_file in numbered(path.parent, "trip_point_*_type"):
            limit = celsius(read_int(kind_file.with_name(kind_file.name[: -len("type")] + "temp")))
            if limit is not None:
                points.append(TripPoint(read_text(kind_file) or "unknown", limit))
        if points:
            trips[name] = tuple(points)
    return trips


def passive_limits(root: Path = Path("/")) -> dict[str, float]:
    """Return the temperatures from which on the kernel lowers clocks, in degrees by zone."""
    limits = {}
    for zone, trips in read_trip_points(root).items():
        passive = [trip.temperature_c for trip in trips if trip.kind == "passive"]
        if passive and not zone.startswith(FIXED_ZONE):
            limits[zone] = min(passive)
    return limits


def find_firmware_bits(root: Path = Path("/")) -> Path | None:
    """Return the file in which a Raspberry Pi's firmware says what it does; None elsewhere."""
    path = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    return path if path.is_file() else None


def firmware_reasons(bits: int) -> list[str]:
    """Return what the present state of a Raspberry Pi's firmware means."""
    return [meaning for bit, meaning in enumerate(_FIRMWARE_BITS) if bits >> bit & 1]


def find_throttle_counters(root: Path = Path("/")) -> dict[str, Path]:
    """Return files whose number grows when the hardware slows itself down, by what they count.

    Jetson Orin and Thor count under-voltage and over-current events (``soctherm_oc``); x86 counts
    the times that a core or a package was too hot; a cooling device of a processor or a
    GPU counts how far it is held down at the moment.
    """
    counters: dict[str, Path] = {}
    for chip in numbered(root / "sys/class/hwmon", "hwmon*"):
        if read_text(chip / "name") == "soctherm_oc":
            for path in numbered(chip, "oc*_event_cnt"):
                counters[_OVER_CURRENT.get(path.name, path.name)] = path
    cpus = numbered(root / "sys/devices/system/cpu", "cpu[0-9]*")
    for cpu in cpus:
        path = cpu / "thermal_throttle/core_throttle_count"
        if path.is_file():
            counters[f"{cpu.name} too hot"] = path
    if cpus and (cpus[0] / "thermal_throttle/package_throttle_count").is_file():
        counters["processor too hot"] = cpus[0] / "thermal_throttle/package_throttle_count"
    for device in numbered(root / "sys/class/thermal", "cooling_device*"):
        kind = read_text(device / "type") or device.name
        slows = any(word in kind.lower() for word in _SLOWED)
        if slows and (device / "cur_state").is_file():
            counters[unique_name(f"cooling by {kind}", counters)] = device / "cur_state"
    return counters


# Other cooling devices turn fans, dim screens or are settings (Intel's TCC offset).
_SLOWED = ("cpu", "gpu", "devfreq", "processor", "throttle", "powerclamp")
_OVER_CURRENT = {
    "oc1_event_cnt": "under-voltage events",
    "oc2_event_cnt": "average over-current events",
    "oc3_event_cnt": "instantaneous over-current events",
}


def _zone_folders(root: Path) -> list[Path]:
    for place in _ZONES:
        folders = numbered(root / place, "thermal_zone*")
        if folders:
            return folders
    return []
