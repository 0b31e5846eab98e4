"""Run an artifact with OpenVINO on the CPU.

Ref: https://docs.openvino.ai/2025/openvino-workflow/running-inference/inference-devices-and-modes/cpu-device.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov

from erpose_edge.runtime.runner import check_images, check_tensors, load_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact


class OpenvinoRunner:
    """`Runner` for ``model.xml`` or ``model.onnx``; neither inputs nor outputs are copied."""

    def __init__(self, artifact: Artifact, threads: int | None = None) -> None:
        """Compile the model for the lowest latency.

        Raises:
            TargetError: OpenVINO refuses the model.
            IntegrityError: Its inputs or outputs are not the ones of the manifest.
        """
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # On CPUs with AMX or AVX512-BF16 OpenVINO would compute everything float in bfloat16
            # on its own: 8 bits for coordinates up to 640. int8 layers stay int8 under this hint.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        path = artifact.file(".xml", ".onnx")
        try:
            self.compiled = ov.Core().compile_model(path, "CPU", settings)
        except RuntimeError as error:
            raise load_error(artifact, f"OpenVINO {ov.__version__}", error) from None
        manifest = artifact.manifest
        check_tensors(artifact, _names(self.compiled.inputs), _names(self.compiled.outputs))
        self.engine = f"OpenVINO {ov.__version__.split('-')[0]}"
        self.threads = int(self.compiled.get_property("INFERENCE_NUM_THREADS"))
        self._request = self.compiled.create_infer_request()
        self._input = manifest.input.name
        self._size = manifest.input_size
        self._outputs = {
            spec.name: self._request.get_tensor(spec.name).data for spec in manifest.outputs
        }
        self._images: NDArray[np.float32] | None = None

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; see `Runner.run`."""
        if images is not self._images:
            check_images(images, self._size)
            images = np.ascontiguousarray(images)
            self._request.set_tensor(self._input, ov.Tensor(images, shared_memory=True))
            self._images = images  # the engine reads this memory: keep it alive
        self._request.infer()
        return self._outputs


def _names(ports: list[Any]) -> set[str]:
    return {name for port in ports for name in port.get_names()}
