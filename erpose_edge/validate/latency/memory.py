"""How much memory this process has needed at most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.machine.sysfs import parse_int, read_text

if TYPE_CHECKING:
    from erpose_edge.runtime.runner import Runner

_STATUS = "proc/self/status"
_PEAK = "VmHWM:"


def memory_peak(runner: Runner, root: Path = Path("/")) -> dict[str, float | None]:
    """Return megabytes since the process started; None where nobody tells.

    ``peak_mb`` is resident memory, with Python, the engine and the pictures. ``gpu_mb`` is what the
    runner says that it holds on the GPU.

    Ref: https://docs.kernel.org/filesystems/proc.html, table 1-2.
    """
    peak = None
    for line in (read_text(root / _STATUS) or "").splitlines():
        words = line.split()
        if words[:1] == [_PEAK] and len(words) > 1:
            peak = parse_int(words[1])
    held = getattr(runner, "gpu_bytes", None)
    return {
        "peak_mb": None if peak is None else round(peak * 1024 / 1e6, 1),
        "gpu_mb": None if held is None else round(held / 1e6, 1),
    }
