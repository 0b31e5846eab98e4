"""Rules of the linter on where Q/DQ stand: what computes in float, and what is rounded twice."""

from __future__ import annotations

from collections.abc import Iterator

from erpose_edge.exporters.lint.graph import Node
from erpose_edge.exporters.lint.operators import (
    ACTIVATIONS,
    CURVES,
    DEQUANTIZE,
    JOINS,
    NO_CURVES,
    QUANTIZE,
)
from erpose_edge.exporters.lint.report import ERROR, NOTE, WARNING, Finding
from erpose_edge.exporters.lint.subject import Subject
from erpose_edge.exporters.lint.values import State


def float_islands(subject: Subject) -> Iterator[Finding]:
    """Find float nodes between int8 convolutions."""
    policy = subject.options.policy
    for island in subject.islands:
        heavy = [node for node in island if node in subject.graph.macs]
        first = max(heavy, key=lambda node: subject.graph.macs[node], default=island[0])
        share = subject.share(heavy)
        chosen = bool(heavy) and policy is not None and all(policy.is_float(n.label) for n in heavy)
        yield Finding(
            "float-island",
            NOTE if chosen else ERROR,
            first.label,
            first.op,
            f"{_count(island)} in float between int8 convolutions: {_reason(subject, first)}",
            f"{share:.1%} of all MACs in float, and a conversion of "
            f"{subject.elements(island):,} values on the way in and out",
            "the policy keeps it float: nothing to do if it pays for its accuracy"
            if chosen
            else _mend_of_island(subject, first),
            tuple(node.label for node in island),
            share + 1e-12 * subject.elements(island),
        )


def _reason(subject: Subject, node: Node) -> str:
    if node not in subject.graph.macs:
        if node.op in (*CURVES, "Mul") and subject.options.engine in NO_CURVES:
            return f"{subject.options.engine} has no int8 kernel that ends in {node.op}"
        return f"{node.op} has no int8 form here"
    for name in subject.values.open_inputs(node):
        if subject.values.get(name).state is not State.GRID:
            producer = subject.graph.producers.get(name)
            return f"its input from {_label(producer)} has no Q/DQ"
    return "its weights are not quantized"


def _mend_of_island(subject: Subject, node: Node) -> str:
    if node in subject.graph.macs:
        return "put Q/DQ on its inputs and weights, or name it in the policy's keep_float"
    if node.op in (*CURVES, "Mul"):
        return "train with relu (network.activation), which every engine fuses"
    return "move it behind the last convolution, or use an operator with an int8 form"


def unquantized_inputs(subject: Subject) -> Iterator[Finding]:
    """Find Add and Concat with an int8 input and one that is not: a residual without Q/DQ."""
    for node in subject.graph.nodes:
        if node.op not in JOINS or node not in subject.values.above_int8:
            continue
        names = list(dict.fromkeys(subject.values.open_inputs(node)))
        states = {name: subject.values.get(name).state for name in names}
        bare = [name for name in names if states[name] is not State.GRID]
        if len(names) < 2 or set(states.values()) <= {State.FLOAT, State.FIXED}:
            continue
        if len(bare) == 1 and node.op != "Concat" and _only_for(subject, bare[0], node):
            continue  # added to the sum of a convolution before that is rounded
        for name in bare[1:] if len(bare) == len(names) else bare:
            producer = subject.graph.producers.get(name)
            residual = "residual" if node.op != "Concat" else "input"
            yield Finding(
                "unquantized-input",
                ERROR,
                node.label,
                node.op,
                f"the {residual} from {_label(producer)} has no Q/DQ, "
                f"{len(names) - len(bare)} of {len(names)} inputs do",
                f"{subject.graph.size(name):,} values kept and joined in float32, four bytes each; "
                "not fused with the convolution",
                f"put Q/DQ on it, with the scale of the other inputs of {node.label}",
                (node.label, _label(producer)),
                subject.graph.size(name),
            )


def _only_for(subject: Subject, name: str, node: Node) -> bool:
    """Return whether ``name`` is the sum of an int8 convolution that ``node`` alone reads."""
    engine = subject.options.engine
    state = subject.values.get(name).state
    return (
        engine not in NO_CURVES and state is State.SUM and subject.graph.consumers[name] == [node]
    )


def split_activations(subject: Subject) -> Iterator[Finding]:
    """Find Q/DQ between a convolution and its activation."""
    for node in subject.values.quantizers:
        producer = subject.graph.producers.get(node.input(0))
        if producer is None or not subject.graph.learned(producer):
            continue
        behind = _behind_pair(subject, node)
        activation = next((n for n in behind if n.op in ACTIVATIONS), None)
        if activation is None or activation not in subject.values.below_learned:
            continue
        size = subject.graph.size(node.input(0))
        yield Finding(
            "split-activation",
            WARNING,
            activation.label,
            activation.op,
            f"Q/DQ between {producer.label} and its activation",
            f"one more rounding of {size:,} values, and the two are not fused",
            "put the Q/DQ behind the activation only",
            (producer.label, node.label, activation.label),
            size,
        )


def _behind_pair(subject: Subject, quantize: Node) -> list[Node]:
    consumers = subject.graph.consumers
    pairs = [n for name in quantize.outputs for n in consumers[name] if n.op == DEQUANTIZE]
    return [node for pair in pairs for name in pair.outputs for node in consumers[name]]


