#!/usr/bin/env python3
"""Measure by how much OpenVINO's int8 convolution errs on this CPU, for each spelling of Q/DQ.

One 3x3 convolution of 64 channels with random weights runs in int8 and, as the truth, the same
integers are convolved in float64 by numpy. The kernels of older processors are tried by limiting
oneDNN's instruction sets. Writes the table of docs/decisions.md.

    python scripts/measure_saturation.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
from measured_block import ROOT, replace_block, table

_CHANNELS, _SIDE, _KERNEL = 64, 32, 3
_SCALE, _WEIGHT_SCALE = 0.02, 0.01
_INSTRUCTION_SETS = ("AVX2", "AVX2_VNNI", "AVX512_CORE_VNNI", "DEFAULT")


class Spelling(NamedTuple):
    """How activations and weights are written: type, largest values, and whether signs occur."""

    name: str
    unsigned: bool
    largest: int
    weight: int
    signed_values: bool = False


_SPELLINGS = (
    Spelling("int8, values 0..127, 8-bit weights", False, 127, 127),
    Spelling("uint8, values 0..127, 8-bit weights", True, 127, 127),
    Spelling("uint8, values 0..255, 8-bit weights", True, 255, 127),
    Spelling("int8, values -127..127, 8-bit weights", False, 127, 127, True),
    Spelling("int8, values 0..127, 7-bit weights", False, 127, 63),
    Spelling("int8, values -127..127, 7-bit weights", False, 127, 63, True),
)


def main() -> None:
    """Measure in one process for each instruction set, and write the block."""
    if sys.argv[1:] == ["--one"]:
        print(json.dumps([measure(spelling) for spelling in _SPELLINGS]))
        return
    found: dict[str, list[dict[str, Any]]] = {}
    for isa in _INSTRUCTION_SETS:
        command = [sys.executable, __file__, "--one"]
        environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        found[isa] = json.loads(done.stdout)
    rows = [
        [spelling.name, *(_shown(found[isa][index]) for isa in _INSTRUCTION_SETS)]
        for index, spelling in enumerate(_SPELLINGS)
    ]
    kernels = "; ".join(f"{isa}: `{found[isa][0]['kernel']}`" for isa in _INSTRUCTION_SETS)
    lines = [
        *table(["activations and weights", *_INSTRUCTION_SETS], rows),
        "",
        f"Largest error over the standard deviation of the result. {_processor()}.",
        f"Kernels: {kernels}.",
    ]
    replace_block(ROOT / "docs" / "decisions.md", "saturation", lines)


def measure(spelling: Spelling) -> dict[str, Any]:
    """Return the kernel that ran and its errors over the standard deviation of the result."""
    import openvino as ov

    rng = np.random.default_rng(0)
    limit = spelling.weight
    weights = rng.normal(0, 45, (_CHANNELS, _CHANNELS, _KERNEL, _KERNEL)).round()
    weights = weights.clip(-limit, limit).astype(np.int8)
    values = np.abs(rng.normal(0, spelling.largest / 3, (1, _CHANNELS, _SIDE, _SIDE))).round()
    values = values.clip(0, spelling.largest)
    if spelling.signed_values:
        values *= rng.choice([-1.0, 1.0], values.shape)
    core = ov.Core()
    model = core.read_model(_model(spelling, weights))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got = compiled((values * _SCALE).astype(np.float32))[0].astype(np.float64)
    expected = _convolved(values, weights) * _SCALE * _WEIGHT_SCALE
    error = np.abs(got - expected) / expected.std()
    return {"kernel": _kernel(compiled), "mean": float(error.mean()), "max": float(error.max())}


def _model(spelling: Spelling, weights: np.ndarray) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    kind = np.uint8 if spelling.unsigned else np.int8
    constants = {
        "w": weights,
        "ws": np.full(_CHANNELS, _WEIGHT_SCALE, np.float32),
        "wz": np.zeros(_CHANNELS, np.int8),
        "s": np.float32(_SCALE),
        "z": kind(0),
    }
    source = "x" if spelling.signed_values else "r"
    relu = [] if spelling.signed_values else [helper.make_node("Relu", ["x"], ["r"])]
    nodes = [
        *relu,
        helper.make_node("QuantizeLinear", [source, "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["d", "wd"], ["y"], pads=[1, 1, 1, 1]),
    ]
    shape = [1, _CHANNELS, _SIDE, _SIDE]
    graph = helper.make_graph(
        nodes,
        "one_convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=9
    ).SerializeToString()
    return content


def _convolved(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the 3x3 convolution, padded by 1, in float64: exact for these integers."""
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
    total = np.zeros((_CHANNELS, _SIDE * _SIDE))
    for row in range(_KERNEL):
        for column in range(_KERNEL):
            window = padded[0, :, row : row + _SIDE, column : column + _SIDE]
            total += weights[:, :, row, column].astype(np.float64) @ window.reshape(_CHANNELS, -1)
    return total.reshape(1, _CHANNELS, _SIDE, _SIDE)


def _kernel(compiled: Any) -> str:  # noqa: ANN401 - openvino.CompiledModel
    for layer in compiled.get_runtime_model().get_ordered_ops():
        facts = layer.get_rt_info()
        if facts["layerType"].astype(str) == "Convolution":
            return str(facts["primitiveType"].astype(str))
    return "none"


def _shown(found: dict[str, Any]) -> str:
    return f"{found['max']:.4f}"


def _processor() -> str:
    import openvino as ov

    sys.path.insert(0, str(ROOT))
    from erpose_edge.machine.cpu import cpu_facts

    return f"{cpu_facts().model}, OpenVINO {ov.__version__.split('-')[0]}"


if __name__ == "__main__":
    main()
