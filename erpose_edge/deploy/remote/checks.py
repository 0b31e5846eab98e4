"""What a board must have before anything is sent there; each lack is one line that mends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from erpose_edge.deploy.remote.session import Board
from erpose_edge.errors import TargetError

_PYTHON = (3, 8)
_DISK_FACTOR = 3  # the archive, what is unpacked from it, and the engine with its caches
_NOT_FOUND = 127  # of a shell
_ARM, _X86 = "aarch64", "x86_64"
_SAME = {"arm64": _ARM, "amd64": _X86}

# Any one of an engine's modules will do; the first is the one to install.
_MODULES = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime",),
    "tensorrt": ("tensorrt",),
    "tflite": ("ai_edge_litert", "tflite_runtime", "tensorflow"),
}
_INSTALL = {
    "openvino": "python3 -m pip install openvino",
    "onnxruntime": "python3 -m pip install onnxruntime",
    "tensorrt": "sudo apt install python3-libnvinfer",
    "tflite": "python3 -m pip install ai-edge-litert",
    "numpy": "sudo apt install python3-numpy",
    "cv2": "sudo apt install python3-opencv",
}


@dataclass(frozen=True)
class Needs:
    """What a bundle needs of a board.

    Attributes:
        architectures: Answers of ``uname -m`` that will do.
        engine: As in the profile.
        archive_sha256: Of the tar, in hex.
        archive_bytes: Of the tar.
    """

    architectures: tuple[str, ...]
    engine: str
    archive_sha256: str
    archive_bytes: int


def architectures(profile: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the architectures that a target's profile allows, as ``uname -m`` names them.

    Every device tree of the registry is of a 64-bit ARM board; TensorRT without one is that of a
    PC. The other engines run on both.
    """
    if profile.get("device_tree"):
        return (_ARM,)
    return (_X86,) if profile["engine"] == "tensorrt" else (_ARM, _X86)


async def check_board(board: Board, needs: Needs) -> None:
    """Refuse a board that cannot serve the bundle, before anything is written there.

    Raises:
        TargetError: Architecture, Python, a module, the disk or the folder does not do.
    """
    await _check_architecture(board, needs)
    await _check_python(board)
    modules = _MODULES[needs.engine]
    facts = await board.operate("check", needs.archive_sha256, *modules)
    if not any(facts["modules"].values()):
        raise _lack(board, f"the Python module {modules[0]}", "none", _INSTALL[needs.engine])
    for name, error in facts["import_errors"].items():
        if error is not None:
            raise _lack(board, f"python3 to import {name}", error, _INSTALL[name])
    if not facts["writable"]:
        existing = facts["existing"]
        raise _lack(
            board,
            f"a folder to write {board.root} in",
            f"{existing}, which is not this login's",
            f"sudo install -d -o $USER {board.root}",
        )
    wanted = _DISK_FACTOR * needs.archive_bytes
    free = facts["free_bytes"] + facts["part_bytes"]
    if free < wanted:
        raise _lack(
            board,
            f"{_mb(wanted)} of free disk at {facts['existing']}",
            _mb(free),
            f"du -sh {board.root}/releases/* && df -h {facts['existing']}",
        )


async def _check_architecture(board: Board, needs: Needs) -> None:
    answer = await board.execute(["uname", "-m"])
    got = answer.output.strip()
    if _SAME.get(got, got) not in needs.architectures:
        expected = " or ".join(needs.architectures)
        advice = "`erpose-edge targets` lists the others"
        if got.startswith("arm"):
            advice = "install a 64-bit system on the board"
        raise TargetError(
            f"{board.label}: expected a board of architecture {expected}, got {got[:40]!r}; "
            f"push to another, or deploy for another target: {advice}"
        )


async def _check_python(board: Board) -> None:
    # Before anything of ours is sent: an older Python could not read it.
    words = ["python3", "-c", "import sys; print('%d %d' % sys.version_info[:2])"]
    answer = await board.execute(words)
    wanted = f"python3 of at least {_PYTHON[0]}.{_PYTHON[1]}"
    if answer.code == _NOT_FOUND:
        raise _lack(board, wanted, "none", "sudo apt install python3")
    try:
        version = tuple(int(part) for part in answer.output.split())
    except ValueError:
        version = ()
    if version < _PYTHON:
        got = ".".join(str(part) for part in version) or answer.reason
        raise TargetError(
            f"{board.label}: expected {wanted}, got {got}; update the system of the board "
            "(JetPack 5 or later), or put such a python3 first in the login's PATH"
        )


def _lack(board: Board, expected: str, got: str, mend: str) -> TargetError:
    return TargetError(
        f"{board.label}: expected {expected}, got {got}; run there: `{mend}`",
    )


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
