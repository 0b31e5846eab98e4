"""What other processes took of the processors while this one measured.

Ref: https://docs.kernel.org/filesystems/proc.html, section 1.8, for /proc/stat.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from erpose_edge.machine.load import PROC_STAT, parse_cpu_times
from erpose_edge.machine.sysfs import parse_int, read_text

_STOLEN = 8  # word of the first line of /proc/stat: time that the host of a virtual machine took
_DIGITS = 4


@dataclass(frozen=True)
class Background:
    """Time on processors between two moments, in seconds; None where the system does not tell.

    Attributes:
        load: Mean number of runnable processes over 1, 5 and 15 minutes, before.
        cores: Logical processors of the machine.
        wall_s: Between the two moments.
        own_s: Of all threads of this process.
        others_s: Of everything else but the host: other processes and the kernel.
        host_s: That the host of a virtual machine took away.
    """

    load: tuple[float, ...]
    cores: int | None
    wall_s: float
    own_s: float
    others_s: float | None
    host_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {**asdict(self), "load": list(self.load)}


class BackgroundWatch:
    """Opened before a measurement; `over` compares.

    Args:
        root: Folder that stands for ``/``.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        here = root == Path("/") and hasattr(os, "getloadavg")
        self._root = root
        self._load = tuple(round(value, 2) for value in os.getloadavg()) if here else ()
        self._before = _ticks(root)
        self._wall_s, self._own_s = time.perf_counter(), time.process_time()

    def over(self) -> Background:
        """Return what was taken since the watch was opened."""
        wall_s = time.perf_counter() - self._wall_s
        own_s = time.process_time() - self._own_s
        before, after = self._before, _ticks(self._root)
        cores = others_s = host_s = None
        if before is not None and after is not None:
            per_s = os.sysconf("SC_CLK_TCK")
            busy_s, host_s = ((b - a) / per_s for a, b in zip(before[:2], after[:2]))
            others_s = round(max(busy_s - host_s - own_s, 0.0), _DIGITS)
            host_s = round(max(host_s, 0.0), _DIGITS)
            cores = after[2]
        return Background(
            self._load, cores, round(wall_s, _DIGITS), round(own_s, _DIGITS), others_s, host_s
        )


def _ticks(root: Path) -> tuple[int, int, int] | None:
    """Return busy and stolen ticks of all processors, and their number; None if unknown."""
    text = read_text(root / PROC_STAT)
    times = None if text is None else parse_cpu_times(text)
    if text is None or times is None or times.total == 0:
        return None
    lines = text.splitlines()
    words = lines[0].split()
    stolen = parse_int(words[_STOLEN]) if len(words) > _STOLEN else None
    cores = sum(line.startswith("cpu") for line in lines) - 1
    return times.busy, stolen or 0, max(cores, 1)
