"""Which processor a number was measured on.

Ref: https://docs.kernel.org/arch/x86/cpuinfo.html and
https://docs.kernel.org/arch/arm64/elf_hwcaps.html for the names of the flags.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from erpose_edge.runtime.runner import usable_cores

# What decides how fast, and how exactly, int8 and float convolutions run.
_FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8"),
    *("avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme"),  # Arm
)
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class CpuFacts:
    """A processor, and how busy it was.

    Attributes:
        model: As the system names it.
        flags: Instruction sets that matter for inference, of those it has.
        cores: Logical processors this process may use.
        threads: How many the engine computes with.
        load: Mean number of runnable processes over 1, 5 and 15 minutes; empty where unknown.
    """

    model: str
    flags: tuple[str, ...]
    cores: int
    threads: int
    load: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {**asdict(self), "flags": list(self.flags), "load": list(self.load)}


def cpu_facts(threads: int | None = None) -> CpuFacts:
    """Look at the processor of this machine.

    Args:
        threads: How many the engine computes with, to be noted beside; all cores by default.
    """
    text = _CPUINFO.read_text(errors="replace") if _CPUINFO.is_file() else ""
    model, flags = parse_cpuinfo(text)
    cores = usable_cores()
    return CpuFacts(
        model=model or platform.processor() or platform.machine() or "unknown",
        flags=flags,
        cores=cores,
        threads=cores if threads is None else threads,
        load=tuple(round(value, 2) for value in os.getloadavg())
        if hasattr(os, "getloadavg")
        else (),
    )


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the model and the flags of interest from the text of /proc/cpuinfo.

    Arm kernels give no model name but numbers: implementer and part are returned then, or the
    board's name.
    """
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), value.strip())
    numbers = [values[key] for key in ("CPU implementer", "CPU part") if key in values]
    part = f"Arm implementer {numbers[0]} part {numbers[1]}" if len(numbers) == 2 else ""
    model = values.get("model name") or values.get("Model") or part or values.get("Hardware", "")
    has = set(values.get("flags", values.get("Features", "")).split())
    return model, tuple(flag for flag in _FLAGS if flag in has)
