"""One fake-quantized network under any choice of its int8 convolutions.

Choosing convolutions here gives, to the bit, the network of a policy that keeps all others float:
`prepare` quantizes a tensor where an int8 convolution takes or makes it, and so do the switches
here. A run keeps every activation, so that another choice only computes what its switches change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from erpose_edge.network.head import LevelOutputs
from erpose_edge.quantization.fake_quantize import (
    ActivationQuantizer,
    QuantizedConv2d,
    activation_quantizers,
    quantized_convolutions,
)


class Variants:
    """Switches the convolutions of a calibrated network between float and int8.

    Args:
        network: As `prepare` returned it, calibrated; only its modes are changed.

    Attributes:
        network: The network.
        layers: Its int8 convolutions, in the order of their calls.
        touched: For each layer the quantizers that its policy needs: those of the tensors that it
            reads and of the one that it makes. Several layers can need the same one.
    """

    def __init__(self, network: fx.GraphModule) -> None:
        self.network = network.eval()
        int8 = quantized_convolutions(network)
        calls = [str(node.target) for node in network.graph.nodes if node.op == "call_module"]
        self.layers = tuple(dict.fromkeys(name for name in calls if name in int8))
        self._switches: dict[str, ActivationQuantizer | QuantizedConv2d] = {
            **int8,
            **activation_quantizers(network),
        }
        found: dict[str, set[str]] = {name: set() for name in self.layers}
        for node in network.graph.nodes:
            if node.op == "call_module" and node.target in found:
                ends = (*_nearest(self, node.all_input_nodes, up=True),
                        *_nearest(self, node.users, up=False))  # fmt: skip
                found[str(node.target)].update(str(end.target) for end in ends)
        self.touched = {name: frozenset(quantizers) for name, quantizers in found.items()}

    def active(self, int8: Collection[str]) -> frozenset[str]:
        """Return the modules that quantize when the layers ``int8`` are int8."""
        return frozenset(int8).union(*(self.touched[layer] for layer in int8))

    def choose(self, int8: Collection[str]) -> None:
        """Make the layers ``int8`` int8 and all others float, until the next call."""
        active = self.active(int8)
        for name, module in self._switches.items():
            module.mode = "fake" if name in active else "float"

    def is_switch(self, node: fx.Node) -> bool:
        """Return whether ``node`` calls a convolution or a quantizer that can be switched."""
        return node.op == "call_module" and node.target in self._switches


class KeptActivations:
    """Every activation of one run, to compute other choices from where they begin to differ.

    Args:
        variants: Of the network; its choice changes with every call.
        images: RGB (B, 3, H, W) in [0, 1].
        int8: The layers that are int8 in the run whose activations are kept.

    Attributes:
        outputs: Of that run.
    """

    def __init__(self, variants: Variants, images: Tensor, int8: Collection[str]) -> None:
        self._variants = variants
        self._active = variants.active(int8)
        self._nodes = list(variants.network.graph.nodes)
        self._interpreter = fx.Interpreter(variants.network, garbage_collect_values=False)
        self._kept: dict[fx.Node, Any] = {}
        placeholder = self._nodes[0]
        self._kept[placeholder] = images
        variants.choose(int8)
        self.outputs: LevelOutputs = self._compute(self._nodes[1:], self._kept)

    def under(self, int8: Collection[str]) -> LevelOutputs:
        """Return the outputs with the layers ``int8`` int8, (B, C, h, w) for kinds and levels."""
        changed = self._active ^ self._variants.active(int8)
        stale: set[fx.Node] = set()
        for node in self._nodes:
            switched = self._variants.is_switch(node) and str(node.target) in changed
            if switched or any(source in stale for source in node.all_input_nodes):
                stale.add(node)
        if not stale:
            return self.outputs
        self._variants.choose(int8)
        return self._compute([node for node in self._nodes if node in stale], dict(self._kept))

    def _compute(self, nodes: Iterable[fx.Node], values: dict[fx.Node, Any]) -> LevelOutputs:
        """Compute ``nodes``, the last of which is the output, into ``values``."""
        self._interpreter.env = values
        with torch.inference_mode():
            for node in nodes:
                values[node] = self._interpreter.run_node(node)
        result: LevelOutputs = values[self._nodes[-1]]
        return result


def next_convolutions(network: fx.GraphModule) -> dict[str, frozenset[str]]:
    """Return for every convolution those that read its result with no other one between."""

    def is_convolution(node: fx.Node) -> bool:
        return node.op == "call_module" and isinstance(
            network.get_submodule(str(node.target)), nn.Conv2d
        )

    found: dict[str, frozenset[str]] = {}
    for node in network.graph.nodes:
        if is_convolution(node):
            ends = _walk(node.users, is_convolution, up=False)
            found[str(node.target)] = frozenset(str(end.target) for end in ends)
    return found


def _nearest(variants: Variants, start: Iterable[fx.Node], *, up: bool) -> list[fx.Node]:
    """Return the quantizers that ``start`` leads to with no switch and no sum between."""
    ends = _walk(start, variants.is_switch, up=up)
    return [end for end in ends if end.op == "call_module" and _is_quantizer(variants, end)]


def _is_quantizer(variants: Variants, node: fx.Node) -> bool:
    module = variants.network.get_submodule(str(node.target))
    return isinstance(module, ActivationQuantizer)


def _walk(start: Iterable[fx.Node], is_end: Any, *, up: bool) -> list[fx.Node]:  # noqa: ANN401
    """Return the first nodes that are ends on every way from ``start``, up or down the graph."""
    ends: list[fx.Node] = []
    pending, seen = list(start), set()
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        if is_end(node):
            ends.append(node)
        else:
            pending += node.all_input_nodes if up else list(node.users)
    return ends
