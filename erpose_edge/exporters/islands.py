"""Float islands: what an engine computes in float between two int8 layers.

Each one costs a conversion in and out, besides the float arithmetic. ONNX graphs are counted by
`erpose_edge.exporters.lint`, which says where they come from; here are the engines that have a
graph of their own. Stem and outputs are float by policy and lie between nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from erpose_edge.exporters.tflite.graph import read_operations

if TYPE_CHECKING:
    import openvino

_INT8 = ("i8", "u8", "INT8", "UINT8")
_FLOAT = ("f32", "f16", "bf16", "FLOAT32", "FLOAT16")
# They only change type or form, as the border of an island does.
_BORDERS = ("Reorder", "Convert", "Reshape", "QUANTIZE", "DEQUANTIZE", "RESHAPE", "TRANSPOSE")


@dataclass(frozen=True)
class Layer:
    """A layer as an engine runs it.

    Attributes:
        kind: Its type, as the engine names it.
        precision: Type of what it computes with: ``i8``, ``f32``, ``INT8``, ...
        inputs: Keys of the tensors that it reads; constants may be left out.
        outputs: Keys of those that it writes.
    """

    kind: str
    precision: str
    inputs: tuple[Hashable, ...]
    outputs: tuple[Hashable, ...]


def count_islands(layers: Sequence[Layer]) -> int:
    """Return the groups of adjacent float layers that have int8 ones both before and behind.

    Args:
        layers: In an order in which they can run.
    """
    behind_int8 = _reached(layers, forwards=True)
    before_int8 = _reached(layers[::-1], forwards=False)
    group_of: dict[Hashable, int] = {}  # by tensor that an island's layer writes
    groups: list[set[Hashable]] = []
    for layer in layers:
        between = behind_int8 & set(layer.inputs) and before_int8 & set(layer.outputs)
        if layer.precision not in _FLOAT or layer.kind in _BORDERS or not between:
            continue
        joined = {group_of[tensor] for tensor in layer.inputs if tensor in group_of}
        group = set(layer.outputs).union(*(groups[index] for index in joined))
        for index in joined:
            groups[index] = set()
        groups.append(group)
        group_of.update(dict.fromkeys(group, len(groups) - 1))
    return sum(1 for group in groups if group)


def tflite_islands(content: bytes) -> int:
    """Return the float islands of a TFLite file, which runs as it is written.

    Raises:
        MissingExtraError: ai-edge-litert, which knows the format, is not installed.
    """
    layers = []
    for operation in read_operations(content):
        read = [tensor for tensor in operation.inputs if tensor.content is None]
        kinds = [tensor.kind for tensor in (*read, *operation.outputs)]
        kind = next((k for k in kinds if k in _FLOAT), kinds[0] if kinds else "")
        ids = [tuple(id(tensor) for tensor in part) for part in (read, operation.outputs)]
        layers.append(Layer(operation.kind, kind, *ids))
    return count_islands(layers)


def openvino_islands(files: Mapping[str, bytes]) -> int:
    """Compile an IR on this CPU and return the float islands of what OpenVINO runs.

    Args:
        files: ``model.xml`` and ``model.bin``.
    """
    import openvino as ov

    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            (Path(name) / file).write_bytes(content)
        compiled = ov.Core().compile_model(
            Path(name) / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        return count_islands(_executed(compiled.get_runtime_model()))


def _executed(execution: openvino.Model) -> list[Layer]:
    layers = []
    for operation in execution.get_ordered_ops():
        facts = operation.get_rt_info()
        kind = facts["layerType"].astype(str)
        if kind in ("Const", "Input", "Output"):
            continue
        sources = [port.get_source_output() for port in operation.inputs()]
        layers.append(
            Layer(
                kind,
                facts["runtimePrecision"].astype(str),
                tuple((source.get_node().get_name(), source.get_index()) for source in sources),
                tuple((operation.get_name(), port.get_index()) for port in operation.outputs()),
            )
        )
    return layers


def _reached(layers: Sequence[Layer], *, forwards: bool) -> set[Hashable]:
    """Return the tensors behind, or before, an int8 layer."""
    reached: set[Hashable] = set()
    for layer in layers:
        near, far = layer.inputs, layer.outputs
        if not forwards:
            near, far = far, near
        if layer.precision in _INT8 or reached.intersection(near):
            reached.update(far)
    return reached
