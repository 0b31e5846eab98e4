"""What this machine is: every fact that `diagnosis` judges and a certificate records.

Nothing here fails: what cannot be read is left empty, and what cannot be understood gets a note.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.machine.board import Board, read_board
from erpose_edge.machine.clocks import Clocks, read_clocks
from erpose_edge.machine.cpu import CpuFacts, architecture, cpu_facts
from erpose_edge.machine.gpu import Gpu, read_gpu
from erpose_edge.machine.packages import opencv_from_pip, python_packages, python_version
from erpose_edge.machine.power_mode import PowerModes, read_power_modes
from erpose_edge.machine.slowed import read_slowed
from erpose_edge.machine.software import Software, read_software
from erpose_edge.machine.surroundings import Surroundings, read_surroundings
from erpose_edge.machine.thermal import read_temperatures

if TYPE_CHECKING:
    from erpose_edge.machine.registry import Registry

# Each of them multiplies bytes and adds in 32 bits.
VNNI = ("avx_vnni", "avx512_vnni", "amx_int8")


@dataclass(frozen=True)
class PythonFacts:
    """The Python that the runtime runs in.

    Attributes:
        version: Of python3; empty where unknown.
        packages: Version by import name of what it can import; empty where that is not known.
        opencv_from_pip: cv2 is a wheel of the package index, without GStreamer.
    """

    version: str
    packages: dict[str, str]
    opencv_from_pip: bool


@dataclass(frozen=True)
class Machine:
    """A machine.

    Attributes:
        board: Which one.
        architecture: As ``uname -m`` says it.
        cpu: Processor.
        cpu_class: Its class in the registry; empty if it is in none.
        gpu: NVIDIA GPU; None if there is none.
        software: Versions of system, CUDA and TensorRT.
        python: What the runtime runs in.
        surroundings: Memory, disk, cameras, container.
        power_modes: Of a Jetson; None elsewhere.
        clocks: At this moment.
        temperatures_c: Degrees Celsius by zone.
        slowed: In words, by what the hardware holds itself back, or has since the start.
        notes: What was found and not understood.
        here: It is the machine that this runs on, not another root.
    """

    board: Board
    architecture: str
    cpu: CpuFacts
    cpu_class: str
    gpu: Gpu | None
    software: Software
    python: PythonFacts
    surroundings: Surroundings
    power_modes: PowerModes | None
    clocks: Clocks
    temperatures_c: dict[str, float]
    slowed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    here: bool = True

    @property
    def vnni(self) -> bool | None:
        """Whether an x86 processor has int8 dot products; None for others."""
        if self.architecture != "x86_64" or not self.cpu.flags:
            return None
        return any(flag in self.cpu.flags for flag in VNNI)

    @property
    def l4t(self) -> str:
        """Version of Jetson Linux; empty off a Jetson."""
        return self.software.l4t

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            "board": self.board.to_json(),
            "architecture": self.architecture,
            "cpu": {**self.cpu.to_json(), "class": self.cpu_class, "vnni": self.vnni},
            "gpu": None if self.gpu is None else self.gpu.to_json(),
            "software": self.software.to_json(),
            "python": asdict(self.python),
            "surroundings": self.surroundings.to_json(),
            "power_mode": None if self.power_modes is None else _modes_json(self.power_modes),
            "clocks": self.clocks.to_json(),
            "temperatures_c": self.temperatures_c,
            "slowed": list(self.slowed),
            "notes": list(self.notes),
        }


def read_machine(root: Path = Path("/"), registry: Registry | None = None) -> Machine:
    """Look at a machine.

    Args:
        root: Of the file system: this machine's, or that of a board's image.
        registry: Names modules, JetPack releases and classes of processors; without one those stay
            empty.
    """
    modes = read_power_modes(root)
    board = read_board(root, registry, modes)
    software, notes = read_software(root, registry)
    cpu = cpu_facts(root=root)
    kind = architecture(root)
    known = registry.cpu_class(cpu.flags, kind) if registry is not None else None
    return Machine(
        board=board,
        architecture=kind,
        cpu=cpu,
        cpu_class=known.name if known is not None else "",
        gpu=read_gpu(root, board, registry),
        software=software,
        python=PythonFacts(python_version(root), python_packages(root), opencv_from_pip(root)),
        surroundings=read_surroundings(root),
        power_modes=modes,
        clocks=read_clocks(root),
        temperatures_c=read_temperatures(root),
        slowed=read_slowed(root),
        notes=(*notes, *_board_notes(board, registry)),
        here=root == Path("/"),
    )


def _board_notes(board: Board, registry: Registry | None) -> tuple[str, ...]:
    if not board.is_jetson or registry is None or len(board.modules) == 1:
        return ()
    got = board.part_number or board.compatible[0]
    if not board.modules:
        return (f"module: expected one that the registry knows, got {got}; it is not known here",)
    return (f"module: {got} can be {' or '.join(board.modules)}",)


def _modes_json(modes: PowerModes) -> dict[str, Any]:
    return {
        "current": None if modes.current is None else modes.current.name,
        "modes": {mode.name: mode.id for mode in modes.modes},
    }
