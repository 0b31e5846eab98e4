"""What would make a machine serve better, and what to know before believing a number from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from erpose_edge.machine.needs import Remedy
from erpose_edge.machine.versions import in_range

if TYPE_CHECKING:
    from erpose_edge.machine.facts import Machine
    from erpose_edge.machine.power_mode import PowerMode, PowerModes
    from erpose_edge.machine.registry import Registry

_SMALL_MB = 4600  # a board sold with 4 GB
_BUILDS_WITH_SWAP_MB = 9000  # a board sold with 8 GB
_LOW_DISK_MB = 1024
_WATTS = re.compile(r"(\d+)W")
_CORES = re.compile(r"(\d+)_?CORE")
_SWAP = (
    "sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && "
    "sudo mkswap /swapfile && sudo swapon /swapfile"
)


def best_mode(modes: PowerModes) -> PowerMode | None:
    """Return the mode with the most power, by its name.

    MAXN_SUPER before MAXN, these before any number of watts, more watts before fewer, and more
    cores before fewer. None if no name says either.
    """
    ranked = [(_rank(mode.name), mode) for mode in modes.modes]
    known = [(rank, mode) for rank, mode in ranked if rank is not None]
    return max(known, key=lambda entry: entry[0])[1] if known else None


def _rank(name: str) -> tuple[int, int, int] | None:
    upper = name.upper()
    if upper.startswith("MAXN"):
        return (2 if "SUPER" in upper else 1, 0, 0)
    watts = _WATTS.search(upper)
    if watts is None:
        return None
    cores = _CORES.search(upper)
    # A mode that names no number of cores has all of them.
    return (0, int(watts[1]), int(cores[1]) if cores else 99)


def advice(machine: Machine, registry: Registry | None = None) -> tuple[Remedy, ...]:
    """Return what would make a machine serve better, with the command for it."""
    return (*_memory(machine), *_cameras(machine), *_power(machine, registry))


def warnings(machine: Machine) -> tuple[str, ...]:
    """Return one line for everything that makes numbers of this machine mean less, or other."""
    lines = [*_processor(machine), *(f"slowed: {what}" for what in machine.slowed)]
    governors = sorted({clock.governor for clock in machine.clocks.cpu if clock.governor})
    if governors and governors != ["performance"]:
        lines.append(
            f"CPU governor {', '.join(governors)}: clocks follow the load, and times vary with them"
        )
    around = machine.surroundings
    if around.disk_free_mb is not None and around.disk_free_mb < _LOW_DISK_MB:
        lines.append(
            f"disk: {around.disk_free_mb} MB are free at home, where bundles and engines are kept"
        )
    if around.volatile:
        lines.append(f"/ is {around.root_kind}: what is written there is gone after a restart")
    if around.container:
        lines.append("in a container: power modes, clocks and other processes are the host's")
    return (*lines, *machine.notes)


def _processor(machine: Machine) -> list[str]:
    flags = machine.cpu.flags
    if machine.vnni is False:
        return [
            "no VNNI: int8 can saturate and be slower than fp32; deploy takes int8 only where it "
            "is measured faster"
        ]
    if "amx_bf16" in flags:
        return ["AMX: OpenVINO computes fp32 in bf16 unless told not to; the runner tells it"]
    if machine.architecture == "aarch64" and flags and "asimddp" not in flags:
        if machine.board.is_jetson:  # its GPU computes
            return []
        return ["no int8 dot products (asimddp): int8 saves memory, and hardly time"]
    return []


def _memory(machine: Machine) -> list[Remedy]:
    around, found = machine.surroundings, []
    total = around.memory.total_mb
    if not machine.board.is_jetson or total is None or around.container:
        return []
    if total < _SMALL_MB and around.desktop:
        found.append(
            Remedy(
                f"a desktop ({around.desktop}) takes memory of {total} MB: start without it",
                "sudo systemctl set-default multi-user.target && sudo reboot",
            )
        )
    if total < _BUILDS_WITH_SWAP_MB and around.memory.swap_mb == 0:
        found.append(Remedy(f"no swap beside {total} MB: building an engine can fail", _SWAP))
    return found


def _cameras(machine: Machine) -> list[Remedy]:
    csi = any(camera.csi for camera in machine.surroundings.cameras)
    if not machine.python.opencv_from_pip or not (machine.board.is_jetson or csi):
        return []
    return [
        Remedy(
            "cv2 is a wheel without GStreamer, which opens no camera on the board's connector",
            "python3 -m pip uninstall -y opencv-python opencv-python-headless && "
            "sudo apt install python3-opencv",
        )
    ]


def _power(machine: Machine, registry: Registry | None) -> list[Remedy]:
    modes = machine.power_modes
    if modes is None or machine.surroundings.container:
        return []
    found = []
    best = best_mode(modes)
    if best is not None and modes.current is not None and modes.current != best:
        what = f"power mode {modes.current.name}: {best.name} has the most power"
        found.append(Remedy(what, f"sudo nvpmodel -m {best.id}"))
    if machine.clocks.gpu and not machine.clocks.gpu[0].pinned:
        what = "clocks follow the load: hold them while you measure (a restart undoes it)"
        found.append(Remedy(what, "sudo jetson_clocks"))
    return found + _super(machine, registry)


def _super(machine: Machine, registry: Registry | None) -> list[Remedy]:
    """Say that a module could be flashed for more power; that is not done by a command here."""
    if registry is None or machine.board.flash != "original" or len(machine.board.modules) != 1:
        return []
    release = registry.jetpack_of(machine.l4t) if machine.l4t else None
    module = registry.module(machine.board.modules[0])
    if release is None or module.super is None:
        return []
    since = module.super.since_jetpack
    if since and not in_range(release.version, f">={since}"):
        return []
    return [Remedy("flashed without Super: flashed with it the module has modes with more power")]
