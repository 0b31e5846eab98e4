"""The process that parses and builds one graph with TensorRT-RTX, so that a crash ends only it.

``python -m erpose_edge.exporters.tensorrt.rtx_build MODEL.onnx`` prints one JSON document, which
`erpose_edge.exporters.tensorrt.check` reads. No GPU is needed: the engine is built ahead of time
for one compute capability, and never run.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import tensorrt_rtx


class _Log(tensorrt_rtx.ILogger):
    """Keeps warnings and errors, each once."""

    def __init__(self) -> None:
        tensorrt_rtx.ILogger.__init__(self)
        self.said: dict[str, dict[str, int]] = {"errors": {}, "warnings": {}}

    def log(self, severity: Any, msg: str) -> None:  # noqa: ANN401 - TensorRT's
        levels = tensorrt_rtx.ILogger.Severity
        if severity in (levels.ERROR, levels.INTERNAL_ERROR, levels.WARNING):
            kind = self.said["warnings" if severity == levels.WARNING else "errors"]
            text = " ".join(msg.split())
            kind[text] = kind.get(text, 0) + 1


def build(path: Path) -> dict[str, Any]:
    """Parse and build the graph at ``path``; what went wrong is in what is returned.

    Returns:
        ``version``, ``parsed``, ``built``, ``layers``, ``engine_bytes``, ``seconds``, ``errors``
        and ``warnings``.
    """
    log = _Log()
    builder = tensorrt_rtx.Builder(log)
    typed = 1 << int(tensorrt_rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(typed)
    parser = tensorrt_rtx.OnnxParser(network, log)
    started = time.perf_counter()
    parsed = bool(parser.parse(path.read_bytes()))
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    engine = None
    if parsed:
        config = builder.create_builder_config()
        config.num_compute_capabilities = 1
        # The nearest that TensorRT-RTX builds for to Orin's 8.7; both are Ampere.
        config.set_compute_capability(tensorrt_rtx.ComputeCapability.SM86, 0)
        engine = builder.build_serialized_network(network, config)
    return {
        "version": tensorrt_rtx.__version__,
        "parsed": parsed,
        "built": engine is not None,
        "layers": network.num_layers if parsed else None,
        "engine_bytes": None if engine is None else engine.nbytes,
        "seconds": time.perf_counter() - started,
        "errors": [_said(error) for error in errors] or _counted(log.said["errors"]),
        "warnings": _counted(log.said["warnings"]),
    }


def _said(error: Any) -> str:  # noqa: ANN401 - TensorRT's
    text = " ".join(error.desc().split())
    return f"{error.node_name()} ({error.node_operator()}): {text}"


def _counted(said: dict[str, int]) -> list[str]:
    return [text if count == 1 else f"{text} ({count} times)" for text, count in said.items()]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(build(Path(sys.argv[1]))) + "\n")
