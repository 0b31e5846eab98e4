"""What an engine needs of a machine, what of it is missing, and the command that mends each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Mapping

if TYPE_CHECKING:
    from erpose_edge.machine.facts import Machine

# engine → import names of which one is enough, the extra, and what a board's pip installs.
_ENGINES: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "openvino": (("openvino",), "openvino", "openvino"),
    "onnxruntime": (("onnxruntime",), "ort", "onnxruntime"),
    "tflite": (("ai_edge_litert", "tflite_runtime", "tensorflow"), "tflite", "ai-edge-litert"),
    "tensorrt": (("tensorrt",), "tensorrt", "tensorrt"),
}
_NAMES = {
    "openvino": "OpenVINO",
    "onnxruntime": "ONNX Runtime",
    "tflite": "LiteRT",
    "tensorrt": "TensorRT",
}


@dataclass(frozen=True)
class Remedy:
    """Something that is not as it should be, and what mends it.

    Attributes:
        what: In words.
        command: To be typed as it is; empty where no command mends it.
    """

    what: str
    command: str = ""


def engine_name(engine: str) -> str:
    """Return an engine's name as its makers write it."""
    return _NAMES.get(engine, engine)


def missing_software(machine: Machine, engine: str, *, packaged: bool) -> tuple[Remedy, ...]:
    """Return what is not installed of what an engine and the runtime need.

    Args:
        machine: As `facts.read_machine` finds it.
        engine: Name, as a profile has it.
        packaged: erpose-edge is installed by pip, with its extras; else a bundle brings it.
    """
    remedies = []
    has = machine.python.packages
    if "numpy" not in has:
        remedies.append(Remedy("numpy is not installed", _base("numpy", packaged)))
    if "cv2" not in has:
        remedies.append(Remedy("OpenCV is not installed", _base("opencv", packaged)))
    names, extra, wheel = _ENGINES.get(engine, ((engine,), engine, engine))
    if engine == "tensorrt" and machine.board.is_jetson:
        return (*remedies, *_jetson_tensorrt(machine))
    if not any(name in has for name in names):
        what = f"{engine_name(engine)} is not installed"
        command = f"pip install 'erpose-edge[{extra}]'" if packaged else _pip(wheel)
        remedies.append(Remedy(what, command))
    return tuple(remedies)


def _jetson_tensorrt(machine: Machine) -> list[Remedy]:
    """TensorRT of a board comes with JetPack, never from the package index."""
    software = machine.software
    has_python = "tensorrt" in machine.python.packages
    if machine.surroundings.container and not has_python:
        what = "TensorRT is not in this container: take NVIDIA's l4t-tensorrt or l4t-jetpack image"
        return [Remedy(what)]
    if not software.tensorrt and not has_python:
        return [Remedy("TensorRT is not installed", "sudo apt install nvidia-jetpack")]
    if has_python:
        return []
    if software.tensorrt_python:
        what = "this Python does not see the system's TensorRT, as in a virtual environment"
        return [Remedy(what, "/usr/bin/python3 -m venv --system-site-packages ENV")]
    what = f"TensorRT {software.tensorrt} has no Python package"
    return [Remedy(what, "sudo apt install python3-libnvinfer")]


def _base(package: str, packaged: bool) -> str:
    """The base install has both; a board takes them from its own system."""
    return "pip install erpose-edge" if packaged else f"sudo apt install python3-{package}"


def _pip(wheel: str) -> str:
    return f"python3 -m pip install {wheel}"
