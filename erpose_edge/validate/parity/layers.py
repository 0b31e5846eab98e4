"""Which tensors of a graph are looked at, under names that every engine shares.

A layer is a convolution with what follows it one to one (bias, activation, quantization), or an
addition of two of them: where int8 goes wrong it goes wrong there. Convolutions are called after
their modules in every export, so that a layer has one name in torch, ONNX and every engine. What a
layer gives is tapped behind its quantization: it is what the next layer reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# Where the features of the network are compared: the layer that gives each.
STEM = "backbone.stem.conv"
FEATURES = {
    "P3": "neck.up_8.join.conv",
    "P4": "neck.down_16.join.conv",
    "P5": "neck.down_32.join.conv",
}
HEADS = ("scores", "keypoints", "visibility", "boxes")
CONVOLUTION, FOLLOWER, SIGMOID, PRODUCT, ADDITION, OTHER = (
    "convolution",
    "follower",  # changes values one by one: an activation, a bias, quantization
    "sigmoid",
    "product",
    "addition",
    "other",
)


@dataclass(frozen=True)
class Operation:
    """One operation of an engine's graph.

    Attributes:
        key: What tells it from all others.
        kind: One of the words of this module.
        inputs: Keys of the operations whose values it computes with; constants are left out.
        name: Of the module, for convolutions.
    """

    key: str
    kind: str
    inputs: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True)
class Layer:
    """One layer to look at.

    Attributes:
        name: The convolution's module, or ``<block>.sum``.
        inputs: Names of the layers right before it; empty for the first one.
    """

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Tap:
    """Where a layer is found in one graph.

    Attributes:
        layer: What is found there.
        chain: Keys of its operations in order; the last one gives what the next layer reads.
    """

    layer: Layer
    chain: tuple[str, ...]


def find_taps(operations: Sequence[Operation]) -> tuple[Tap, ...]:
    """Return the layers of a graph in its order.

    Args:
        operations: Sorted so that inputs come first.
    """
    by_key = {operation.key: operation for operation in operations}
    users: dict[str, list[Operation]] = {key: [] for key in by_key}
    for operation in operations:
        for key in operation.inputs:
            if key in users:
                users[key].append(operation)
    owners: dict[str, str] = {}  # layer by the key of any of its operations
    order: dict[str, int] = {}
    taps: list[Tap] = []
    for operation in operations:
        sums = operation.kind == ADDITION and len(set(operation.inputs)) > 1
        if operation.kind != CONVOLUTION and not sums:
            continue
        before = _layers_before(operation, by_key, owners)
        direct = {owners[key] for key in operation.inputs if key in owners}
        name = operation.name if not sums else _name_of_sum(direct, order)
        if not name or name in order:
            continue
        chain = _chain(operation, users)
        owners.update((key, name) for key in chain)
        order[name] = len(order)
        taps.append(Tap(Layer(name, tuple(sorted(before, key=order.__getitem__))), tuple(chain)))
    return tuple(taps)


def head_layer(kind: str, level: int) -> str:
    """Return the layer that gives an output of the head, ``level`` 0 for the smallest stride."""
    return f"head.{kind}.{level}"


def raw_outputs(strides: Sequence[int], available: Collection[str]) -> dict[str, str]:
    """Return the layer of every output of the contract ``raw`` whose layer is ``available``."""
    found = {}
    for level, stride in enumerate(strides):
        for kind in HEADS:
            if head_layer(kind, level) in available:
                found[f"{kind}_{stride}"] = head_layer(kind, level)
    return found


def _layers_before(
    operation: Operation, by_key: dict[str, Operation], owners: dict[str, str]
) -> set[str]:
    """Return the nearest layers that ``operation`` depends on."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = list(operation.inputs)
    while waiting:
        key = waiting.pop()
        if key in seen or key not in by_key:
            continue
        seen.add(key)
        if key in owners:
            found.add(owners[key])
        else:
            waiting += by_key[key].inputs
    return found


def _name_of_sum(added: set[str], order: dict[str, int]) -> str:
    """Name an addition after the block whose last convolution it adds; "" where there is none."""
    named = [name for name in added if name.count(".") >= 2]
    if not named:
        return ""
    return max(named, key=order.__getitem__).rsplit(".", 2)[0] + ".sum"


def _chain(operation: Operation, users: dict[str, list[Operation]]) -> list[str]:
    """Follow ``operation`` through what only changes its values one by one."""
    chain = [operation.key]
    while True:
        following = users[chain[-1]]
        kinds = {user.kind: user for user in following}
        if len(following) == 1 and FOLLOWER in kinds:
            chain.append(kinds[FOLLOWER].key)
        elif (
            len(following) == 2
            and set(kinds) == {SIGMOID, PRODUCT}
            and set(kinds[PRODUCT].inputs) == {chain[-1], kinds[SIGMOID].key}
        ):  # x * sigmoid(x) is one activation
            chain += [kinds[SIGMOID].key, kinds[PRODUCT].key]
        else:
            return chain
