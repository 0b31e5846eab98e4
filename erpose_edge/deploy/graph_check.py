"""What can be known of a TensorRT artifact where TensorRT is not: in one line, for the verdict."""

from __future__ import annotations

from erpose_edge.errors import ExportError, MissingExtraError
from erpose_edge.exporters.tensorrt import check as tensorrt_check
from erpose_edge.runtime.artifact import Artifact

LIMITS = f"the check does not prove {tensorrt_check.DOES_NOT_PROVE[0]}"


def checked_graphs(artifact: Artifact) -> str:
    """Parse and build the graphs of an artifact with TensorRT-RTX, on the CPU.

    Returns:
        What was found, or why nothing was.

    Raises:
        ExportError: A graph is not in the dialect, or is not built.
    """
    try:
        report = tensorrt_check.check_graphs(artifact.folder)
    except MissingExtraError as error:
        return f"not checked: {error}"
    for check in report.files:
        if not check.passed:
            why = [*map(str, check.violations), *check.errors, "no engine"][0]
            raise ExportError(
                f"trt-check {check.file.name}: expected {report.tool} to parse and build it, got "
                f"{why}; see `erpose-edge trt-check {artifact.folder}`"
            )
    files = ", ".join(f"{check.file.name} ({check.layers} layers)" for check in report.files)
    return f"{report.tool} parses and builds {files}"
