"""Electric power of a Jetson, rail by rail.

Ref: https://docs.kernel.org/hwmon/ina3221.html (mV and mA) and https://docs.kernel.org/hwmon/ina238.html
(microwatts).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.machine.sysfs import numbered, read_text, unique_name

if TYPE_CHECKING:
    from collections.abc import Iterable

# The first of these is what the whole module takes. VIN is Thor's, and comes from an INA238.
_TOTALS = ("VDD_IN", "POM_5V_IN", "VIN")
_NOT_CONNECTED = "NC"
_CHANNELS = (1, 2, 3)  # of hwmon; 4 to 6 are shunts, 7 is their sum


@dataclass(frozen=True)
class RailFiles:
    """Where a rail's power is read: either voltage and current, or power itself.

    Attributes:
        name: As the board's device tree calls it.
        millivolts: File with the voltage.
        milliamperes: File with the current.
        microwatts: File with the power.
    """

    name: str
    millivolts: Path | None = None
    milliamperes: Path | None = None
    microwatts: Path | None = None


def power_mw(millivolts: float, milliamperes: float) -> float:
    """Return milliwatts: mV times mA are microwatts."""
    return millivolts * milliamperes / 1e3


def total_rails(names: Iterable[str]) -> tuple[str, ...]:
    """Return the rails whose sum is what the board takes.

    The input of the module if it is measured, else all rails: AGX modules measure no input.
    """
    all_names = tuple(names)
    for name in _TOTALS:
        if name in all_names:
            return (name,)
    return all_names


def find_rails(root: Path = Path("/")) -> list[RailFiles]:
    """Return the rails of every INA3221, in the layout of JetPack 4 or of later ones."""
    rails: dict[str, RailFiles] = {}
    for device in numbered(root / "sys/bus/i2c/devices", "*"):
        kind = read_text(device / "name") or ""
        found: list[RailFiles] = []
        if "ina3221" in kind:
            found = _hwmon_rails(device) or _iio_rails(device)
        elif "ina238" in kind:
            found = _input_rail(device)
        for rail in found:
            name = unique_name(rail.name, rails)
            rails[name] = RailFiles(name, rail.millivolts, rail.milliamperes, rail.microwatts)
    return list(rails.values())


def _hwmon_rails(device: Path) -> list[RailFiles]:
    rails = []
    for chip in numbered(device / "hwmon", "hwmon*"):
        for channel in _CHANNELS:
            label = read_text(chip / f"in{channel}_label")
            current = chip / f"curr{channel}_input"
            if label and label != _NOT_CONNECTED and current.is_file():
                rails.append(RailFiles(label, chip / f"in{channel}_input", current))
    return rails


def _iio_rails(device: Path) -> list[RailFiles]:
    rails = []
    for chip in numbered(device, "iio:device*"):
        for label_file in numbered(chip, "rail_name_*"):
            channel = re.sub(r"\D", "", label_file.name)
            label = read_text(label_file)
            current = chip / f"in_current{channel}_input"
            if label and label != _NOT_CONNECTED and current.is_file():
                rails.append(RailFiles(label, chip / f"in_voltage{channel}_input", current))
    return rails


def _input_rail(device: Path) -> list[RailFiles]:
    chips = numbered(device / "hwmon", "hwmon*")
    files = [chip / "power1_input" for chip in chips]
    return [RailFiles("VIN", microwatts=path) for path in files if path.is_file()]
