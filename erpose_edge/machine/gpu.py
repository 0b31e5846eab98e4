"""Which GPU there is, without asking CUDA: starting it takes longer than everything else here.

Ref: https://download.nvidia.com/XFree86/Linux-x86_64/580.65.06/README/procinterface.html
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.machine.sysfs import numbered, read_text

if TYPE_CHECKING:
    from erpose_edge.machine.board import Board
    from erpose_edge.machine.registry import Registry

_DRIVER = "proc/driver/nvidia"
_MODEL = re.compile(r"^Model:[ \t]*(\S.*)$", re.MULTILINE)
_VERSION = re.compile(r"Kernel Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)")


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU.

    Attributes:
        name: Of the card, or of the chip that a Jetson's GPU is part of.
        compute_capability: ``8.7``; empty where only CUDA knows it.
        cuda_cores: None where unknown.
        driver: Version of a card's driver; empty on a Jetson, where it comes with L4T.
    """

    name: str
    compute_capability: str = ""
    cuda_cores: int | None = None
    driver: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def read_gpu(
    root: Path = Path("/"), board: Board | None = None, registry: Registry | None = None
) -> Gpu | None:
    """Return the first NVIDIA GPU; None if there is none.

    Args:
        root: Of the file system.
        board: Whose module says what a Jetson's GPU is.
        registry: That the board's modules are in.
    """
    if board is not None and board.is_jetson:
        return _of_module(board, registry)
    for path in numbered(root / _DRIVER / "gpus", "*/information"):
        found = _MODEL.search(read_text(path) or "")
        if found is not None:
            version = _VERSION.search(read_text(root / _DRIVER / "version") or "")
            return Gpu(found[1].strip(), driver=version[1] if version else "")
    return None


def _of_module(board: Board, registry: Registry | None) -> Gpu:
    chip = next((name.partition(",")[2] for name in board.compatible if "tegra" in name), "tegra")
    if registry is None or not board.modules:
        return Gpu(chip)
    modules = [registry.module(name) for name in board.modules]
    capabilities = {module.compute_capability for module in modules}
    cores = {module.cuda_cores for module in modules}
    return Gpu(
        modules[0].soc,
        compute_capability=capabilities.pop() if len(capabilities) == 1 else "",
        cuda_cores=cores.pop() if len(cores) == 1 else None,
    )
