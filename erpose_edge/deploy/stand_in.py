"""ONNX Runtime in place of an engine that this machine does not have: same graph, no times.

What it gives is the accuracy of the graph itself, computed as Q/DQ is written. The engine rounds
sums and biases in its own way, so its own accuracy is measured on the device.
"""

from __future__ import annotations

from erpose_edge.errors import MissingExtraError
from erpose_edge.runtime.artifact import Artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.tensorrt.versions import MODEL_ONNX, TYPED_ONNX


def stand_in_estimator(artifact: Artifact, *, score_threshold: float) -> PoseEstimator:
    """Open the ONNX graph of an artifact that is meant for another engine.

    Args:
        artifact: Has a file ``model.onnx``.
        score_threshold: Poses with a lower score are left out.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        TargetError: ONNX Runtime does not take the graph.
    """
    try:
        from erpose_edge.runtime.onnx_runner import OnnxRunner
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{artifact.manifest.engine}: expected the package {error.name}, which computes the "
            "graph where its engine is missing, got none; run: pip install 'erpose-edge[ort]'"
        ) from None
    # Of the two graphs for TensorRT only one is float16 as it is written.
    graph = TYPED_ONNX if artifact.manifest.precision == "fp16" else MODEL_ONNX
    runner = OnnxRunner(artifact, graph=graph)
    runner.engine = f"{runner.engine} in place of {artifact.manifest.engine}"
    return PoseEstimator(artifact, runner=runner, score_threshold=score_threshold)
