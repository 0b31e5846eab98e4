"""How large values behind the head can become, and what an error in front of an output does to it.

Both follow from constants alone (strides, grid points): nothing is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from erpose_edge.exporters.lint.graph import LintGraph, Node
from erpose_edge.exporters.lint.operators import COMPUTE, DEQUANTIZE, PROBABILITIES, QUANTIZE

if TYPE_CHECKING:
    from erpose_edge.exporters.lint.contract import Precision

PIXELS, SCORE, UNKNOWN = "px", "score", ""
# A value beyond this many times what a convolution gives was made a coordinate by constants.
COORDINATE = 8.0
_STEEPEST_SIGMOID = 0.25
_PASSING = (QUANTIZE, DEQUANTIZE, "Relu", "Clip", "LeakyRelu", "TopK", "Resize", "AveragePool")

Gains = dict[str, float]  # by unit: how far an error in a tensor moves an output


class Ranges:
    """Magnitudes of the tensors of a graph.

    Attributes:
        bounds: Largest absolute value of tensors that hold constants.
        magnitudes: Of all others, where what a convolution gives counts 1.
        probabilities: Tensors whose values a sigmoid or a softmax made.
    """

    def __init__(self, graph: LintGraph) -> None:
        self.graph = graph
        self.bounds: dict[str, float] = {}
        for name, value in graph.constants.items():
            self._bound(name, value)
        self.magnitudes: dict[str, float] = {}
        self.probabilities: set[str] = set()
        for node in graph.nodes:
            self._forward(node)

    def _bound(self, name: str, value: np.ndarray | None) -> None:
        if value is None or not value.size or not np.issubdtype(value.dtype, np.number):
            return
        largest = float(np.max(np.abs(value.astype(np.float64))))
        if np.isfinite(largest):
            self.bounds[name] = largest

    def _forward(self, node: Node) -> None:
        if self._constant(node):
            return
        names = [name for name in node.inputs if name not in self.bounds]
        magnitude = self._magnitude(node, [self.magnitudes.get(name, 1.0) for name in names])
        probable = node.op in PROBABILITIES or (
            (node.picks or node.op in _PASSING)
            and bool(names)
            and all(name in self.probabilities for name in names)
        )
        for name in node.outputs:
            self.magnitudes[name] = magnitude
            if probable:
                self.probabilities.add(name)

    def _constant(self, node: Node) -> bool:
        """Note the bound of a node that only computes with constants; return whether it does."""
        if node.op == DEQUANTIZE and node.input(0) in self.graph.fixed:
            integers, scale, zero = (self.graph.constants.get(node.input(i)) for i in range(3))
            if integers is None or integers.dtype.kind not in "iu" or not integers.size:
                return False
            if scale is None or not scale.size:
                return False
            offset = 0.0 if zero is None or not zero.size else float(np.max(zero))
            steps = float(np.max(np.abs(integers.astype(np.float64) - offset)))
            self.bounds.update(dict.fromkeys(node.outputs, steps * float(np.max(scale))))
            return True
        taken = [self.bounds[name] for name in node.inputs if name in self.bounds]
        if not taken or len(taken) < len(node.inputs):
            return False
        if node.picks or node.op in _PASSING:
            bound = max(taken)
        elif node.op == "Mul":
            bound = float(np.prod(taken))
        elif node.op in ("Add", "Sub", "Sum"):
            bound = sum(taken)
        elif node.op == "Div" and taken[-1] > 0:
            bound = taken[0] / taken[-1]
        else:
            return False
        self.bounds.update(dict.fromkeys(node.outputs, bound))
        return True

    def _magnitude(self, node: Node, taken: list[float]) -> float:
        constants = [self.bounds[name] for name in node.inputs if name in self.bounds]
        if node.op in (*COMPUTE, *PROBABILITIES, "Tanh"):
            return 1.0
        if node.op in ("Add", "Sub", "Sum"):
            return sum(taken) + sum(constants)
        if node.op == "Mul":
            return float(np.prod([*taken, *constants]))
        if node.op == "Div" and taken and constants and constants[-1] > 0:
            return taken[0] / constants[-1]
        return max([*taken, 1.0 if not taken else 0.0])

    def gains(self, output: str, precision: Precision) -> dict[str, Gains]:
        """Return how far an error in each tensor behind the head moves ``output``, by unit.

        Args:
            output: Name of an output of the graph.
            precision: What it carries; where that is not known, sigmoids and magnitudes tell.
        """
        found: dict[str, Gains] = {output: {precision.unit: precision.per_unit}}
        for node in reversed(self.graph.nodes):
            behind: Gains = {}
            for name in node.outputs:
                _merge(behind, found.get(name, {}))
            if not behind or self.graph.learned(node):
                continue
            coordinates = self.magnitudes.get(node.outputs[0], 0) > COORDINATE
            for name in node.inputs:
                factor = self._slope(node, name)
                if factor is None or name in self.bounds:
                    continue
                here = {
                    _unit(unit, node, coordinates): gain * factor for unit, gain in behind.items()
                }
                _merge(found.setdefault(name, {}), here)
        return found

    def _slope(self, node: Node, name: str) -> float | None:
        """Return how far an error of 1 in ``name`` moves what ``node`` gives, None if unknown."""
        others = [other for other in node.inputs if other != name]
        bounds = [self.bounds.get(other) for other in others]
        if node.op in PROBABILITIES:
            return _STEEPEST_SIGMOID
        if node.op in ("Mul", "Conv") and None not in bounds and len(node.inputs) == 2:
            return float(np.prod([bound for bound in bounds if bound is not None]))
        if node.op == "Div" and name == node.inputs[0] and bounds and bounds[0]:
            return 1 / bounds[0]
        passing = node.picks or node.op in _PASSING or node.op in ("Add", "Sub", "Sum")
        return 1.0 if passing else None


def _unit(unit: str, node: Node, coordinates: bool) -> str:
    if unit == UNKNOWN and node.op in PROBABILITIES:
        return SCORE
    if unit == UNKNOWN and node.op in ("Mul", "Add", "Sub", "Sum") and coordinates:
        return PIXELS
    return unit


def _merge(into: Gains, more: Gains) -> None:
    for unit, gain in more.items():
        into[unit] = max(gain, into.get(unit, 0.0))
