"""What ONNX Runtime runs: the profile of one run."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.validate.parity.onnx_bytes import read_nodes
from erpose_edge.validate.placement import (
    CONVOLUTION,
    INT8,
    PlacedLayer,
    precision_of,
    with_missing,
)

if TYPE_CHECKING:
    from erpose_edge.runtime.artifact import Artifact

_CONVOLUTIONS = ("Conv", "FusedConv", "QLinearConv", "ConvInteger")
_KERNEL = "_kernel_time"
_RENAMED = re.compile(r"(_token_\d+|_quant|_nchwc)+$")  # what its optimiser adds to a name


def read_placement(runner: Any, artifact: Artifact) -> list[PlacedLayer]:  # noqa: ANN401
    """Return the nodes that run; see `placement_of`.

    The model is loaded once more: a session that is timed keeps no profile.
    """
    path = artifact.file("model.onnx", ".onnx")
    asked = int8_convolutions(path)
    found = []
    for event in _profile(path, runner.threads):
        facts = event["args"]
        kind = facts["op_name"]
        name = _RENAMED.sub("", event["name"][: -len(_KERNEL)])
        types = facts.get("input_type_shape") or [{}]
        data = next(iter(types[0]), "")
        found.append(
            PlacedLayer(
                layer=name,
                kind=CONVOLUTION if kind in _CONVOLUTIONS else kind,
                precision=precision_of(data),
                unit=facts["provider"].replace("ExecutionProvider", "").lower(),
                asked=INT8 if kind in _CONVOLUTIONS and name in asked else None,
            )
        )
    return with_missing(found, asked, "cpu")


def int8_convolutions(path: Path) -> list[str]:
    """Return the names of convolutions whose weights an ONNX file has behind DequantizeLinear."""
    nodes, _ = read_nodes(path.read_bytes())
    integers = {node.outputs[0] for node in nodes if node.kind == "DequantizeLinear"}
    return [node.name for node in nodes if node.kind == "Conv" and node.inputs[1] in integers]


def _profile(path: Path, threads: int) -> list[dict[str, Any]]:
    """Run a model once and return the events of its kernels."""
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        images = {port.name: np.zeros(port.shape, np.float32) for port in session.get_inputs()}
        session.run(None, images)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return [
        event for event in events if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)
    ]
