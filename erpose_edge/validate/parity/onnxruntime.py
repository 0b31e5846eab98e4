"""Look into an ONNX Runtime artifact: the same model with its layers as further outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.errors import IntegrityError
from erpose_edge.runtime.runner import load_error
from erpose_edge.validate.parity.layers import (
    ADDITION,
    CONVOLUTION,
    FOLLOWER,
    OTHER,
    PRODUCT,
    SIGMOID,
    Operation,
    Tap,
    find_taps,
)
from erpose_edge.validate.parity.onnx_bytes import Node, read_nodes, with_outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact

_KINDS = {"Conv": CONVOLUTION, "Sigmoid": SIGMOID, "Mul": PRODUCT, "Add": ADDITION}
_FOLLOWERS = ("Relu", "Clip", "HardSwish", "QuantizeLinear", "DequantizeLinear")


class OnnxLayers:
    """Runs ``model.onnx`` and gives every layer besides the outputs.

    A quantized layer is read as integers and dequantized here: so ONNX Runtime still fuses what it
    fuses in the model that is deployed.
    """

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        """Load the model with its layers as outputs.

        Raises:
            TargetError: ONNX Runtime refuses the model.
            IntegrityError: It is not an ONNX file.
        """
        import onnxruntime as ort

        from erpose_edge.runtime.onnx_runner import REFUSALS

        path = artifact.file("model.onnx", ".onnx")
        content = path.read_bytes()
        try:
            nodes, numbers = read_nodes(content)
        except ValueError as error:
            raise IntegrityError(
                f"{path}: expected an ONNX file, got one with {error}; export the artifact again"
            ) from None
        found = [(tap, *_tensor(tap, nodes)) for tap in find_taps(_operations(nodes, artifact))]
        found = [entry for entry in found if entry[2] == "" or entry[2] in numbers]
        self.layers = tuple(tap.layer for tap, _, _ in found)
        self._scales = [numbers.get(scale) for _, _, scale in found]
        self._names = [spec.name for spec in artifact.manifest.outputs]
        self._tensors = [tensor for _, tensor, _ in found]
        self._input = artifact.manifest.input.name
        options = ort.SessionOptions()
        options.log_severity_level = 4  # it says of every layer that its type was inferred
        if threads is not None:
            options.intra_op_num_threads = threads
        added = [tensor for tensor in dict.fromkeys(self._tensors) if tensor not in self._names]
        try:
            self._session = ort.InferenceSession(
                with_outputs(content, added), options, providers=["CPUExecutionProvider"]
            )
        except REFUSALS as error:
            raise load_error(artifact, f"ONNX Runtime {ort.__version__}", error) from None

    def run(
        self, images: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """Return layers and outputs by name; see `LayerRunner`."""
        images = np.ascontiguousarray(images, np.float32)
        arrays = self._session.run([*self._names, *self._tensors], {self._input: images})
        outputs = dict(zip(self._names, arrays))
        layers = {}
        for index, array in enumerate(arrays[len(self._names) :]):
            scale = self._scales[index]
            real = array.astype(np.float32) if scale is None else array * np.float32(scale)
            layers[self.layers[index].name] = np.asarray(real, np.float32)
        return layers, outputs


def _operations(nodes: list[Node], artifact: Artifact) -> list[Operation]:
    """Return what computes with the picture's values; an operation's key is its first output."""
    live = {artifact.manifest.input.name}
    owner: dict[str, str] = {}  # key by every output
    operations = []
    for node in nodes:
        inputs = tuple(owner.get(name, name) for name in node.inputs if name in live)
        if not inputs or node.kind == "Shape":
            continue
        live.update(node.outputs)
        owner.update((name, node.outputs[0]) for name in node.outputs)
        follows = node.kind in _FOLLOWERS and len(inputs) == 1
        kind = FOLLOWER if follows else _KINDS.get(node.kind, OTHER)
        operations.append(Operation(node.outputs[0], kind, inputs, node.name))
    return operations


def _tensor(tap: Tap, nodes: list[Node]) -> tuple[str, str]:
    """Return the tensor of a layer, and the scale of its integers ("" where it is float)."""
    by_output = {node.outputs[0]: node for node in nodes if node.outputs}
    kinds = [by_output[key].kind for key in tap.chain]
    tensor = tap.chain[-1]
    if "QuantizeLinear" not in kinds:
        return tensor, ""
    if kinds[-1] == "DequantizeLinear":
        return by_output[tensor].inputs[0], by_output[tensor].inputs[1]
    # The integers are picked from (split, joined, pooled) before they are dequantized. The scale
    # is the one with which they are read, as a wrong one would be wrong there.
    reached = {tensor}
    for node in nodes:
        if reached.intersection(node.inputs):
            if node.kind == "DequantizeLinear":
                return tensor, node.inputs[1]
            reached.update(node.outputs)
    return tensor, next(
        by_output[key].inputs[1] for key in tap.chain if by_output[key].kind == "QuantizeLinear"
    )
