"""What TensorRT runs: what the engine's inspector says, and the placement report of DLA.

The inspector's words were taken from NVIDIA's documentation and published files; they were never
read from an engine of our own.

Ref: https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/advanced.html#engine-inspector
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import IntegrityError
from erpose_edge.validate.placement import CONVOLUTION, INT8, UNKNOWN, PlacedLayer, with_missing
from erpose_edge.validate.placement.onnxruntime import int8_convolutions

if TYPE_CHECKING:
    from erpose_edge.runtime.artifact import Artifact

# Words of "Format/Datatype"; the first that fits.
_PRECISIONS = (
    (re.compile(r"\bint8\b", re.I), INT8),
    (re.compile(r"\b(fp16|half)\b", re.I), "fp16"),
    (re.compile(r"\b(bf16|bfloat16)\b", re.I), "bf16"),
    (re.compile(r"\b(fp32|float|float32)\b", re.I), "fp32"),
    (re.compile(r"\bint32\b", re.I), "int32"),
    (re.compile(r"\bint64\b", re.I), "int64"),
    (re.compile(r"\bbool\b", re.I), "bool"),
)
_NAME = re.compile(r"[\w./:\-]+")
_FOREIGN = "ForeignNode"


def read_placement(runner: Any, artifact: Artifact) -> list[PlacedLayer]:  # noqa: ANN401
    """Return the kernels of the engine, and the layers on DLA; see `placement_of`.

    Raises:
        IntegrityError: The report of DLA beside the engine cannot be read.
    """
    graphs = [name for name in artifact.manifest.files if name.endswith(".onnx")]
    asked = int8_convolutions(artifact.file("model.onnx", ".onnx")) if graphs else []
    devices = _dla_report(runner)
    on_dla = [name for name, device in devices.items() if device == "dla"]
    found = [
        PlacedLayer(n, CONVOLUTION if n in asked else "DLA", UNKNOWN, "dla", _asked(n, asked))
        for n in on_dla
    ]
    for layer in read_layers(runner.layer_information()):
        found += _kernels(layer, asked)
    return with_missing(found, asked, "gpu")


def read_layers(text: str) -> list[dict[str, Any]]:
    """Return the layers of an inspector's JSON; those of which only a name is known have no more.

    Raises:
        IntegrityError: It is no such JSON.
    """
    try:
        document = json.loads(text)
        layers = document["Layers"]
        return [{"Name": layer} if isinstance(layer, str) else dict(layer) for layer in layers]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"engine inspector: expected JSON with Layers, got {error!r}; build the engine again"
        ) from None


def _kernels(layer: dict[str, Any], asked: list[str]) -> list[PlacedLayer]:
    name, kind = str(layer.get("Name", "")), str(layer.get("LayerType", "kernel"))
    if _FOREIGN in name:  # a part of DLA: its layers are in the report
        return []
    inputs = layer.get("Inputs") or [{}]
    words = str(inputs[0].get("Format/Datatype", ""))
    precision = next((known for fits, known in _PRECISIONS if fits.search(words)), UNKNOWN)
    fused = [word for word in _NAME.findall(name) if word in asked]
    if fused:
        return [PlacedLayer(each, CONVOLUTION, precision, "gpu", INT8) for each in fused]
    convolution = "convolution" in kind.lower()
    return [PlacedLayer(name, CONVOLUTION if convolution else kind, precision, "gpu")]


def _asked(name: str, asked: list[str]) -> str | None:
    return INT8 if name in asked else None


def _dla_report(runner: Any) -> dict[str, str]:  # noqa: ANN401
    from erpose_edge.runtime.tensorrt.dla_build import PLACEMENT_SUFFIX

    path = runner.engine_path.with_suffix(PLACEMENT_SUFFIX)
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["devices"])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path}: expected a report of DLA, got {error!r}; build the engine again"
        ) from None
