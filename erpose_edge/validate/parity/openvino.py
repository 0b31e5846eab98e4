"""Look into an OpenVINO artifact: the same model with its layers as further outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.runtime.runner import load_error
from erpose_edge.validate.parity.layers import (
    ADDITION,
    CONVOLUTION,
    FOLLOWER,
    OTHER,
    PRODUCT,
    SIGMOID,
    Operation,
    find_taps,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact

_KINDS = {
    "Convolution": CONVOLUTION,
    "GroupConvolution": CONVOLUTION,
    "Sigmoid": SIGMOID,
    "Multiply": PRODUCT,
    "Add": ADDITION,
}
_FOLLOWERS = (
    "Relu", "Clamp", "HSwish", "Swish", "Maximum", "Minimum", "FakeQuantize", "Convert",
    "Subtract", "Multiply", "Add",
)  # fmt: skip
_CONVOLUTION_OF_TWO = "/WithoutBiases"  # OpenVINO makes two layers of a convolution with bias


class OpenvinoLayers:
    """Runs ``model.xml`` or ``model.onnx`` and gives every layer besides the outputs."""

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        """Compile the model with its layers as outputs.

        Raises:
            TargetError: OpenVINO refuses the model.
        """
        import openvino as ov

        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}  # as the runner has it
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = ov.Core().read_model(artifact.file(".xml", ".onnx"))
            self._outputs = len(model.outputs)
            by_key = {layer.get_name(): layer for layer in model.get_ordered_ops()}
            taps = find_taps(_operations(list(by_key.values())))
            ports = [by_key[tap.chain[-1]].output(0) for tap in taps]
            if ports:
                model.add_outputs(ports)
            compiled = ov.Core().compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise load_error(artifact, f"OpenVINO {ov.__version__}", error) from None
        self.layers = tuple(tap.layer for tap in taps)
        self._names = [spec.name for spec in artifact.manifest.outputs]
        self._input = artifact.manifest.input.name
        self._compiled = compiled

    def run(
        self, images: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """Return layers and outputs by name; see `LayerRunner`."""
        found = self._compiled({self._input: np.ascontiguousarray(images, np.float32)})
        names = [layer.name for layer in self.layers]
        arrays = [found[port] for port in self._compiled.outputs[self._outputs :]]
        outputs = {name: np.array(found[name], np.float32) for name in self._names}
        layers = {name: np.array(array, np.float32) for name, array in zip(names, arrays)}
        return layers, outputs


def _operations(nodes: list[Any]) -> list[Operation]:
    """Return what computes with the picture's values: neither constants nor shapes."""
    live: set[str] = set()
    operations = []
    for node in nodes:
        kind = node.get_type_name()
        sources = [port.get_source_output().get_node().get_name() for port in node.inputs()]
        inputs = tuple(source for source in sources if source in live)
        if kind == "ShapeOf" or (kind != "Parameter" and not inputs):
            continue
        live.add(node.get_name())
        name = node.get_friendly_name()
        if name.endswith(_CONVOLUTION_OF_TWO):
            name = name[: -len(_CONVOLUTION_OF_TWO)]
        follows = kind in _FOLLOWERS and len(set(inputs)) == 1
        operations.append(
            Operation(
                node.get_name(), FOLLOWER if follows else _KINDS.get(kind, OTHER), inputs, name
            )
        )
    return operations
