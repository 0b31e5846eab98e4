"""By what the hardware holds itself back: heat, current, or a weak supply; now, or since its start.

Ref: https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
"""

from __future__ import annotations

from pathlib import Path

from erpose_edge.machine.sysfs import read_int, read_text
from erpose_edge.machine.thermal import (
    find_firmware_bits,
    find_throttle_counters,
    firmware_reasons,
)

_NOW = 0xF  # bits of the present state
_SINCE = 16  # first bit of what was so since the start
_COOLING = "cooling by "
# Cooling devices that slow something which matters here; others dim a screen or turn a fan.
_COOLED = ("cpu", "gpu", "devfreq", "processor", "throttle")


def read_slowed(root: Path = Path("/")) -> tuple[str, ...]:
    """Return in words what slows the hardware, or has slowed it since the start."""
    firmware = find_firmware_bits(root)
    if firmware is not None:
        return parse_throttled(read_text(firmware) or "")
    lines = []
    for name, path in find_throttle_counters(root).items():
        count = read_int(path)
        if count is None or count <= 0:
            continue
        if not name.startswith(_COOLING):
            lines.append(f"{name}: {count} since the start")
        elif any(word in name.lower() for word in _COOLED):
            lines.append(f"{name}: step {count} now")
    return tuple(lines)


def parse_throttled(text: str) -> tuple[str, ...]:
    """Return the words for what the firmware of a Raspberry Pi says, hexadecimal bits."""
    try:
        bits = max(int(text.strip() or "0", 16), 0)
    except ValueError:
        return ()
    now = firmware_reasons(bits & _NOW)
    # What is so now was so since the start, too.
    before = [reason for reason in firmware_reasons(bits >> _SINCE & _NOW) if reason not in now]
    return (*now, *(f"{reason}, since the start" for reason in before))
