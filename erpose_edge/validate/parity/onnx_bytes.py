"""Read the nodes of an ONNX file, and give it further outputs, without the package onnx.

A board has an engine that runs the file but seldom the package that reads it. Of the format only
what is needed here is known: the nodes of the graph and its constants of one number.

Ref: https://protobuf.dev/programming-guides/encoding and onnx.proto3 of https://github.com/onnx/onnx
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Numbers of the fields of ModelProto, GraphProto, NodeProto, TensorProto and ValueInfoProto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_CONSTANT, _GRAPH_OUTPUT = 1, 5, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_TYPE = 1, 2, 3, 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 4, 8, 9
_VALUE_NAME = 1
_FLOAT = 1  # the data type
_VARINT, _WIDE, _BYTES, _NARROW = 0, 1, 2, 5  # wire types


@dataclass(frozen=True)
class Node:
    """One node of the graph, as ONNX has it."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_nodes(content: bytes) -> tuple[list[Node], dict[str, float]]:
    """Return the nodes of an ONNX file in order, and its constants of one float number by name.

    Raises:
        ValueError: It is no such file.
    """
    nodes: list[Node] = []
    numbers: dict[str, float] = {}
    for field, graph in _fields(memoryview(content)):
        if field != _MODEL_GRAPH or not isinstance(graph, memoryview):
            continue
        for kind, part in _fields(graph):
            if kind == _GRAPH_NODE and isinstance(part, memoryview):
                nodes.append(_node(part))
            elif kind == _GRAPH_CONSTANT and isinstance(part, memoryview):
                _read_number(part, numbers)
    return nodes, numbers


def with_outputs(content: bytes, names: Iterable[str]) -> bytes:
    """Return an ONNX file whose graph gives ``names`` besides its outputs.

    Protobuf joins what stands twice in a file, so the outputs are written behind its end; engines
    infer their types.
    """
    graph = b"".join(
        _written(_GRAPH_OUTPUT, _written(_VALUE_NAME, name.encode())) for name in names
    )
    return content + _written(_MODEL_GRAPH, graph)


def _node(part: memoryview) -> Node:
    texts: dict[int, list[str]] = {}
    for field, value in _fields(part):
        if field in (_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_TYPE):
            texts.setdefault(field, []).append(_text(value))
    return Node(
        "".join(texts.get(_NODE_NAME, [])),
        "".join(texts.get(_NODE_TYPE, [])),
        tuple(texts.get(_NODE_INPUT, [])),
        tuple(texts.get(_NODE_OUTPUT, [])),
    )


def _read_number(part: memoryview, numbers: dict[str, float]) -> None:
    name, kind, dims, data = "", 0, 1, b""
    for field, value in _fields(part):
        if field == _TENSOR_NAME:
            name = _text(value)
        elif field == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif field == _TENSOR_DIMS and isinstance(value, int):
            dims *= value
        elif field in (_TENSOR_RAW, _TENSOR_FLOATS) and isinstance(value, memoryview):
            data = bytes(value)
    if kind == _FLOAT and dims == 1 and len(data) == 4:
        numbers[name] = float(np.frombuffer(data, "<f4")[0])


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of every field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield field, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_WIDE, _NARROW):
            length = 8 if wire == _WIDE else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + length > len(data):
            raise ValueError("a field longer than the file")
        yield field, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _text(value: int | memoryview) -> str:
    if isinstance(value, int):
        raise ValueError("a number where text belongs")
    return bytes(value).decode("utf-8")


def _written(field: int, content: bytes) -> bytes:
    return _number(field << 3 | _BYTES) + _number(len(content)) + content


def _number(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
