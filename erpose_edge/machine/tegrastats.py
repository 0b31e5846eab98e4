"""One line of NVIDIA's ``tegrastats``, in the dialects of JetPack 4 to 7.

Telemetry reads the kernel's files itself; this is for logs that tegrastats wrote.

Ref: docs.nvidia.com/jetson/archives/r36.4/DeveloperGuide/AT/JetsonLinuxDevelopmentTools/
TegrastatsUtility.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from erpose_edge.machine.rails import total_rails
from erpose_edge.machine.thermal import celsius

_N = r"([0-9]{1,9})"
_MEMORY = re.compile(r"\b(RAM|SWAP)\s+" + _N + "/" + _N + "([kMG])B")
_CPU = re.compile(r"\bCPU\s+\[([^\]]*)\](?:@" + _N + ")?")
_CORE = re.compile(r"\s*" + _N + "%(?:@" + _N + r")?\s*\Z")
_EMC = re.compile(r"\bEMC_FREQ\s+(?:" + _N + "%)?(?:@" + _N + ")?")
# 37%@1020, @[1000,1000,1000] and 0%@[1300,1300]: the second is Thor's, which has no load.
_GPU = re.compile(r"\bGR3D_FREQ\s+(?:" + _N + r"%)?(?:@(?:" + _N + r"|\[([^\]]*)\]))?")
_TEMPERATURE = re.compile(r"(?<!\S)(\w+)@(-?[0-9]{1,6}(?:\.[0-9]{1,6})?)C(?![^\s/])")
# A unit ends a number; without one (JetPack 4) it has to stand alone, as RAM 1/2MB does not.
_RAIL = re.compile(
    r"(?<!\S)([A-Z]\w*)\s+(?:" + _N + "mW(?:/[0-9]+mW)*|" + _N + r"/[0-9]+)(?!\S)", re.ASCII
)
_NOT_CONNECTED = "NC"
_HIGHEST_WITHOUT_UNIT_MW = 200_000  # above it, it is no power of a board
_PER_MB = {"k": 1 / 1024, "M": 1.0, "G": 1024.0}


@dataclass(frozen=True)
class Core:
    """One processor.

    Attributes:
        load: 0 to 1 of its present clock.
        mhz: Its clock; None where tegrastats does not say.
    """

    load: float
    mhz: int | None


@dataclass(frozen=True)
class TegraStats:
    """What one line says; what it does not say is None or empty.

    Attributes:
        ram_mb: Used and total.
        swap_mb: Used and total.
        cores: By number; None for one that is switched off.
        emc_load: 0 to 1 of the memory controller.
        emc_mhz: Its clock.
        gpu_load: 0 to 1.
        gpu_mhz: Clock of every part of the GPU that has its own.
        temperatures_c: Degrees Celsius by zone, without those switched off.
        rails_mw: Milliwatts at the moment, by rail.
    """

    ram_mb: tuple[float, float] | None
    swap_mb: tuple[float, float] | None
    cores: tuple[Core | None, ...]
    emc_load: float | None
    emc_mhz: int | None
    gpu_load: float | None
    gpu_mhz: tuple[int, ...]
    temperatures_c: dict[str, float]
    rails_mw: dict[str, int]

    @property
    def total_mw(self) -> int | None:
        """What the board takes, by the rule of `erpose_edge.machine.rails.total_rails`."""
        powers = [self.rails_mw[name] for name in total_rails(self.rails_mw)]
        return sum(powers) if powers else None


def parse_line(line: str) -> TegraStats:
    """Read a line; parts in no known dialect are left out, never guessed."""
    emc = _EMC.search(line)
    gpu_load, gpu_mhz = _gpu(line)
    memory = _memory(line)
    return TegraStats(
        ram_mb=memory.get("RAM"),
        swap_mb=memory.get("SWAP"),
        cores=_cores(line),
        emc_load=_share(emc.group(1)) if emc else None,
        emc_mhz=_whole(emc.group(2)) if emc else None,
        gpu_load=gpu_load,
        gpu_mhz=gpu_mhz,
        temperatures_c=_temperatures(line),
        rails_mw=_rails(line),
    )


def _memory(line: str) -> dict[str, tuple[float, float]]:
    return {
        name: (int(used) * _PER_MB[unit], int(total) * _PER_MB[unit])
        for name, used, total, unit in _MEMORY.findall(line)
    }


def _cores(line: str) -> tuple[Core | None, ...]:
    found = _CPU.search(line)
    if found is None:
        return ()
    cores: list[Core | None] = []
    for word in found.group(1).split(","):
        core = _CORE.match(word)
        load = _share(core.group(1)) if core else None
        mhz = _whole((core.group(2) if core else None) or found.group(2))
        cores.append(None if load is None else Core(load, mhz))
    return tuple(cores)


def _gpu(line: str) -> tuple[float | None, tuple[int, ...]]:
    found = _GPU.search(line)
    if found is None:
        return None, ()
    load, one, several = found.groups()
    words = [one] if one else (several or "").split(",")
    return _share(load), tuple(int(word) for word in words if re.fullmatch(rf"\s*{_N}\s*", word))


def _temperatures(line: str) -> dict[str, float]:
    found = {name: celsius(round(float(text) * 1e3)) for name, text in _TEMPERATURE.findall(line)}
    return {name: value for name, value in found.items() if value is not None}


def _rails(line: str) -> dict[str, int]:
    rails: dict[str, int] = {}
    for name, with_unit, without in _RAIL.findall(line):
        power = int(with_unit or without)
        if name != _NOT_CONNECTED and (with_unit or power <= _HIGHEST_WITHOUT_UNIT_MW):
            rails[name] = power
    return rails


def _share(percent: str | None) -> float | None:
    value = _whole(percent)
    return None if value is None or value > 100 else value / 100


def _whole(text: str | None) -> int | None:
    return int(text) if text else None
