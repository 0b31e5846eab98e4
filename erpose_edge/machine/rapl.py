"""Energy of x86 processors from their own counters (RAPL).

Ref: https://docs.kernel.org/power/powercap/powercap.html. The counters are readable by root only
(CVE-2020-8694); a person may allow others to read them, we never ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from erpose_edge.machine.sysfs import numbered, read_int, read_text, unique_name


@dataclass(frozen=True)
class EnergyCounter:
    """A counter of one processor package.

    Attributes:
        name: Such as ``package-0``.
        path: File with microjoules since some moment.
        range_uj: The counter starts again from 0 above it.
    """

    name: str
    path: Path
    range_uj: int


@dataclass(frozen=True)
class Rapl:
    """Counters of a machine.

    Attributes:
        counters: Those that can be read.
        notes: Why the others cannot.
    """

    counters: tuple[EnergyCounter, ...]
    notes: tuple[str, ...]


def find_rapl(root: Path = Path("/")) -> Rapl:
    """Return the counters of all processor packages; parts of a package are contained in it."""
    counters: dict[str, EnergyCounter] = {}
    refused: list[str] = []
    for zone in numbered(root / "sys/class/powercap", "intel-rapl:*"):
        name = read_text(zone / "name") or ""
        if not name.startswith("package"):
            continue
        limit = read_int(zone / "max_energy_range_uj")
        if read_int(zone / "energy_uj") is None or not limit:
            refused.append(name)
            continue
        name = unique_name(name, counters)
        counters[name] = EnergyCounter(name, zone / "energy_uj", limit)
    note = (
        f"power of {', '.join(refused)}: unknown, /sys/class/powercap/*/energy_uj cannot be read; "
        "run as root to record it"
    )
    return Rapl(tuple(counters.values()), (note,) if refused else ())


def energy_uj(before: int, after: int, range_uj: int) -> int:
    """Return microjoules between two readings, of which the later may have started again.

    Args:
        before: Earlier reading.
        after: Later reading; at most one round later.
        range_uj: Highest reading.
    """
    return after - before if after >= before else after - before + range_uj + 1
