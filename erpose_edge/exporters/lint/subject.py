"""A graph with everything that the rules of the linter ask of it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from erpose_edge.exporters.lint.contract import LintOptions, declared
from erpose_edge.exporters.lint.graph import LintGraph, Node
from erpose_edge.exporters.lint.operators import DEQUANTIZE, QUANTIZE
from erpose_edge.exporters.lint.ranges import Gains, Ranges
from erpose_edge.exporters.lint.report import Summary
from erpose_edge.exporters.lint.values import State, Values

if TYPE_CHECKING:
    import onnx


class Subject:
    """What is linted.

    Attributes:
        options: How to judge.
        graph: Look-ups.
        values: States of its tensors.
        ranges: Their magnitudes.
    """

    def __init__(self, model: onnx.ModelProto, options: LintOptions) -> None:
        self.options = options
        self.graph = LintGraph(model)
        self.values = Values(self.graph, options.engine)
        self.ranges = Ranges(self.graph)

    @property
    def quantized(self) -> bool:
        """Whether anything is quantized at all."""
        return bool(self.values.quantizers or self.values.dequantizers or self.values.int8)

    @cached_property
    def gains(self) -> dict[str, dict[str, Gains]]:
        """By output: how far an error in each tensor behind the head moves it."""
        carried = declared(self.graph.outputs, self.options)
        return {name: self.ranges.gains(name, carried[name]) for name in carried}

    @cached_property
    def between(self) -> set[Node]:
        """Nodes with int8 on both sides, in front of the last learned weights."""
        return self.values.behind_int8 & self.values.above_int8 & self.values.below_learned

    @cached_property
    def islands(self) -> list[list[Node]]:
        """Connected float nodes with int8 convolutions on both sides, in the order of the graph."""
        members = [n for n in self.graph.nodes if n in self.between and self.is_float(n)]
        group: dict[Node, list[Node]] = {}
        for node in members:
            parts = [node]
            for name in node.inputs:
                producer = self.graph.producers.get(name)
                if producer in group and group[producer] is not parts:
                    parts = [*group[producer], *parts] if node in parts else parts + group[producer]
                    group.update(dict.fromkeys(parts, parts))
            group.update(dict.fromkeys(parts, parts))
        unique = {id(parts): parts for parts in group.values()}
        return list(unique.values())

    def is_float(self, node: Node) -> bool:
        """Return whether ``node`` computes in float with data."""
        if node.op in (QUANTIZE, DEQUANTIZE) or not node.inputs or not node.outputs:
            return False
        return self.values.get(node.outputs[0]).state is State.FLOAT

    def elements(self, nodes: list[Node]) -> int:
        """Return how many values ``nodes`` give."""
        return sum(self.graph.size(name) for node in nodes for name in node.outputs[:1])

    def share(self, nodes: list[Node]) -> float:
        """Return the share of all multiply-accumulates that ``nodes`` have, in [0, 1]."""
        total = sum(self.graph.macs.values())
        return sum(self.graph.macs.get(node, 0) for node in nodes) / total if total else 0.0

    def source(self, name: str) -> Node | None:
        """Return what made the values of ``name``, behind Q/DQ and what only picks them."""
        for _ in range(len(self.graph.nodes)):
            node = self.graph.producers.get(name)
            if node is None or not (node.picks or node.op in (QUANTIZE, DEQUANTIZE)):
                return node
            name = next(iter(node.inputs), "")
        return None

    @property
    def summary(self) -> Summary:
        """Numbers of the whole graph."""
        macs = self.graph.macs
        return Summary(
            nodes=len(self.graph.model.graph.node),
            quantize=len(self.values.quantizers),
            dequantize=len(self.values.dequantizers),
            convolutions=len(macs),
            int8_convolutions=len(self.values.int8),
            macs=sum(macs.values()),
            float_macs=sum(count for node, count in macs.items() if node not in self.values.int8),
            islands=len(self.islands),
        )
