"""Look into a TFLite artifact: its own interpreter keeps every tensor.

Layers are computed without XNNPACK, which shows none; its kernels and the built-in ones round
sums alike but for the last step.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.errors import IntegrityError
from erpose_edge.runtime.runner import load_error, usable_cores
from erpose_edge.runtime.tflite_runner import runtime
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
    "CONV_2D": CONVOLUTION,
    "DEPTHWISE_CONV_2D": CONVOLUTION,
    "LOGISTIC": SIGMOID,
    "MUL": PRODUCT,
    "ADD": ADDITION,
}
_FOLLOWERS = ("RELU", "RELU6", "HARD_SWISH", "QUANTIZE", "DEQUANTIZE", "MINIMUM", "MAXIMUM")
_SIDECAR = "tflite.json"


class TfliteLayers:
    """Runs ``model.tflite`` and gives every layer besides the outputs."""

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        """Load the model such that its tensors are kept.

        Raises:
            MissingExtraError: No package with the runtime is installed.
            TargetError: The runtime refuses the model.
            IntegrityError: The side-car does not name the convolutions.
        """
        title, interpreter_class = runtime()
        resolvers = sys.modules[interpreter_class.__module__].OpResolverType
        try:
            self._interpreter = interpreter_class(
                model_path=str(artifact.file(".tflite")),
                num_threads=usable_cores() if threads is None else threads,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
            signature = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise load_error(artifact, title, error) from None
        inputs, outputs = signature.get_input_details(), signature.get_output_details()
        self._input = inputs[artifact.manifest.input.name]["index"]
        self._maps = artifact.manifest.contract == "raw"
        self._outputs = {
            spec.name: outputs[spec.name]["index"] for spec in artifact.manifest.outputs
        }
        operations = self._interpreter._get_ops_details()
        taps = find_taps(_operations(operations, self._input, _names(artifact)))
        self.layers = tuple(tap.layer for tap in taps)
        self._tensors = {
            tap.layer.name: int(operations[int(tap.chain[-1])]["outputs"][0]) for tap in taps
        }
        details = self._interpreter.get_tensor_details()
        self._grids = {detail["index"]: detail["quantization"] for detail in details}

    def run(
        self, images: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """Return layers and outputs by name; see `LayerRunner`."""
        self._interpreter.set_tensor(
            self._input, np.ascontiguousarray(images.transpose(0, 2, 3, 1), np.float32)
        )
        self._interpreter.invoke()
        layers = {
            name: self._values(index).transpose(0, 3, 1, 2) for name, index in self._tensors.items()
        }
        outputs = {name: self._values(index) for name, index in self._outputs.items()}
        if self._maps:
            outputs = {name: array.transpose(0, 3, 1, 2) for name, array in outputs.items()}
        return layers, outputs

    def _values(self, index: int) -> NDArray[np.float32]:
        array = self._interpreter.get_tensor(index)
        if array.dtype != np.int8:
            return np.asarray(array, np.float32)
        scale, zero_point = self._grids[index]
        values: NDArray[np.float32] = array.astype(np.float32) - np.float32(zero_point)
        values *= np.float32(scale)
        return values


def _names(artifact: Artifact) -> dict[int, str]:
    """Return the module of every convolution by the position of its operation in the file."""
    path = artifact.file(_SIDECAR)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["convolutions"]
        return {int(position): str(name) for name, position in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise IntegrityError(
            f"{path}: convolutions: expected operations by module, got something else; "
            "export the artifact again"
        ) from None


def _operations(
    operations: list[dict[str, Any]], source: int, names: dict[int, str]
) -> list[Operation]:
    """Return what computes with the picture's values: neither constants nor shapes."""
    makers = {source: ""}  # position of the operation by the tensor that it makes
    found = []
    for position, operation in enumerate(operations):
        live = [int(index) for index in operation["inputs"] if int(index) in makers]
        if not live:
            continue
        makers.update((int(index), str(position)) for index in operation["outputs"])
        inputs = tuple(makers[index] for index in live if makers[index])
        kind = operation["op_name"]
        one = kind in ("ADD", "MUL") and len(set(inputs)) == 1
        kind = FOLLOWER if one or kind in _FOLLOWERS else _KINDS.get(kind, OTHER)
        found.append(Operation(str(position), kind, inputs, names.get(position, "")))
    return found
