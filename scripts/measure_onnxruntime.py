#!/usr/bin/env python3
"""Count which convolutions ONNX Runtime runs in int8, for each spelling of the same Q/DQ graph.

ONNX Runtime decides when it loads a graph and falls back to float in silence; it is asked to write
the graph that it has made. Writes the table of docs/decisions.md.

    python scripts/measure_onnxruntime.py [WEIGHTS]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

import onnx
import onnxruntime as ort

from erpose_edge.exporters.dialect import not_negative_as_uint8
from erpose_edge.exporters.onnx import export_onnx, serialize
from erpose_edge.network.checkpoint import load_weights
from erpose_edge.quantization.checkpoint import deployed_network
from erpose_edge.quantization.fake_quantize import quantized_convolutions
from erpose_edge.resources import find_resource

_SIZE = (128, 128)  # which kernels are taken does not depend on it
_MAX_POSES = 30
_OPERATIONS = {"QLinearConv": "int8", "FusedConv": "float, with activation", "Conv": "float"}


def main() -> None:
    """Export, load each spelling, and write the block."""
    parser = argparse.ArgumentParser(description="Count int8 convolutions in ONNX Runtime.")
    parser.add_argument("weights", nargs="?", default="erpose-n-qat", help="quantized weights")
    weights = load_weights(find_resource("weights", parser.parse_args().weights))
    network = deployed_network(weights, quantized=True)
    int8 = export_onnx(network, "compact", _SIZE, _MAX_POSES)
    spellings = {"int8, as for TensorRT": int8, "uint8, as exported": not_negative_as_uint8(int8)}
    rows = []
    for name, model in spellings.items():
        found = loaded_operations(model)
        rows.append([name, *(str(found[operation]) for operation in _OPERATIONS)])
    headings = ["spelling", *(f"{name} ({what})" for name, what in _OPERATIONS.items())]
    wanted = len(list(quantized_convolutions(network)))
    note = (
        f"The policy makes {wanted} convolutions int8. ONNX Runtime {ort.__version__}, "
        f"{weights.activation}."
    )
    replace_block(ROOT / "docs" / "decisions.md", "onnxruntime", [*table(headings, rows), "", note])


def loaded_operations(model: onnx.ModelProto) -> Counter[str]:
    """Return how often each operation is in the graph that ONNX Runtime makes of ``model``."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "loaded.onnx")
        options.log_severity_level = 4
        ort.InferenceSession(serialize(model), options, providers=["CPUExecutionProvider"])
        loaded = onnx.load(options.optimized_model_filepath)
    return Counter(node.op_type for node in loaded.graph.node)


if __name__ == "__main__":
    main()
