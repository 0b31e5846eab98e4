"""Rules of the linter on scales, zero points and integer types."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erpose_edge.exporters.lint.graph import Node
from erpose_edge.exporters.lint.operators import DEQUANTIZE, JOINS, QUANTIZE
from erpose_edge.exporters.lint.report import ERROR, NOTE, WARNING, Finding
from erpose_edge.exporters.lint.subject import Subject
from erpose_edge.exporters.lint.values import Grid, State

# Below this an 8-bit tensor covers less than 1.3e-4 on either side: it was zero while calibrated.
_TINY_SCALE = 1e-6
# An average loss of two bits of the weights.
_HEAVY_LOSS_DB = 12.0
_INT16 = 32767
_UINT8_ENGINES = ("openvino", "onnxruntime")  # take uint8 as what it is
_DB_PER_STEP = 20.0


def unequal_scales(subject: Subject) -> Iterator[Finding]:
    """Find Add and Concat whose inputs are on different grids."""
    for node in subject.graph.nodes:
        if node.op not in JOINS or node not in subject.values.below_learned:
            continue
        values = [subject.values.get(name) for name in subject.values.open_inputs(node)]
        grids = [v.grid for v in values if v.state is State.GRID and v.grid is not None]
        if len(grids) < 2 or all(grids[0].same(grid) for grid in grids):
            continue
        steps = [grid.step for grid in grids]
        ratio = max(steps) / min(steps) if min(steps) > 0 else math.inf
        types = sorted({grid.dtype for grid in grids})
        lost = f"{math.log2(ratio):.1f} bits" if 1 < ratio < math.inf else "a conversion"
        size = subject.graph.size(next(iter(node.outputs), ""))
        yield Finding(
            "unequal-scales",
            ERROR if node.op == "Concat" or len(types) > 1 else WARNING,
            node.label,
            node.op,
            f"scales of its {len(grids)} inputs differ by {ratio:.3g} x "
            f"({min(steps):.3g} to {max(steps):.3g}, {' and '.join(types)})",
            f"{size:,} values rounded once more; the finest input loses {lost}",
            "let its inputs share one quantizer",
            (node.label,),
            ratio,
        )


def mismatched_pairs(subject: Subject) -> Iterator[Finding]:
    """Find DequantizeLinear that reads integers with another grid than they were made on."""
    for node in subject.values.dequantizers:
        made = subject.values.get(node.input(0))
        read = subject.values.grid(node)
        if made.state is not State.GRID or made.grid is None or made.grid.same(read):
            continue
        if not node.input(2) and made.grid.step == read.step:
            continue  # an absent zero point takes the integers' type
        ratio = read.step / made.grid.step if made.grid.step else math.inf
        yield Finding(
            "mismatched-pair", ERROR, node.label, node.op,
            f"reads integers with scale {read.step:.4g} that were made with {made.grid.step:.4g}, "
            f"zero points {_first(read)} and {_first(made.grid)}",
            f"every value multiplied by {ratio:.3g}",
            "give Q and DQ the same scale and zero point", (node.label,), abs(ratio - 1),
        )  # fmt: skip


def zero_points(subject: Subject) -> Iterator[Finding]:
    """Find zero points other than 0."""
    engine = subject.options.engine
    for node in _quantizing(subject):
        grid = subject.values.grid(node)
        if not np.any(grid.zero_point):
            continue
        weights = node.input(0) in subject.graph.fixed
        if weights and not _feeds_compute(subject, node):
            continue  # a quantized constant: reported where it is decoded
        symmetric = grid.dtype == "uint8" and np.all(grid.zero_point == 128)
        if symmetric and engine == "onnxruntime" and not weights:
            continue  # on x86 it runs int8 only with uint8 at both ends of a convolution
        yield Finding(
            "asymmetric-zero-point",
            _severity_of_zero_point(engine, weights),
            node.label,
            node.op,
            f"zero point {_first(grid)} of {grid.dtype} {'weights' if weights else 'activations'}",
            "TensorRT refuses it; elsewhere a correction for every output channel, and padding "
            "that is not 0",
            "write it as int8 with zero point 0, which is the same"
            if symmetric
            else "choose symmetric ranges: zero point 0, int8",
            (node.label,),
            float(np.max(np.abs(grid.zero_point))),
        )


def _severity_of_zero_point(engine: str | None, weights: bool) -> str:
    if engine == "tensorrt" or (engine == "tflite" and weights):
        return ERROR
    return WARNING if engine is None or weights else NOTE


def unsigned_integers(subject: Subject) -> Iterator[Finding]:
    """Find uint8 where the engine takes int8."""
    engine = subject.options.engine
    if engine is None or engine in _UINT8_ENGINES:
        return
    for node in _quantizing(subject):
        grid = subject.values.grid(node)
        if grid.dtype == "uint8":
            size = subject.graph.size(node.input(0))
            yield Finding(
                "unsigned", ERROR, node.label, node.op,
                f"uint8 with steps of {grid.step:.3g}, where {engine} takes int8",
                "values above 127 steps cut off: TensorRT reads the same scale as int8, in silence"
                if engine == "tensorrt"
                else "the format's int8 kernels do not take it",
                "write the same scale as int8, with values up to 127", (node.label,), size,
            )  # fmt: skip


def saturation(subject: Subject) -> Iterator[Finding]:
    """Find products that overflow 16 bits on AVX2 without VNNI."""
    if subject.options.engine not in _UINT8_ENGINES:
        return
    for node in sorted(subject.values.int8, key=lambda n: n.label):
        weight = subject.graph.weight(node)
        value = subject.values.get(node.input(0))
        if weight is None or value.grid is None or weight.dtype.kind not in "iu":
            continue
        if node.op != "Conv" or weight.ndim < 2 or weight.shape[1] == 1:
            continue  # depthwise kernels do not add pairs
        # Signed integers are moved by 128 for these kernels.
        top = value.top if value.grid.dtype == "uint8" else value.top + 128
        largest = int(np.max(np.abs(weight.astype(np.int32)), initial=0))
        worst = 2 * top * largest
        if worst > _INT16:
            yield Finding(
                "saturation", WARNING, node.label, node.op,
                f"pairs of products reach {worst:,} with {value.grid.dtype} data up to "
                f"{value.top} and weights up to {largest}; 16 bits hold {_INT16:,}",
                "silently wrong sums on processors with AVX2 and no VNNI",
                "write data that are never negative as uint8 up to 127, or train with "
                "policies/narrow-weights (7 bits)", (node.label,), worst,
            )  # fmt: skip


def weight_scales(subject: Subject) -> Iterator[Finding]:
    """Find weights with one scale for all output channels, and channels without weights."""
    policy = subject.options.policy
    for node in subject.graph.macs:
        ranges = _channel_ranges(subject, node)
        if ranges is None or ranges.size < 2:
            continue
        dequantize = subject.graph.producers.get(node.input(1))
        scale = None if dequantize is None else subject.values.grid(dequantize).scale
        alive = ranges[ranges > 0]
        if alive.size < ranges.size:
            dead = ranges.size - alive.size
            yield Finding(
                "dead-channels", NOTE, node.label, node.op,
                f"{dead} of {ranges.size} output channels have no weights",
                f"{subject.share([node]) * dead / ranges.size:.2%} of all MACs for constants",
                "prune them", (node.label,), dead,
            )  # fmt: skip
        if scale is None or alive.size < 2 or np.unique(scale).size > 1:
            continue
        lost = _DB_PER_STEP * np.log10(alive.max() / alive)
        if lost.max() < 1e-3:
            continue
        chosen = policy is not None and not policy.weights.per_channel
        severe = lost.mean() >= _HEAVY_LOSS_DB
        yield Finding(
            "per-tensor-weights",
            NOTE if chosen else ERROR if severe else WARNING,
            node.label,
            node.op,
            f"one scale for {ranges.size} channels whose ranges differ by "
            f"{alive.max() / alive.min():.3g} x",
            f"{lost.mean():.1f} dB of the weights' SNR on average, {lost.max():.1f} dB in the "
            "worst channel",
            "quantize weights per output channel",
            (node.label,),
            float(lost.mean()),
        )


def _channel_ranges(subject: Subject, node: Node) -> NDArray[Any] | None:
    """Return the largest steps of each output channel of quantized weights, in real units."""
    if node not in subject.values.int8 or node.op not in (
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
    ):
        return None
    weight, dequantize = subject.graph.weight(node), subject.graph.producers.get(node.input(1))
    if weight is None or not weight.size or dequantize is None or dequantize.op != DEQUANTIZE:
        return None
    grid = subject.values.grid(dequantize)
    last = node.op == "MatMul" or (node.op == "Gemm" and not node.attribute("transB", 0))
    axis = weight.ndim - 1 if last else int(node.op == "ConvTranspose")
    if weight.ndim < 2 or grid.scale is None or not grid.scale.size:
        return None
    offset = grid.zero_point if grid.zero_point.size == 1 else 0
    moved = np.moveaxis(weight.astype(np.float64) - offset, axis, 0).reshape(weight.shape[axis], -1)
    if weight.dtype.kind == "f":  # weights as floats with Q and DQ behind them
        return np.abs(moved).max(1)
    scale = grid.scale.ravel().astype(np.float64)
    return np.abs(moved).max(1) * (scale if scale.size == len(moved) else scale.max())


def broken_scales(subject: Subject) -> Iterator[Finding]:
    """Find scales that are no numbers, not positive, or so small that nothing was seen."""
    for node in _quantizing(subject):
        scale = subject.values.grid(node).scale
        if scale is None or scale.dtype.kind != "f":
            continue
        values = scale.astype(np.float64).ravel()
        wrong = ~(np.isfinite(values) & (values > 0))
        weights = node.input(0) in subject.graph.fixed
        if wrong.any():
            yield Finding(
                "broken-scale", ERROR, node.label, node.op,
                f"scale {values[wrong][0]:g} in {int(wrong.sum())} of {values.size} places",
                "every value becomes 0 or is no number",
                "calibrate again: the range was empty or not finite", (node.label,), values.size,
            )  # fmt: skip
        elif not weights and values.size and values.max() < _TINY_SCALE:
            yield Finding(
                "tiny-scale", WARNING, node.label, node.op,
                f"steps of {values.max():.2g}: its tensor was all but 0 while calibrated",
                "whatever is larger on the device is cut off",
                "calibrate on pictures like the device's", (node.label,), 1 / values.max(),
            )  # fmt: skip


def _quantizing(subject: Subject) -> list[Node]:
    """Return every Q, and every DQ that reads constants: one node for each grid."""
    fixed = subject.graph.fixed
    return [
        node
        for node in subject.graph.nodes
        if node.op == QUANTIZE
        or (node.op == DEQUANTIZE and node.input(0) in fixed)
        or (node.op == DEQUANTIZE and node.input(0) not in subject.graph.producers)
    ]


def _feeds_compute(subject: Subject, node: Node) -> bool:
    behind = [n for name in node.outputs for n in subject.graph.consumers[name]]
    return any(n in subject.graph.macs or n.picks for n in behind)


def _first(grid: Grid) -> int:
    return int(grid.zero_point.ravel()[0]) if grid.zero_point.size else 0
