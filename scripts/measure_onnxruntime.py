#!/usr/bin/env python3
"""Count which convolutions ONNX Runtime runs in int8, for each spelling of the same Q/DQ graph.

ONNX Runtime decides when it loads a graph and falls back to float in silence; it is asked to write
the graph that it has made. Writes the table of docs/decisions.md.

    python scripts/measure_onnxruntime.py [WEIGHTS]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from measured_block import ROOT, replace_block, table

sys.path.insert(0, str(ROOT))

import onnxruntime as ort
from torch import fx

from erpose_edge.config import NetworkConfig
from erpose_edge.exporters.dialect import not_negative_as_uint8, spelled_for
from erpose_edge.exporters.onnx import export_onnx
from erpose_edge.exporters.onnxruntime import loaded_graph
from erpose_edge.network.checkpoint import load_weights
from erpose_edge.network.pose_network import ERPose
from erpose_edge.quantization.checkpoint import deployed_network, policy_of
from erpose_edge.quantization.fake_quantize import quantized_convolutions, set_mode
from erpose_edge.quantization.prepare import prepare
from erpose_edge.quantization.recipe import Policy
from erpose_edge.resources import find_resource

_SIZE = (128, 128)  # which kernels are taken does not depend on it
_MAX_POSES = 30
_OPERATIONS = {"QLinearConv": "int8", "FusedConv": "float, with activation", "Conv": "float"}


def main() -> None:
    """Export, load each spelling, and write the block."""
    parser = argparse.ArgumentParser(description="Count int8 convolutions in ONNX Runtime.")
    parser.add_argument(
        "weights", nargs="?", default="erpose-n-mobile-qat", help="quantized weights"
    )
    weights = load_weights(find_resource("weights", parser.parse_args().weights))
    policy = policy_of(weights)
    network = deployed_network(weights, quantized=True)
    qdq = export_onnx(network, "compact", _SIZE, _MAX_POSES)
    smooth = export_onnx(untrained(policy), "compact", _SIZE, _MAX_POSES)
    dialect = policy.dialects["onnxruntime"]
    spellings = {
        "int8, as for TensorRT": qdq,
        "uint8, cut by a float Clip, as for OpenVINO": not_negative_as_uint8(qdq),
        "uint8, cut by a Clip on integers": not_negative_as_uint8(qdq, cut_integers=True),
        "the same, picked as integers: as exported": spelled_for("onnxruntime", qdq, dialect),
        "as exported, silu": spelled_for("onnxruntime", smooth, dialect),
    }
    rows = []
    for name, model in spellings.items():
        found = Counter(node.op_type for node in loaded_graph(model).graph.node)
        rows.append([name, *(str(found[operation]) for operation in _OPERATIONS)])
    headings = ["spelling", *(f"{name} ({what})" for name, what in _OPERATIONS.items())]
    wanted = len(quantized_convolutions(network))
    note = (
        f"The policy makes {wanted} convolutions int8. ONNX Runtime {ort.__version__}, "
        f"{weights.network.activation} if nothing else is said."
    )
    replace_block(ROOT / "docs" / "decisions.md", "onnxruntime", [*table(headings, rows), "", note])


def untrained(policy: Policy) -> fx.GraphModule:
    """Return a quantized ER-Pose-n with `silu`: which kernels are taken needs no training."""
    network = prepare(ERPose(NetworkConfig(scale="n", activation="silu"), 17).eval(), policy)
    set_mode(network, "fake")
    return network


if __name__ == "__main__":
    main()
