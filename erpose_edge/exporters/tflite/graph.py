"""Read a TFLite flatbuffer: its operations, the types and scales of their tensors, constants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from erpose_edge.errors import MissingExtraError

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class TfliteTensor:
    """A tensor of the file.

    Attributes:
        kind: ``INT8``, ``FLOAT32``, ... as the format's schema names it.
        shape: As in the file.
        scales: Quantization scales, float32; empty if there are none.
        zero_points: As many.
        content: Raw bytes of a constant, else None.
    """

    kind: str
    shape: tuple[int, ...]
    scales: np.ndarray
    zero_points: np.ndarray
    content: bytes | None


@dataclass(frozen=True)
class TfliteOperation:
    """An operation of the file; ``kind`` is the schema's name, such as ``CONV_2D``."""

    kind: str
    inputs: tuple[TfliteTensor, ...]
    outputs: tuple[TfliteTensor, ...]


def read_operations(content: bytes) -> list[TfliteOperation]:
    """Return the operations of a model's one graph in the order in which they run.

    Raises:
        MissingExtraError: ai-edge-litert, which knows the schema, is not installed.
    """
    schema = _schema()
    model = schema.ModelT.InitFromPackedBuf(content)
    kinds = _names(schema.TensorType)
    operators = _names(schema.BuiltinOperator)
    graph = model.subgraphs[0]
    tensors = [_tensor(tensor, model.buffers, kinds) for tensor in graph.tensors]

    def picked(indices: Sequence[int]) -> tuple[TfliteTensor, ...]:
        return tuple(tensors[index] for index in indices if index >= 0)

    found = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        # Old writers fill only the one, which ends at 127.
        kind = operators[max(code.builtinCode, code.deprecatedBuiltinCode)]
        found.append(TfliteOperation(kind, picked(operator.inputs), picked(operator.outputs)))
    return found


def count_operations(operations: Sequence[TfliteOperation]) -> dict[str, int]:
    """Return how many operations of each kind there are, by name in alphabetical order."""
    return dict(sorted(Counter(operation.kind for operation in operations).items()))


def _tensor(tensor: Any, buffers: Sequence[Any], kinds: dict[int, str]) -> TfliteTensor:  # noqa: ANN401 - generated class
    said = tensor.quantization
    data = buffers[tensor.buffer].data
    return TfliteTensor(
        kind=kinds[tensor.type],
        shape=tuple(int(side) for side in (tensor.shape if tensor.shape is not None else ())),
        scales=_array(said.scale if said else None, np.float32),
        zero_points=_array(said.zeroPoint if said else None, np.int64),
        content=None if data is None or len(data) == 0 else np.asarray(data, np.uint8).tobytes(),
    )


def _array(values: object, kind: type) -> np.ndarray:
    return np.array([] if values is None else values, kind)


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _schema() -> ModuleType:
    try:
        from ai_edge_litert import schema_py_generated
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"tflite export: expected the package {error.name}, got none; "
            "run `pip install 'erpose-edge[tflite-export]'`"
        ) from error
    return schema_py_generated
