"""Which engines let their layers be seen, and why the others do not."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from erpose_edge.runtime.artifact import Artifact
    from erpose_edge.validate.parity.capture import LayerRunner

# engine → module and class, opened with an artifact and a number of threads
_ENGINES = {
    "openvino": ("openvino", "OpenvinoLayers"),
    "onnxruntime": ("onnxruntime", "OnnxLayers"),
    "tflite": ("tflite", "TfliteLayers"),
}
_REASONS = {
    "tensorrt": "a TensorRT engine shows nothing but its outputs; the contract raw has the heads",
}


def open_layers(artifact: Artifact, threads: int | None = None) -> tuple[LayerRunner | None, str]:
    """Open an artifact so that its layers can be seen.

    Args:
        artifact: As `read_artifact` returns it.
        threads: How many the engine may use; its own choice by default.

    Returns:
        What runs it, or None; and why there are no layers, or "".

    Raises:
        TargetError: The engine refuses the model.
    """
    name = artifact.manifest.engine
    if name not in _ENGINES:
        return None, _REASONS.get(name, f"{name} shows nothing but its outputs")
    module, kind = _ENGINES[name]
    opened: LayerRunner = getattr(
        importlib.import_module(f"erpose_edge.validate.parity.{module}"), kind
    )(artifact, threads)
    if not opened.layers:
        return None, "its graph has no convolutions that are named after modules"
    return opened, ""
