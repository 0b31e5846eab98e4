"""``tflite.json``: what an app has to know to feed the model and to read what it gives.

It stands beside the model so that both can be copied into an app's assets; the manifest vouches for
both and says more, for our own tools.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from erpose_edge.exporters.engine_export import EngineExport
from erpose_edge.exporters.onnx import INPUT_NAME
from erpose_edge.exporters.tflite.check import convolution_places, count_conversions
from erpose_edge.exporters.tflite.graph import TfliteOperation, count_operations
from erpose_edge.network.plan import BOX_BINS, STRIDES
from erpose_edge.quantization.checkpoint import activation_scales
from erpose_edge.runtime.decode import OFFSET_UNIT
from erpose_edge.runtime.preprocess import PADDING
from erpose_edge.skeleton import skeleton_named

SIDECAR_NAME = "tflite.json"
FORMAT_VERSION = 1

_UNITS = {
    "scores": ("logit", "probability that a person is here"),
    "keypoints": ("2 strides", "x0, y0, x1, y1, ... of the keypoints"),
    "visibility": ("logit", "probability that the keypoint is visible"),
    "boxes": ("logit", f"distances of left, top, right, bottom, {BOX_BINS} bins each, in strides"),
}
_DECODED_UNITS = {"scores": "probability", "visibility": "probability"}


def sidecar(export: EngineExport, operations: Sequence[TfliteOperation]) -> bytes:
    """Return the side-car of a model.

    Args:
        export: What the model was made from.
        operations: Of the file.
    """
    skeleton = skeleton_named(export.skeleton)
    height, width = export.input_size
    document = {
        "format_version": FORMAT_VERSION,
        "precision": export.precision,
        "contract": export.contract,
        "input": {
            "name": INPUT_NAME,
            "shape": [1, height, width, 3],
            "layout": "NHWC",
            "dtype": "float32",
            "colour": "RGB",
            "range": [0, 1],
            "letterbox": "aspect ratio kept, centred",
            "padding": PADDING / 255,
        },
        "outputs": _outputs(export, len(skeleton)),
        "decode": {
            "strides": list(STRIDES),
            "offset_unit": OFFSET_UNIT,
            "grid_point": "((column + 0.5) * stride, (row + 0.5) * stride) input pixels",
            "keypoint": "grid_point + offset * offset_unit * stride",
            "probability": "1 / (1 + exp(-logit))",
            "score_threshold": export.score_threshold,
            "nms": export.nms,
        },
        "skeleton": {
            "name": skeleton.name,
            "keypoints": list(skeleton.keypoints),
            "limbs": [list(pair) for pair in skeleton.limbs],
        },
        "quantization": {
            "weights": "int8 per output channel, zero point 0" if export.int8 else export.precision,
            "activations": "int8 per tensor, zero point 0" if export.int8 else "float32",
            "convolutions": len(export.int8),
            "conversions": count_conversions(operations) if export.int8 else 0,
            "scales": activation_scales(export.network) if export.int8 else {},
        },
        "convolutions": convolution_places(operations, export.network),
        "operations": count_operations(operations),
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _outputs(export: EngineExport, keypoints: int) -> list[dict[str, Any]]:
    boxes = any(name == "head.boxes" for name, _ in export.network.named_modules())
    names = [name for name in _UNITS if boxes or name != "boxes"]
    if export.contract == "raw":
        return [_map(export, name, stride, keypoints) for stride in STRIDES for name in names]
    height, width = export.input_size
    points = sum((height // stride) * (width // stride) for stride in STRIDES)
    rows = points if export.contract == "decoded" else min(export.answers, points)
    shapes = {
        "scores": [1, rows],
        "keypoints": [1, rows, keypoints, 2],
        "visibility": [1, rows, keypoints],
        "boxes": [1, rows, 4],
    }
    meanings = {
        **{name: meaning for name, (_, meaning) in _UNITS.items()},
        "keypoints": "x, y",
        "boxes": "x0, y0, x1, y1",
    }
    return [
        {
            "name": name,
            "shape": shapes[name],
            "dtype": "float32",
            "unit": _DECODED_UNITS.get(name, "input px"),
            "meaning": meanings[name],
        }
        for name in names
    ]


def _map(export: EngineExport, name: str, stride: int, keypoints: int) -> dict[str, Any]:
    channels = {
        "scores": 1,
        "keypoints": 2 * keypoints,
        "visibility": keypoints,
        "boxes": 4 * BOX_BINS,
    }
    unit, meaning = _UNITS[name]
    height, width = export.input_size
    return {
        "name": f"{name}_{stride}",
        "shape": [1, height // stride, width // stride, channels[name]],
        "layout": "NHWC",
        "dtype": "float32",
        "unit": unit,
        "meaning": meaning,
        "stride": stride,
    }
