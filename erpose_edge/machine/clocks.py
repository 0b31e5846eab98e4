"""Clocks of processor, GPU and memory controller, and who governs them.

Ref: https://docs.kernel.org/admin-guide/pm/cpufreq.html (kHz) and
https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-class-devfreq (Hz).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from erpose_edge.machine.sysfs import numbered, read_int, read_text

# JetPack 4 to 6 name the GPU by its chip or ``gpu``; Thor has one entry for each clock domain.
_GPU_NAMES = ("gpu-gpc-*", "gpu-nvd-*", "*gpu*", "*ga10b*", "*gv11b*", "*gp10b*", "*gm20b*")
_EMC_FILES = (
    "sys/kernel/debug/bpmp/debug/clk/emc/rate",
    "sys/kernel/debug/tegra_bwmgr/emc_rate",
    "sys/kernel/debug/clk/emc/clk_rate",
)


@dataclass(frozen=True)
class Clock:
    """One clock domain.

    Attributes:
        name: ``policy0`` of a processor, or the name of the devfreq entry.
        current_mhz: At this moment; 0 for a GPU that sleeps.
        lowest_mhz: The governor may go down to it, in this power mode.
        highest_mhz: The governor may go up to it, in this power mode.
        governor: Such as ``schedutil`` or ``nvhost_podgov``.
        cpus: Numbers of the processors that it drives; empty for a GPU.
    """

    name: str
    current_mhz: float | None
    lowest_mhz: float | None
    highest_mhz: float | None
    governor: str | None
    cpus: tuple[int, ...] = ()

    @property
    def pinned(self) -> bool:
        """Lowest and highest are the same, as jetson_clocks leaves them."""
        return self.highest_mhz is not None and self.lowest_mhz == self.highest_mhz


@dataclass(frozen=True)
class Clocks:
    """All clocks that this machine lets us see.

    Attributes:
        cpu: By policy.
        gpu: The one that computes first.
        emc_mhz: Memory controller; None where unknown.
        notes: What could not be read, and what to do.
    """

    cpu: tuple[Clock, ...]
    gpu: tuple[Clock, ...]
    emc_mhz: float | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            "cpu": [{**asdict(clock), "cpus": list(clock.cpus)} for clock in self.cpu],
            "gpu": [{**asdict(clock), "cpus": list(clock.cpus)} for clock in self.gpu],
            "emc_mhz": self.emc_mhz,
            "notes": list(self.notes),
        }


def find_cpu_policies(root: Path = Path("/")) -> list[Path]:
    """Return the folders of cpufreq, one for each group of processors with one clock."""
    cpus = root / "sys/devices/system/cpu"
    return numbered(cpus / "cpufreq", "policy[0-9]*") or [
        folder / "cpufreq"
        for folder in numbered(cpus, "cpu[0-9]*")
        if (folder / "cpufreq").is_dir()
    ]


def policy_name(folder: Path) -> str:
    """Return ``policy0``, or ``cpu0`` on kernels that have no folder of policies."""
    return folder.parent.name if folder.name == "cpufreq" else folder.name


def find_gpus(root: Path = Path("/")) -> list[Path]:
    """Return the folders of devfreq that belong to a GPU, the computing clock first."""
    entries = numbered(root / "sys/class/devfreq", "*")
    found: list[Path] = []
    for pattern in _GPU_NAMES:
        found += [e for e in entries if fnmatchcase(e.name, pattern) and e not in found]
    return found


def find_emc(root: Path = Path("/")) -> tuple[Path | None, str | None]:
    """Return the file with the memory controller's rate in Hz, and why there is none."""
    for place in _EMC_FILES:
        if read_int(root / place) is not None:
            return root / place, None
    debug = root / "sys/kernel/debug"
    if find_gpus(root) and not numbered(debug, "*"):
        return None, "emc clock: unknown, debugfs shows nothing; run as root to record it"
    return None, None


def read_clocks(root: Path = Path("/")) -> Clocks:
    """Look at all clocks once."""
    emc, why = find_emc(root)
    rate = None if emc is None else read_int(emc)
    return Clocks(
        cpu=tuple(_cpu_clock(folder) for folder in find_cpu_policies(root)),
        gpu=tuple(_gpu_clock(folder) for folder in find_gpus(root)),
        emc_mhz=None if rate is None else rate / 1e6,
        notes=() if why is None else (why,),
    )


def _cpu_clock(folder: Path) -> Clock:
    cpus = read_text(folder / "affected_cpus") or read_text(folder / "related_cpus") or ""
    return Clock(
        policy_name(folder),
        current_mhz=_mhz(folder / "scaling_cur_freq", 1e3),
        lowest_mhz=_mhz(folder / "scaling_min_freq", 1e3),
        highest_mhz=_mhz(folder / "scaling_max_freq", 1e3),
        governor=read_text(folder / "scaling_governor"),
        cpus=tuple(int(word) for word in cpus.split() if word.isdigit()),
    )


def _gpu_clock(folder: Path) -> Clock:
    return Clock(
        folder.name,
        current_mhz=_mhz(folder / "cur_freq", 1e6),
        lowest_mhz=_mhz(folder / "min_freq", 1e6),
        highest_mhz=_mhz(folder / "max_freq", 1e6),
        governor=read_text(folder / "governor"),
    )


def _mhz(path: Path, per_mhz: float) -> float | None:
    value = read_int(path)
    return None if value is None else value / per_mhz
