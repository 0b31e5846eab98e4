"""Which processor a number was measured on.

Ref: https://docs.kernel.org/arch/x86/cpuinfo.html and
https://docs.kernel.org/arch/arm64/elf_hwcaps.html for the names of the flags; lscpu-arm.c of
util-linux for the numbers of Arm's designs.
"""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from erpose_edge.machine.sysfs import read_text
from erpose_edge.runtime.runner import usable_cores

# What decides how fast, and how exactly, int8 and float convolutions run.
_FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx_vnni_int8"),
    *("avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "sme"),  # Arm
)
_CPUINFO = "proc/cpuinfo"
# (implementer, part) of the boards that this package has targets for.
_ARM_DESIGNS = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd83"): "Neoverse-V3AE",
    ("0x4e", "0x003"): "Denver 2",
    ("0x4e", "0x004"): "Carmel",
}


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


def cpu_facts(threads: int | None = None, root: Path = Path("/")) -> CpuFacts:
    """Look at the processor of a machine.

    Args:
        threads: How many the engine computes with, to be noted beside; all cores by default.
        root: Of the file system; with another than this machine's the load is not known.
    """
    text = read_text(root / _CPUINFO) or ""
    model, flags = parse_cpuinfo(text)
    here = root == Path("/")
    if here:
        model = model or platform.processor() or platform.machine()
    cores = usable_cores() if here else max(count_processors(text), 1)
    return CpuFacts(
        model=model or "unknown",
        flags=flags,
        cores=cores,
        threads=cores if threads is None else threads,
        load=tuple(round(value, 2) for value in os.getloadavg())
        if here and hasattr(os, "getloadavg")
        else (),
    )


def architecture(root: Path = Path("/")) -> str:
    """Return what ``uname -m`` says, or what the processor's flags say of another root."""
    if root == Path("/"):
        return platform.machine()
    values = _first_values(read_text(root / _CPUINFO) or "")
    if "flags" in values:
        return "x86_64"
    if "Features" in values:
        return "aarch64" if "asimd" in values["Features"].split() else "armv7l"
    return ""


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the model and the flags of interest from the text of /proc/cpuinfo.

    Arm kernels name the instruction set, or nothing, and give numbers of the design: its name is
    returned then, or the board's where the kernel adds that.
    """
    values = _first_values(text)
    name = values.get("model name", "")
    if name.startswith("ARMv"):  # an instruction set, the same for all designs
        name = ""
    model = name or values.get("Model") or _design(values) or values.get("Hardware", "")
    has = set(values.get("flags", values.get("Features", "")).split())
    return model, tuple(flag for flag in _FLAGS if flag in has)


def count_processors(text: str) -> int:
    """Return how many processors the text of /proc/cpuinfo describes."""
    keys = (line.partition(":")[0].strip() for line in text.splitlines())
    return sum(key == "processor" for key in keys)


def _first_values(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), value.strip())
    return values


def _design(values: dict[str, str]) -> str:
    implementer, part = values.get("CPU implementer"), values.get("CPU part")
    if implementer is None or part is None:
        return ""
    unknown = f"Arm implementer {implementer} part {part}"
    return _ARM_DESIGNS.get((implementer, part), unknown)
