"""Where int8 begins and ends in a graph: the state of every tensor, found in one pass forward.

A tensor is *fixed* (depends on no input of the graph), *on a grid* (integers, or floats that are
integers times a scale), a *sum* (what an int8 operator adds up before it rounds: float in the
graph, but no engine stores it), or *float*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.exporters.lint.graph import LintGraph, Node
from erpose_edge.exporters.lint.operators import (
    COMPUTE,
    CURVES,
    DEQUANTIZE,
    EPILOGUES,
    JOINS,
    NO_CURVES,
    POOLS,
    QUANTIZE,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}


class State(Enum):
    """What a tensor is."""

    FIXED = "fixed"
    GRID = "grid"
    SUM = "sum"
    FLOAT = "float"


@dataclass(frozen=True, eq=False)
class Grid:
    """Which values integers stand for: (integer - zero_point) * scale.

    Attributes:
        scale: One value, or one for each channel; None where it is not in the file.
        zero_point: As many.
        dtype: ``int8``, ``uint8``, ...
    """

    scale: NDArray[Any] | None
    zero_point: NDArray[Any]
    dtype: str

    def same(self, other: Grid | None) -> bool:
        """Return whether the same integers stand for the same values."""
        if other is None or self.dtype != other.dtype:
            return False
        if self.scale is None or other.scale is None:
            return self is other
        return np.array_equal(self.scale, other.scale) and np.array_equal(
            self.zero_point, other.zero_point
        )

    @property
    def step(self) -> float:
        """Largest value of one step, 0 where it is not known."""
        return float(np.max(self.scale)) if self.scale is not None and self.scale.size else 0.0


@dataclass(frozen=True, eq=False)
class Value:
    """What is known of one tensor.

    Attributes:
        state: See the module.
        grid: Of a tensor on a grid.
        low: Smallest integer that can occur on the grid.
        top: Largest one.
    """

    state: State
    grid: Grid | None = None
    low: int = 0
    top: int = 0


_FLOAT = Value(State.FLOAT)
_SUM = Value(State.SUM)


class Values:
    """States of the tensors of a graph, and which nodes run in int8.

    Attributes:
        graph: Whose.
        engine: Decides what can be fused with a convolution; None is generous.
        of: Value of each tensor.
        int8: Convolutions and matrix products whose data and weights are both on a grid.
    """

    def __init__(self, graph: LintGraph, engine: str | None) -> None:
        self.graph = graph
        self.engine = engine
        self.of: dict[str, Value] = {name: Value(State.FIXED) for name in graph.constants}
        self.int8: set[Node] = set()
        for node in graph.nodes:
            value = self._value(node)
            for name in node.outputs:
                self.of[name] = value

    def get(self, name: str) -> Value:
        """Return what is known of ``name``; inputs of the graph are float."""
        return self.of.get(name, _FLOAT)

    def open_inputs(self, node: Node) -> list[str]:
        """Return the data that ``node`` takes and that is not fixed."""
        return [name for name in node.inputs if name not in self.graph.fixed]

    def grid(self, node: Node) -> Grid:
        """Return the grid of a QuantizeLinear or DequantizeLinear."""
        scale = self.graph.constants.get(node.input(1))
        zero_point = self.graph.constants.get(node.input(2))
        if zero_point is None or zero_point.dtype.kind not in "iu":
            integers = self.graph.constants.get(node.input(0)) if node.op == DEQUANTIZE else None
            dtype = "uint8" if integers is None else str(integers.dtype)
            return Grid(scale, np.zeros((), np.int64), dtype)
        return Grid(scale, zero_point.astype(np.int64), str(zero_point.dtype))

    def _value(self, node: Node) -> Value:
        if node.op == QUANTIZE:
            return self._quantized(node)
        if node.op == DEQUANTIZE:
            return self._dequantized(node)
        if self.graph.fixed.issuperset(node.outputs):
            # Weights may be turned behind their DequantizeLinear; they stay on their grid.
            return self.get(node.input(0)) if node.picks else Value(State.FIXED)
        if node.op == "DynamicQuantizeLinear":
            return Value(State.GRID, Grid(None, np.zeros((), np.int64), "uint8"), 0, 255)
        names = self.open_inputs(node)
        taken = [self.get(name) for name in names]
        if node.picks:
            return self._picked(node, taken)
        if node.op in COMPUTE:
            return self._computed(node, taken)
        if self._integer_clip(node, taken):
            return self._clipped(node, taken[0])
        return self._rest(node, taken)

    def _quantized(self, node: Node) -> Value:
        grid = self.grid(node)
        if node.input(0) in self.graph.fixed:
            return Value(State.FIXED, grid)
        low, top = _LIMITS.get(grid.dtype, (0, 0))
        producer = self.graph.producers.get(node.input(0))
        if producer is not None and producer.op == "Clip" and grid.step > 0:
            high = self.graph.constants.get(producer.input(2))
            if high is not None and high.size == 1 and np.isfinite(high.item()):
                offset = int(grid.zero_point.ravel()[0]) if grid.zero_point.size else 0
                top = min(top, int(np.rint(high.item() / grid.step)) + offset)
        return Value(State.GRID, grid, low, top)

    def _dequantized(self, node: Node) -> Value:
        grid = self.grid(node)
        if node.input(0) in self.graph.fixed:
            return Value(State.FIXED, grid)
        before = self.get(node.input(0))
        if before.state is not State.GRID:
            return Value(State.GRID, grid, *_LIMITS.get(grid.dtype, (0, 0)))
        if not node.input(2) and before.grid is not None:
            grid = Grid(grid.scale, grid.zero_point, before.grid.dtype)
        return Value(State.GRID, grid, before.low, before.top)

    def _picked(self, node: Node, taken: list[Value]) -> Value:
        states = {value.state for value in taken}
        if states == {State.GRID}:
            first = taken[0]
            if all(first.grid is not None and first.grid.same(v.grid) for v in taken):
                low, top = min(v.low for v in taken), max(v.top for v in taken)
                return Value(State.GRID, first.grid, low, top)
            return _SUM  # rounded once more, on to one grid
        if node.op in JOINS:
            return self._rest(node, taken)
        return _SUM if states and states <= {State.GRID, State.SUM} else _FLOAT

    def _computed(self, node: Node, taken: list[Value]) -> Value:
        integers = node.op in ("ConvInteger", "MatMulInteger")
        ready = bool(taken) and all(value.state is State.GRID for value in taken)
        fixed = [self.get(name) for name in node.inputs if name in self.graph.fixed]
        if ready and (integers or all(value.grid is not None for value in fixed)):
            self.int8.add(node)
            return _SUM
        return _FLOAT

    def _integer_clip(self, node: Node, taken: list[Value]) -> bool:
        producer = self.graph.producers.get(node.input(0))
        on_grid = len(taken) == 1 and taken[0].state is State.GRID
        return node.op == "Clip" and on_grid and (producer is None or producer.op != DEQUANTIZE)

    def _clipped(self, node: Node, value: Value) -> Value:
        bounds = [self.graph.constants.get(node.input(position)) for position in (1, 2)]
        low, top = (None if b is None or b.size != 1 else int(b.item()) for b in bounds)
        return Value(
            State.GRID,
            value.grid,
            value.low if low is None else max(low, value.low),
            value.top if top is None else min(top, value.top),
        )

    def _rest(self, node: Node, taken: list[Value]) -> Value:
        fused = (*EPILOGUES, *POOLS, *(() if self.engine in NO_CURVES else (*CURVES, "Mul")))
        quantized = {State.GRID, State.SUM}
        if node.op in fused and taken and all(value.state in quantized for value in taken):
            return _SUM
        # Where one input of an addition is float, the fault is at this input; what follows is not.
        if node.op in JOINS and any(value.state in quantized for value in taken):
            return _SUM
        return _FLOAT

    @cached_property
    def below_learned(self) -> set[Node]:
        """Nodes with learned weights somewhere behind them: the others decode."""
        return self._upstream(node for node in self.graph.macs if self.graph.learned(node))

    @cached_property
    def above_int8(self) -> set[Node]:
        """Nodes that come before an int8 one."""
        return self._upstream(self.int8)

    @cached_property
    def behind_int8(self) -> set[Node]:
        """Nodes that come after an int8 one."""
        found: set[Node] = set()
        for node in self.graph.nodes:
            before = (self.graph.producers.get(name) for name in node.inputs)
            if any(p is not None and (p in found or p in self.int8) for p in before):
                found.add(node)
        return found

    def _upstream(self, starts: Iterable[Node]) -> set[Node]:
        """Return all nodes from which one of ``starts`` can be reached, those left out."""
        wanted = {name for node in starts for name in node.inputs}
        found: set[Node] = set()
        for node in reversed(self.graph.nodes):
            if wanted.intersection(node.outputs):
                found.add(node)
                wanted.update(node.inputs)
        return found

    @cached_property
    def quantizers(self) -> list[Node]:
        """QuantizeLinear on activations."""
        return self._activations(QUANTIZE)

    @cached_property
    def dequantizers(self) -> list[Node]:
        """DequantizeLinear on activations."""
        return self._activations(DEQUANTIZE)

    def _activations(self, op: str) -> list[Node]:
        return [
            node
            for node in self.graph.nodes
            if node.op == op and node.input(0) not in self.graph.fixed
        ]
