"""Pose models of others behind the three steps of an estimator, so that both are timed alike.

An adapter knows what a model wants and what its outputs mean; engine, resizing and clock are ours.
All of them find the 17 keypoints of COCO, one kind of people.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from measured_block import ROOT

sys.path.insert(0, str(ROOT))

from erpose_edge.errors import RequestError, TargetError
from erpose_edge.runtime.nms import CANDIDATES, suppress
from erpose_edge.runtime.poses import Poses
from erpose_edge.runtime.preprocess import Letterbox, Preprocessor, letterbox

_K = 17
_OVERLAP = 0.7  # of two boxes, above which the one with the lower score goes
_MOST = 300  # poses of a picture


@dataclass(frozen=True)
class Adapter:
    """What one family of models wants and answers.

    Attributes:
        swap: Channels go in as RGB; else as BGR.
        divide: Values go in from 0 to 1; else from 0 to 255.
        decode: Takes outputs (by shape, see each) and the input size, returns boxes' scores (N,),
            keypoints (N, 17, 2) in input pixels and their scores (N, 17), above a threshold.
    """

    swap: bool
    divide: bool
    decode: Callable[
        [list[np.ndarray], tuple[int, int], float], tuple[np.ndarray, np.ndarray, np.ndarray]
    ]


def decode_rows(
    outputs: list[np.ndarray], size: tuple[int, int], threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode [1, 6, 56] of MoveNet MultiPose: 17 x (y, x, score), box, score, all in 0..1."""
    rows = _one(outputs, lambda s: s[0] == 1 and s[2] == 3 * _K + 5, "[1, N, 56]")[0]
    rows = rows[rows[:, -1] >= threshold]
    rows = rows[np.argsort(-rows[:, -1], kind="stable")]
    points = rows[:, : 3 * _K].reshape(-1, _K, 3)
    # A share of the side counts from the edge of the first pixel, ours from its centre.
    places = points[:, :, 1::-1] * np.array(size[::-1], np.float32) - 0.5
    return rows[:, -1], places, points[:, :, 2]


