"""Put fake-quantization into a network: one graph pass, from which every engine is exported.

Batch norm is folded first. Then a tensor is quantized where an int8 convolution makes or takes
it, and tensors that meet in a Concat, an Add, a pool or an upsampling share one quantizer, so that
no engine has to requantize between two int8 convolutions or fall back to float there.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Container, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from erpose_edge.errors import ConfigError
from erpose_edge.network.head import LevelOutputs
from erpose_edge.network.pose_network import ERPose
from erpose_edge.quantization.fake_quantize import (
    ActivationQuantizer,
    QuantizedConv2d,
    largest_integer,
    quantized_convolutions,
)

if TYPE_CHECKING:
    from erpose_edge.quantization.recipe import Policy

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish)
_NEVER_NEGATIVE = (nn.ReLU, nn.ReLU6)
# These only pick or copy values, so what they give is on the scale of what they take.
_VALUE_KEEPING = (nn.MaxPool2d, nn.Upsample, torch.cat, operator.getitem, "chunk", "detach")
_ADDITIONS = (operator.add, operator.iadd, torch.add)
_KNOWN = (nn.Conv2d, *_ACTIVATIONS, *_VALUE_KEEPING, *_ADDITIONS)


class BothBranches(nn.Module):
    """An `ERPose` that returns both branches from one call, under the names that it has."""

    def __init__(self, network: ERPose) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = network.backbone, network.neck, network.head

    def forward(self, images: Tensor) -> tuple[LevelOutputs | None, LevelOutputs]:
        """Return one-to-one branch (None without one) and dense one for images (B, 3, H, W)."""
        return self.head.forward_both(self.neck(self.backbone(images)))


def fold(network: nn.Module) -> fx.GraphModule:
    """Return a copy of ``network`` in eval mode with batch norm folded into its convolutions."""
    network = copy.deepcopy(network).eval()
    graph = _Tracer().trace(network)
    for node in graph.nodes:
        node.type = None  # annotations are text, which a GraphModule cannot pickle
    module = fx.GraphModule(network, graph)
    _fold_batch_norm(module)
    return module


def prepare(network: ERPose, policy: Policy) -> fx.GraphModule:
    """Return the deployed branch with batch norm folded and quantizers placed, in float mode.

    Modules keep their names; quantizers are called ``quantizer_<what makes the tensor>``.

    Args:
        network: Left as it is.
        policy: Which convolutions stay float.

    Returns:
        A module that is called like ``network`` and returns the same.

    Raises:
        ConfigError: The policy leaves no convolution to quantize, or the network has an operation
            that has no int8 rule.
    """
    chosen = [name for name in _convolution_names(network) if not policy.is_float(name)]
    if not chosen:
        raise ConfigError(
            "policy.keep_float: expected to leave a convolution to int8, got none; keep fewer float"
        )
    return _place(network, policy, set(chosen))


def prepare_both_branches(network: ERPose, policy: Policy) -> fx.GraphModule:
    """Return the network with both branches for fine-tuning; only what is deployed is quantized.

    Tensors in its state have the names that they have in `prepare`'s, besides those of the dense
    branch.
    """
    int8 = set(quantized_convolutions(prepare(network, policy)))
    return _place(BothBranches(network), policy, int8)


class _Value(fx.Proxy):
    """Traced value that can be unpacked where it comes from `Tensor.chunk`."""

    def __len__(self) -> int:
        if self.node.op == "call_method" and self.node.target == "chunk":
            return int(self.node.args[1])  # type: ignore[arg-type]
        raise TypeError(f"{self.node.name} has no length while the network is traced")


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> _Value:
        return _Value(node, self)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        parts: Any = obj  # indexing is recorded, so a proxy does not declare it
        return iter([parts[part] for part in range(len(parts))])


def _convolution_names(network: nn.Module) -> list[str]:
    """Return the convolutions that the deployed branch calls, in the order of the calls."""
    graph = _Tracer().trace(network)
    names = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    return [name for name in names if isinstance(network.get_submodule(name), nn.Conv2d)]


def _place(network: nn.Module, policy: Policy, int8: Container[str]) -> fx.GraphModule:
    module = fold(network)
    for name, conv in list(module.named_modules()):
        if isinstance(conv, nn.Conv2d) and name in int8:
            module.set_submodule(name, QuantizedConv2d.from_float(conv, policy.weights))
    _quantize_activations(module)
    _limit_where_signed(module, policy)
    module.graph.lint()
    module.recompile()
    return module


def _limit_where_signed(module: fx.GraphModule, policy: Policy) -> None:
    """Give convolutions whose input can be negative the bits that the policy has for them."""
    graph = module.graph
    # One scale is for all tensors of a group: one of them that is signed makes the others so.
    signed: set[str] = set()
    positive: dict[fx.Node, bool] = {}
    for node in graph.nodes:
        operation = _operation(module, node) if node.op != "output" else None
        if isinstance(operation, ActivationQuantizer) and not positive[node.args[0]]:
            signed.add(str(node.target))
        if isinstance(operation, _NEVER_NEGATIVE):
            positive[node] = True
        elif _is(operation, (*_VALUE_KEEPING, *_ADDITIONS, ActivationQuantizer)):
            positive[node] = all(positive[source] for source in node.all_input_nodes)
        else:
            positive[node] = False
    for node in graph.nodes:
        conv = _operation(module, node) if node.op == "call_module" else None
        if isinstance(conv, QuantizedConv2d) and not _quantizers_of(module, node).isdisjoint(
            signed
        ):
            bits = min(policy.weights.bits, policy.weights.bits_where_signed)
            conv.limit = largest_integer(bits)


def _quantizers_of(module: fx.GraphModule, node: fx.Node) -> set[str]:
    """Return the names of the quantizers whose values ``node`` reads, copied or not."""
    found = set()
    for source in node.all_input_nodes:
        if isinstance(_operation(module, source), ActivationQuantizer):
            found.add(str(source.target))
        elif _is(_operation(module, source), _VALUE_KEEPING):
            found |= _quantizers_of(module, source)
    return found


def _fold_batch_norm(module: fx.GraphModule) -> None:
    for node in list(module.graph.nodes):
        norm = _operation(module, node)
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        producer = node.args[0]
        conv = _operation(module, producer)
        if not isinstance(conv, nn.Conv2d) or len(producer.users) != 1:
            raise ConfigError(
                f"quantize {node.target}: expected batch norm right behind one convolution, got it "
                f"behind {producer.target}; put them next to each other"
            )
        module.set_submodule(producer.target, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(producer)
        module.graph.erase_node(node)
    module.delete_all_unused_submodules()
    module.recompile()


def _operation(module: fx.GraphModule, node: fx.Node) -> Any:  # noqa: ANN401 - module, function, name
    """Return the module that ``node`` calls, or else the function or the name of the method."""
    return module.get_submodule(str(node.target)) if node.op == "call_module" else node.target


def _is(operation: object, kinds: tuple[Any, ...]) -> bool:
    classes = tuple(kind for kind in kinds if isinstance(kind, type))
    return isinstance(operation, classes) or (
        not isinstance(operation, nn.Module) and operation in kinds
    )


def _quantize_activations(module: fx.GraphModule) -> None:
    """Put one quantizer behind every producer of each group of tensors that int8 code touches."""
    graph = module.graph
    groups = _Groups()
    producers: list[fx.Node] = []
    int8_groups: list[fx.Node] = []  # any member
    for node in graph.nodes:
        operation = _operation(module, node)
        inputs = node.all_input_nodes
        if node.op == "output":
            continue
        if node.op != "placeholder" and not _is(operation, _KNOWN):
            raise ConfigError(
                f"quantize {node.name}: expected an operation with an int8 rule, got "
                f"{operation}; build the network from known operations or teach prepare.py"
            )
        if isinstance(operation, QuantizedConv2d):
            int8_groups += [*inputs, _end_of_block(module, node)]
        if _is(operation, _VALUE_KEEPING):
            groups.join(node, *inputs)
        else:
            if _is(operation, _ADDITIONS):
                groups.join(*inputs)
            producers.append(node)
    touched = {groups.of(node) for node in int8_groups}
    names: dict[fx.Node, str] = {}
    for node in producers:
        group = groups.of(node)
        if group not in touched or _end_of_block(module, node) is not node:
            continue
        if group not in names:
            names[group] = f"quantizer_{node.name}"
            module.add_module(names[group], ActivationQuantizer())
        with graph.inserting_after(node):
            quantized = graph.call_module(names[group], (node,))
        node.replace_all_uses_with(quantized, partial(operator.is_not, quantized))


def _end_of_block(module: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Return the activation behind a convolution, or ``node`` itself where there is none."""
    if isinstance(_operation(module, node), nn.Conv2d) and len(node.users) == 1:
        user = next(iter(node.users))
        if isinstance(_operation(module, user), _ACTIVATIONS):
            return user
    return node


class _Groups:
    """Disjoint sets of tensors that have to be on one scale."""

    def __init__(self) -> None:
        self._parent: dict[fx.Node, fx.Node] = {}

    def of(self, node: fx.Node) -> fx.Node:
        """Return the node that stands for the group of ``node``."""
        while self._parent.get(node, node) is not node:
            node = self._parent[node]
        return node

    def join(self, first: fx.Node, *others: fx.Node) -> None:
        """Make one group of the groups of all."""
        for other in others:
            self._parent[self.of(other)] = self.of(first)
