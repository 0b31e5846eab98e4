"""Look into a network in torch: what every layer gives, under the names that exports keep."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx, nn

from erpose_edge.quantization.fake_quantize import ActivationQuantizer
from erpose_edge.validate.parity.layers import (
    ADDITION,
    CONVOLUTION,
    FOLLOWER,
    OTHER,
    Operation,
    find_taps,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from erpose_edge.runtime.runner import Runner

_FOLLOWERS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, ActivationQuantizer)


class TorchLayers:
    """Runs a network that `fold` or `prepare` made and gives every layer besides the outputs."""

    def __init__(self, network: fx.GraphModule, runner: Runner) -> None:
        """Find the layers.

        Args:
            network: In eval mode.
            runner: Runs the same network; gives the outputs.
        """
        taps = find_taps([_operation(network, node) for node in network.graph.nodes])
        self.layers = tuple(tap.layer for tap in taps)
        self._network = network
        self._runner = runner
        self._ends = {tap.chain[-1]: tap.layer.name for tap in taps}

    def run(
        self, images: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """Return layers and outputs by name; see `LayerRunner`."""
        kept: dict[str, NDArray[np.float32]] = {}
        with torch.inference_mode():
            _Recorder(self._network, self._ends, kept).run(torch.from_numpy(images.copy()))
        return kept, {name: np.array(array) for name, array in self._runner.run(images).items()}


class _Recorder(fx.Interpreter):
    """Runs a graph and keeps what some of its nodes give."""

    def __init__(
        self, module: fx.GraphModule, names: dict[str, str], kept: dict[str, NDArray[np.float32]]
    ) -> None:
        super().__init__(module)
        self._names = names
        self._kept = kept

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 - the signature of torch
        value = super().run_node(n)
        if n.name in self._names:
            self._kept[self._names[n.name]] = value.numpy().copy()
        return value


def _operation(network: fx.GraphModule, node: fx.Node) -> Operation:
    inputs = tuple(source.name for source in node.all_input_nodes)
    target = network.get_submodule(str(node.target)) if node.op == "call_module" else node.target
    kind, name = OTHER, ""
    if isinstance(target, nn.Conv2d):
        kind, name = CONVOLUTION, str(node.target)
    elif isinstance(target, _FOLLOWERS):
        kind = FOLLOWER
    elif target in (operator.add, operator.iadd, torch.add):
        kind = ADDITION
    return Operation(node.name, kind, inputs, name)