def requantizations(subject: Subject) -> Iterator[Finding]:
    """Find quantized values that are quantized again, on another grid or on the same."""
    for node in subject.values.quantizers:
        before = subject.values.get(node.input(0))
        grid = subject.values.grid(node)
        if before.state is not State.GRID or before.grid is None or _decodes(subject, node):
            continue
        size = subject.graph.size(node.input(0))
        source = _label(subject.source(node.input(0)))
        if before.grid.same(grid):
            yield Finding(
                "dead-pair", NOTE, node.label, node.op,
                f"values of {source} are on this very grid already",
                f"nothing where the engine cancels it, else a conversion of {size:,} values to "
                "float and back",
                "drop this Q and the DQ in front of it", (node.label,), size,
            )  # fmt: skip
            continue
        ratio = _ratio(grid.step, before.grid.step)
        yield Finding(
            "requantization", WARNING, node.label, node.op,
            f"values of {source} change from steps of {before.grid.step:.3g} to {grid.step:.3g} "
            f"({ratio:.3g} x, {before.grid.dtype} to {grid.dtype})",
            f"{size:,} values rounded twice",
            "use one scale on both sides of what only picks values", (node.label,), ratio,
        )  # fmt: skip


def dead_pairs(subject: Subject) -> Iterator[Finding]:
    """Find tensors that are quantized though nothing at either end is int8."""
    for node in subject.values.quantizers:
        made = subject.values.get(node.input(0)).state
        if made is not State.FLOAT or _decodes(subject, node) or _taken(subject, node):
            continue
        size = subject.graph.size(node.input(0))
        yield Finding(
            "dead-pair", WARNING, node.label, node.op,
            f"the values of {_label(subject.source(node.input(0)))} are rounded, "
            "and no int8 operator makes or takes them",
            f"a rounding and two conversions of {size:,} values for nothing",
            "drop this Q and its DQ, or quantize the weights behind it", (node.label,), size,
        )  # fmt: skip


def _taken(subject: Subject, quantize: Node) -> bool:
    """Return whether an int8 operator reads what ``quantize`` gives."""
    waiting, seen = list(quantize.outputs), set[str]()
    while waiting:
        name = waiting.pop()
        for node in subject.graph.consumers[name]:
            if not (node.picks or node.op in (QUANTIZE, DEQUANTIZE)):
                if node in subject.values.int8 or not subject.is_float(node):
                    return True
            elif not seen.issuperset(node.outputs):
                seen.update(node.outputs)
                waiting += node.outputs
    return False


def batch_norm(subject: Subject) -> Iterator[Finding]:
    """Find batch normalization that was not folded into a convolution."""
    found = [node for node in subject.graph.nodes if node.op == "BatchNormalization"]
    for node in found:
        source = subject.source(node.input(0))
        size = subject.graph.size(next(iter(node.outputs), ""))
        yield Finding(
            "unfolded-batch-norm",
            ERROR if subject.quantized else NOTE,
            node.label,
            node.op,
            f"batch normalization behind {_label(source)}, one of {len(found)}",
            f"a float multiply-add of {size:,} values, and weights whose scales were chosen "
            "without it",
            "fold it into the convolution before the ranges are chosen",
            (node.label, _label(source)),
            size,
        )


def against_policy(subject: Subject) -> Iterator[Finding]:
    """Find convolutions that are int8 or float against the policy."""
    policy = subject.options.policy
    if policy is None or not subject.quantized:
        return
    for node in subject.graph.macs:
        if not subject.graph.learned(node):
            continue
        wanted, got = not policy.is_float(node.label), node in subject.values.int8
        if wanted == got:
            continue
        yield Finding(
            "against-policy",
            ERROR if wanted else WARNING,
            node.label,
            node.op,
            "the policy says int8 and it is float: " + _reason(subject, node)
            if wanted
            else "the policy keeps it float and it is int8",
            f"{subject.share([node]):.1%} of all MACs "
            + ("in float" if wanted else "less exact than was asked for"),
            "export again with this policy, or pass the policy that it was exported with",
            (node.label,),
            subject.share([node]),
        )


def transposes(subject: Subject) -> Iterator[Finding]:
    """Find changes of layout between int8 convolutions."""
    for node in subject.graph.nodes:
        if node.op != "Transpose" or node not in subject.between:
            continue
        size = subject.graph.size(next(iter(node.outputs), ""))
        yield Finding(
            "transpose", NOTE, node.label, node.op,
            f"order of dimensions {list(node.attribute('perm', []))} between int8 convolutions",
            f"a copy of {size:,} values", "keep one layout between convolutions",
            (node.label,), size,
        )  # fmt: skip


def dynamic_ranges(subject: Subject) -> Iterator[Finding]:
    """Find ranges that are computed at run time."""
    for node in subject.graph.nodes:
        if node.op == "DynamicQuantizeLinear":
            size = subject.graph.size(node.input(0))
            yield Finding(
                "dynamic-range", WARNING, node.label, node.op,
                "the range of its input is looked up at run time",
                f"a pass over {size:,} values in front of each convolution; TensorRT and OpenVINO "
                "do not run it in int8",
                "calibrate, and write the scale into the graph", (node.label,), size,
            )  # fmt: skip


def _decodes(subject: Subject, node: Node) -> bool:
    """Return whether ``node`` stands behind the last convolution with learned weights."""
    return node not in subject.values.below_learned


def _ratio(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return high / low if low > 0 else float("inf")


def _label(node: Node | None) -> str:
    return "the graph's input" if node is None else node.label


def _count(nodes: list[Node]) -> str:
    kinds = sorted({node.op for node in nodes if node.op not in (QUANTIZE, DEQUANTIZE)})
    return f"{len(nodes)} node{'s' * (len(nodes) > 1)} ({', '.join(kinds)})"
