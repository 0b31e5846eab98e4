"""Memory, disk, container, cameras and desktop: what surrounds a network on a machine.

Ref: https://docs.kernel.org/filesystems/proc.html#meminfo, proc_mounts(5), elf(5), and
https://docs.kernel.org/userspace-api/media/ for video4linux.
"""

from __future__ import annotations

import re
import shutil
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from erpose_edge.machine.sysfs import numbered, read_text

_MEMINFO = re.compile(r"^(\w+):\s+(\d{1,15})\s*kB", re.MULTILINE)
_DESKTOPS = ("Xorg", "gnome-shell", "Xwayland", "kwin_wayland", "labwc", "wayfire")
_CONTAINERS = (".dockerenv", "run/.containerenv")
# Names that drivers of camera connectors give; others are USB.
_CSI = re.compile(r"vi-output|rp1-cfe|unicam|imx\d+|ov\d+|csi", re.IGNORECASE)
_VOLATILE = ("tmpfs", "ramfs", "overlay")
_ELF = {1: 32, 2: 64}  # EI_CLASS


@dataclass(frozen=True)
class Memory:
    """Main memory, which a Jetson's GPU shares; None where unknown.

    Attributes:
        total_mb: What the kernel has, in 2^20 bytes; boards keep some for their firmware.
        available_mb: What a new program can have without swapping.
        swap_mb: Swap, compressed memory (zram) included.
    """

    total_mb: int | None = None
    available_mb: int | None = None
    swap_mb: int | None = None


@dataclass(frozen=True)
class Camera:
    """A camera: its device, what its driver calls it, and whether it is on the connector."""

    device: str
    name: str
    csi: bool


@dataclass(frozen=True)
class Surroundings:
    """What a network runs amid.

    Attributes:
        memory: Main memory.
        disk_free_mb: In the user's home; None in another root.
        root_kind: File system of ``/``, such as ``ext4``.
        container: In one.
        userland_bits: 32 or 64, which can be fewer than the kernel has; None where unknown.
        desktop: The desktop that is running; empty if there is none.
        cameras: In the order of their devices.
    """

    memory: Memory
    disk_free_mb: int | None
    root_kind: str
    container: bool
    userland_bits: int | None
    desktop: str
    cameras: tuple[Camera, ...]

    @property
    def volatile(self) -> bool:
        """What is written to the root is lost at the next start."""
        return self.root_kind in _VOLATILE and not self.container

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {**asdict(self), "cameras": [asdict(camera) for camera in self.cameras]}


def read_surroundings(root: Path = Path("/")) -> Surroundings:
    """Look at what surrounds a network."""
    return Surroundings(
        memory=parse_meminfo(read_text(root / "proc/meminfo") or ""),
        disk_free_mb=_disk_free_mb() if root == Path("/") else None,
        root_kind=parse_root_kind(read_text(root / "proc/mounts") or ""),
        container=any((root / name).exists() for name in _CONTAINERS),
        userland_bits=_userland_bits(root),
        desktop=_desktop(root),
        cameras=_cameras(root),
    )


def parse_meminfo(text: str) -> Memory:
    """Return the sizes that the text of /proc/meminfo gives."""
    kilobytes = {name: int(value) for name, value in _MEMINFO.findall(text)}

    def megabytes(name: str) -> int | None:
        return kilobytes[name] // 1024 if name in kilobytes else None

    return Memory(megabytes("MemTotal"), megabytes("MemAvailable"), megabytes("SwapTotal"))


def parse_root_kind(text: str) -> str:
    """Return the file system of ``/`` from the text of /proc/mounts; the last mount counts."""
    lines = [line.split() for line in text.splitlines()]
    kinds = [words[2] for words in lines if len(words) > 2 and words[1] == "/"]
    return kinds[-1] if kinds else ""


def _userland_bits(root: Path) -> int | None:
    if root == Path("/"):
        return 8 * struct.calcsize("P")
    try:
        with (root / "bin/sh").open("rb") as file:
            head = file.read(5)
    except OSError:
        return None
    return _ELF.get(head[4]) if len(head) == 5 and head[:4] == b"\x7fELF" else None


def _desktop(root: Path) -> str:
    for path in numbered(root / "proc", "[0-9]*/comm"):
        name = read_text(path)
        if name in _DESKTOPS:
            return name or ""
    return ""


def _cameras(root: Path) -> tuple[Camera, ...]:
    cameras = []
    for folder in numbered(root / "sys/class/video4linux", "video[0-9]*"):
        name = read_text(folder / "name") or "unknown"
        cameras.append(Camera(f"/dev/{folder.name}", name, bool(_CSI.search(name))))
    return tuple(cameras)


def _disk_free_mb() -> int | None:
    try:
        return shutil.disk_usage(Path.home()).free >> 20
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
