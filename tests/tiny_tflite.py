"""`tiny_pose` as a TFLite file of contract raw, written by hand: it needs no converter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tiny_pose import INPUT_SIZE, OFFSETS, STRIDES, K, tiny_manifest

from erpose_edge.runtime.artifact import write_artifact
from erpose_edge.runtime.manifest import InputSpec, Manifest

MODEL = "model.tflite"


def tiny_tflite(kind: str = "float32", input_name: str = "images") -> bytes:
    """Return the network's flatbuffer; ``kind`` of its input other than float32 is a lie."""
    from ai_edge_litert import schema_py_generated as schema

    file = _File(schema)
    images = file.tensor("images", (1, *INPUT_SIZE, 3), kind=kind)
    outputs = {}
    for stride in STRIDES:
        size = (INPUT_SIZE[0] // stride, INPUT_SIZE[1] // stride)
        pooled = file.tensor(f"pool_{stride}", (1, *size, 3))
        file.pool(images, pooled, stride)
        for name, weight, bias in (
            ("scores", np.full((1, 3), 20 / 3), np.full(1, -10.0)),
            ("keypoints", np.zeros((2 * K, 3)), OFFSETS.ravel()),
            ("visibility", np.tile([0.0, 4.0, 0.0], (K, 1)), -np.arange(K)),
        ):
            title = f"{name}_{stride}"
            constants = [
                file.tensor(f"{title}_weight", (len(weight), 1, 1, 3), weight),
                file.tensor(f"{title}_bias", (len(weight),), bias),
            ]
            outputs[title] = file.tensor(title, (1, *size, len(weight)))
            file.convolution([pooled, *constants], outputs[title])
    return file.content({input_name: images}, outputs)


def tiny_tflite_manifest() -> Manifest:
    """Return its manifest: outputs as every runner shows them, the input as the file has it."""
    spec = InputSpec("images", (1, *INPUT_SIZE, 3), "NHWC")
    return replace(tiny_manifest("raw", "tflite"), input=spec)


def write_tiny_tflite(folder: Path, content: bytes | None = None) -> Path:
    """Write an artifact of the network, or of another ``content``, and return its folder."""
    write_artifact(folder, tiny_tflite_manifest(), {MODEL: content or tiny_tflite()})
    return folder


class _File:
    """A flatbuffer of one graph, operation by operation."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._graph = schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._buffers = [schema.BufferT()]

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        values: np.ndarray | None = None,
        kind: str = "float32",
    ) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = name, list(shape)
        tensor.type = getattr(self._schema.TensorType, kind.upper())
        if values is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
            tensor.buffer = len(self._buffers)
            self._buffers.append(buffer)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def pool(self, source: int, target: int, side: int) -> None:
        options = self._schema.Pool2DOptionsT()
        options.strideH = options.strideW = options.filterHeight = options.filterWidth = side
        options.padding = self._schema.Padding.VALID
        self._add(0, [source], target, "Pool2DOptions", options)

    def convolution(self, inputs: list[int], target: int) -> None:
        options = self._schema.Conv2DOptionsT()
        options.strideH = options.strideW = 1
        self._add(1, inputs, target, "Conv2DOptions", options)

    def _add(self, code: int, inputs: list[int], target: int, kind: str, options: Any) -> None:
        operator = self._schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [target]
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind)
        operator.builtinOptions = options
        self._graph.operators.append(operator)

    def content(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        import flatbuffers

        schema = self._schema
        model = schema.ModelT()
        model.version, model.buffers, model.subgraphs = 3, self._buffers, [self._graph]
        self._graph.inputs, self._graph.outputs = list(inputs.values()), list(outputs.values())
        model.operatorCodes = []
        for name in ("AVERAGE_POOL_2D", "CONV_2D"):
            code = schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
            code.version = 1
            model.operatorCodes.append(code)
        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.inputs = [self._named(*item) for item in inputs.items()]
        signature.outputs = [self._named(*item) for item in outputs.items()]
        model.signatureDefs = [signature]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _named(self, name: str, index: int) -> Any:
        entry = self._schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        return entry