def decode_columns(
    outputs: list[np.ndarray], size: tuple[int, int], threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode [1, 56, N] of Ultralytics: centre, width, height, score, 17 x (x, y, score).

    Lengths are input pixels, or shares of the sides where the boxes say so; boxes overlap, so that
    suppression is done here.
    """
    found = _one(outputs, lambda s: s[0] == 1 and s[1] == 3 * _K + 5, "[1, 56, N]")[0]
    columns = np.flatnonzero(found[4] >= threshold)
    columns = columns[np.argsort(-found[4, columns], kind="stable")][:CANDIDATES]
    rows = found[:, columns].T
    # As TFLite files have it. Keypoints may lie outside the picture, the centres of boxes do not.
    shares = bool((found[:4] <= 2.0).all())
    unit = np.array(size[::-1], np.float32) if shares else np.ones(2, np.float32)
    centre, half = rows[:, :2] * unit, rows[:, 2:4] * unit / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    kept = suppress(boxes, _OVERLAP, _MOST)
    points = rows[kept, 5:].reshape(-1, _K, 3)
    return rows[kept, 4], points[:, :, :2] * unit - 0.5, points[:, :, 2]


def decode_pairs(
    outputs: list[np.ndarray], size: tuple[int, int], threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decode RTMO: boxes [1, N, 5] with a score last, keypoints [1, N, 17, 3], input pixels."""
    boxes = _one(outputs, lambda s: len(s) == 3 and s[2] == 5, "[1, N, 5]")[0]
    points = _one(outputs, lambda s: len(s) == 4 and s[2:] == (_K, 3), "[1, N, 17, 3]")[0]
    rows = np.flatnonzero(boxes[:, 4] >= threshold)
    rows = rows[np.argsort(-boxes[rows, 4], kind="stable")]
    return boxes[rows, 4], points[rows, :, :2], points[rows, :, 2]


ADAPTERS = {
    "movenet": Adapter(True, False, decode_rows),
    "ultralytics": Adapter(True, True, decode_columns),
    "rtmo": Adapter(False, False, decode_pairs),
}


class Engine(Protocol):
    """A loaded model: ``images`` in its own layout and type in, outputs out."""

    engine: str
    threads: int
    shape: tuple[int, ...]  # of the input, 4 sides
    dtype: np.dtype[Any]

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the model; outputs are valid until the next call."""
        ...


class PeerEstimator:
    """A model of others as an estimator: the steps of `PoseEstimator`, on the same engines.

    Args:
        path: ``.onnx``, ``.xml`` or ``.tflite``.
        adapter: One of ADAPTERS.
        threads: Of the engine.
        input_size: (height, width), for models that take any.
        threshold: Poses with a lower score are left out.
        engine: One of ENGINES; by default tflite for ``.tflite`` and openvino for others.

    Raises:
        RequestError: There is no such adapter, engine or file.
        TargetError: The engine does not take the model, or its input is no picture.
    """

    def __init__(
        self,
        path: Path,
        adapter: str,
        threads: int,
        input_size: tuple[int, int] | None = None,
        threshold: float = 0.3,
        engine: str | None = None,
    ) -> None:
        engine = engine or ("tflite" if path.suffix == ".tflite" else "openvino")
        if engine not in ENGINES:
            raise RequestError(f"engine: expected {' or '.join(ENGINES)}, got {engine!r}")
        if adapter not in ADAPTERS:
            raise RequestError(f"adapter: expected {' or '.join(ADAPTERS)}, got {adapter!r}")
        if not path.is_file():
            raise RequestError(f"{path}: expected a model, got no such file; check the path")
        self.adapter = ADAPTERS[adapter]
        self.runner = ENGINES[engine](path, threads, input_size)
        shape = self.runner.shape
        self._channels_last = shape[3] == 3
        sides = shape[1:3] if self._channels_last else shape[2:]
        self.input_size = (int(sides[0]), int(sides[1]))
        self.score_threshold = threshold
        # Who wants what our networks want gets it by the same code.
        alike = self.adapter.swap and self.adapter.divide and self.runner.dtype == np.float32
        layout = "NHWC" if self._channels_last else "NCHW"
        self._own = Preprocessor(self.input_size, layout) if alike else None

    def __call__(self, frame: np.ndarray) -> Poses:
        """Find people in a picture, BGR (H, W, 3)."""
        images, box = self.preprocess(frame)
        return self.decode(self.infer(images), box)

    def preprocess(self, frame: np.ndarray) -> tuple[np.ndarray, Letterbox]:
        """Scale a picture into the input, without changing its aspect ratio."""
        if self._own is not None:
            images, box = self._own(frame)
            return (images.transpose(0, 2, 3, 1) if self._channels_last else images), box
        canvas, box = letterbox(frame, self.input_size)
        if self.adapter.swap:
            canvas = cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB)
        images = canvas[None] if self._channels_last else canvas.transpose(2, 0, 1)[None]
        scale = np.float32(1 / 255 if self.adapter.divide else 1)
        if self.runner.dtype == np.uint8:
            return images, box
        return np.multiply(images, scale, dtype=np.float32), box

    def infer(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the model."""
        return self.runner.run(images)

    def decode(self, outputs: list[np.ndarray], box: Letterbox) -> Poses:
        """Turn outputs into poses in the picture's own pixels, best first."""
        scores, points, seen = self.adapter.decode(outputs, self.input_size, self.score_threshold)
        return Poses(
            scores.astype(np.float32),
            box.to_source(points.astype(np.float32)),
            seen.astype(np.float32),
        )


def open_openvino(path: Path, threads: int, size: tuple[int, int] | None) -> Engine:
    """Load a model into OpenVINO, with the settings of our own runner."""
    import openvino as ov

    try:
        model = ov.Core().read_model(path)
        port = model.inputs[0]
        if port.partial_shape.is_dynamic:
            model.reshape(
                _filled(
                    [s.get_length() if s.is_static else -1 for s in port.partial_shape], size, path
                )
            )
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = ov.Core().compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise _refused(path, "OpenVINO", error) from None
    return _OpenvinoEngine(compiled, f"OpenVINO {ov.__version__.split('-')[0]}", threads, path)


class _OpenvinoEngine:
    def __init__(self, compiled: Any, engine: str, threads: int, path: Path) -> None:  # noqa: ANN401
        port = compiled.inputs[0]
        self.engine, self.threads = engine, threads
        self.shape = _checked(tuple(port.shape), path)
        self.dtype = np.dtype(port.element_type.to_dtype())
        self._request = compiled.create_infer_request()
        self._count = len(compiled.outputs)

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        import openvino as ov

        images = np.ascontiguousarray(images)
        self._request.set_input_tensor(ov.Tensor(images, shared_memory=True))
        self._request.infer()
        return [self._request.get_output_tensor(i).data for i in range(self._count)]


def open_tflite(path: Path, threads: int, size: tuple[int, int] | None) -> Engine:
    """Load a model into the TFLite runtime that is installed."""
    from erpose_edge.runtime.tflite_runner import runtime

    title, interpreter_class = runtime()
    try:
        interpreter = interpreter_class(model_path=str(path), num_threads=threads)
        details = interpreter.get_input_details()[0]
        sides = [int(side) for side in details["shape_signature"]]
        if -1 in sides:
            interpreter.resize_tensor_input(details["index"], _filled(sides, size, path))
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _refused(path, title, error) from None
    return _TfliteEngine(interpreter, title, threads, path)


class _TfliteEngine:
    def __init__(self, interpreter: Any, engine: str, threads: int, path: Path) -> None:  # noqa: ANN401
        details = interpreter.get_input_details()[0]
        self.engine, self.threads = engine, threads
        self.shape = _checked(tuple(int(side) for side in details["shape"]), path)
        self.dtype = np.dtype(details["dtype"])
        self._interpreter, self._index = interpreter, details["index"]
        self._outputs = [found["index"] for found in interpreter.get_output_details()]

    def run(self, images: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._index, images)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _filled(sides: list[int], size: tuple[int, int] | None, path: Path) -> list[int]:
    """Return the input's sides with ``size`` where the model takes any."""
    if size is None:
        raise RequestError(f"{path}: expected --size for a model of any size, got none")
    last = sides[3] == 3
    return [1, *size, 3] if last else [1, 3, *size]


def _checked(shape: tuple[int, ...], path: Path) -> tuple[int, ...]:
    if len(shape) != 4 or shape[0] != 1 or (shape[1] != 3 and shape[3] != 3):
        raise TargetError(f"{path}: expected one picture as input, got {list(shape)}")
    return shape


def _one(
    outputs: list[np.ndarray], fits: Callable[[tuple[int, ...]], bool], expected: str
) -> np.ndarray:
    found = [array for array in outputs if array.ndim >= 3 and fits(array.shape)]
    if len(found) != 1:
        shapes = ", ".join(str(list(array.shape)) for array in outputs)
        raise TargetError(f"outputs: expected {expected}, got {shapes}; choose another adapter")
    return found[0]


def _refused(path: Path, engine: str, error: Exception) -> TargetError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else type(error).__name__
    return TargetError(f"{path}: expected a model that {engine} loads, got: {reason}")


ENGINES: dict[str, Callable[[Path, int, tuple[int, int] | None], Engine]] = {
    "openvino": open_openvino,
    "tflite": open_tflite,
}
