"""How busy the processor and the GPU are.

Ref: https://docs.kernel.org/filesystems/proc.html, section 1.8, for /proc/stat.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from erpose_edge.machine.clocks import find_gpus
from erpose_edge.machine.sysfs import parse_int, read_int

PROC_STAT = "proc/stat"
_GPU_LOADS = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/platform/bus@0/17000000.gpu/load",
    "sys/devices/platform/17000000.gpu/load",
)
_IDLE, _WAITING = 3, 4  # columns of /proc/stat
_COLUMNS = 8  # guests are contained in user and nice already


@dataclass(frozen=True)
class CpuTimes:
    """Time of all processors since the start, in ticks of the kernel.

    Attributes:
        busy: Neither idle nor waiting for a disk.
        total: All.
    """

    busy: int
    total: int


def find_gpu_load(root: Path = Path("/")) -> Path | None:
    """Return the file with the GPU's load per mille; None where there is none (Thor, x86)."""
    beside_clock = [folder.resolve().parent.parent / "load" for folder in find_gpus(root)]
    for path in [*beside_clock, *(root / place for place in _GPU_LOADS)]:
        if read_int(path) is not None:
            return path
    return None


def parse_cpu_times(text: str) -> CpuTimes | None:
    """Return the sum over all processors from the text of /proc/stat."""
    first = text.partition("\n")[0].split()
    numbers = [parse_int(word) for word in first[1 : 1 + _COLUMNS]]
    ticks = [number for number in numbers if number is not None]
    if first[:1] != ["cpu"] or len(ticks) != len(numbers) or len(ticks) <= _WAITING:
        return None
    total = sum(ticks)
    return CpuTimes(total - ticks[_IDLE] - ticks[_WAITING], total)


def cpu_load(before: CpuTimes, after: CpuTimes) -> float | None:
    """Return the share 0 to 1 of the time between two readings that processors were busy."""
    total = after.total - before.total
    if total <= 0:
        return None
    return min(max((after.busy - before.busy) / total, 0.0), 1.0)
