"""Run an artifact with ONNX Runtime on the CPU: the reference engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,
)

from erpose_edge.runtime.runner import check_images, check_tensors, load_error, usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.artifact import Artifact

# What ONNX Runtime raises for a model that it does not take.
REFUSALS = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented)


class OnnxRunner:
    """`Runner` for ``model.onnx``."""

    def __init__(
        self, artifact: Artifact, threads: int | None = None, graph: str = "model.onnx"
    ) -> None:
        """Load the model.

        Args:
            artifact: Has the graph.
            threads: How many the engine may use; all cores by default.
            graph: Its file, where the artifact has several.

        Raises:
            TargetError: ONNX Runtime refuses the model.
            IntegrityError: Its inputs or outputs are not the ones of the manifest.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # Idle threads that spin take the cores from whatever else is being measured or drawn.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.threads = usable_cores() if threads is None else threads
        options.intra_op_num_threads = self.threads
        path = artifact.file(graph, ".onnx")
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except REFUSALS as error:
            raise load_error(artifact, f"ONNX Runtime {ort.__version__}", error) from None
        check_tensors(
            artifact,
            [port.name for port in self._session.get_inputs()],
            [port.name for port in self._session.get_outputs()],
        )
        self.engine = f"ONNX Runtime {ort.__version__}"
        self._input = artifact.manifest.input.name
        self._size = artifact.manifest.input_size
        self._outputs = [spec.name for spec in artifact.manifest.outputs]

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run the network; see `Runner.run`."""
        check_images(images, self._size)
        images = np.ascontiguousarray(images)
        arrays = self._session.run(self._outputs, {self._input: images})
        return dict(zip(self._outputs, arrays))
