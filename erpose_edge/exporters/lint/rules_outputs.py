"""Rules of the linter on what stands between the head and the outputs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from erpose_edge.exporters.lint.contract import declared
from erpose_edge.exporters.lint.graph import Node
from erpose_edge.exporters.lint.operators import DEQUANTIZE, QUANTIZE
from erpose_edge.exporters.lint.ranges import COORDINATE, PIXELS, SCORE
from erpose_edge.exporters.lint.report import ERROR, NOTE, WARNING, Finding
from erpose_edge.exporters.lint.subject import Subject

_UNITS = {PIXELS: "input px", SCORE: "of a probability"}


def quantized_decoding(subject: Subject) -> Iterator[Finding]:
    """Find Q/DQ on the arithmetic between the head and an output."""
    for output, gains in subject.gains.items():
        found = [node for node in _decoding_quantizers(subject) if node.input(0) in gains]
        made = {node: subject.source(node.input(0)) for node in found}
        inside = [node for node in found if _arithmetic(subject, made[node])]
        if not inside:
            continue
        pixels = {node: gains[node.input(0)].get(PIXELS, 0.0) * _step(subject, node)
                  for node in inside}  # fmt: skip
        worst = max(inside, key=lambda node: pixels[node])
        first = made[worst]
        coordinates = any(value > 0 for value in pixels.values())
        yield Finding(
            "quantized-decoding",
            ERROR if coordinates else WARNING,
            worst.label if first is None else first.label,
            worst.op if first is None else first.op,
            f"{len(inside)} tensors between the head and output {output} are rounded to 8 bits",
            f"{len(inside)} roundings"
            + (f", the worst in steps of {pixels[worst]:.3g} input px" if coordinates else ""),
            "keep everything behind the head's last convolutions float",
            tuple(
                dict.fromkeys(
                    label for node in inside for label in (_label(made[node]), node.label)
                )
            ),
            len(inside),
        )


def coarse_steps(subject: Subject) -> Iterator[Finding]:
    """Find int8 steps that are larger than the tolerance of what an output carries."""
    carried = declared(subject.graph.outputs, subject.options)
    quantizers = _decoding_quantizers(subject)
    for output, gains in subject.gains.items():
        for unit in (PIXELS, SCORE):
            most = subject.options.tolerance(carried[output], unit)
            steps = {
                node: _step(subject, node) * gains.get(node.input(0), {}).get(unit, 0.0)
                for node in quantizers
            }
            # A probability of 8 bits has steps of 1/255: a hair of rounding is no fault.
            coarse = [node for node, step in steps.items() if step > most * 1.001]
            if not coarse:
                continue
            worst = max(coarse, key=lambda node: steps[node])
            source = subject.source(worst.input(0))
            yield Finding(
                "coarse-step",
                ERROR if unit == PIXELS else WARNING,
                worst.label if source is None else source.label,
                worst.op if source is None else source.op,
                f"one step is {steps[worst]:.3g} {_UNITS[unit]} in output {output}, "
                f"tolerance {most:.3g}",
                f"an error of up to {steps[worst] / 2:.3g} {_UNITS[unit]}"
                + (f"; {len(coarse)} tensors are above the tolerance" if len(coarse) > 1 else ""),
                "keep it float, or 16 bits" if unit == PIXELS else "keep it float",
                tuple(dict.fromkeys((_label(source), *(node.label for node in coarse)))),
                steps[worst] / most,
            )


def mixed_outputs(subject: Subject) -> Iterator[Finding]:
    """Find outputs in which probabilities and coordinates share one tensor."""
    for output in subject.graph.outputs:
        joints, leaves, grids = _parts(subject, output)
        ranges = subject.ranges
        scores = [name for name in leaves if name in ranges.probabilities]
        largest = max((ranges.magnitudes.get(n, 0.0) for n in leaves), default=0.0)
        if not scores or largest <= COORDINATE or not joints:
            continue
        step = max((_step(subject, node) for node in grids), default=0.0)
        if step:
            severity, cost = (
                ERROR,
                (
                    f"one scale with steps of {step:.3g}: "
                    + ("every score is 0" if step > 2 else f"scores below {step / 2:.2g} become 0")
                ),
            )
        else:
            severity = WARNING if subject.quantized else NOTE
            cost = (
                f"in int8, steps of {largest / 255:.3g} for scores between 0 and 1 and pixels alike"
            )
        yield Finding(
            "mixed-output", severity, output, "output",
            f"{joints[0].op} {joints[0].label} joins probabilities with values up to "
            f"about {largest:,.0f}",
            cost, "give scores and coordinates outputs of their own",
            (output, *(node.label for node in joints)), step or math.log(largest),
        )  # fmt: skip


def no_quantization(subject: Subject) -> Iterator[Finding]:
    """Say that nothing is quantized."""
    if not subject.quantized:
        macs = sum(subject.graph.macs.values())
        name = subject.graph.model.graph.name or "graph"
        yield Finding(
            "no-quantization", NOTE, name, "graph", "no quantization: 0 Q/DQ",
            f"all of {macs / 1e6:.4g} M MACs in float",
            "quantize it, if it is meant for int8", (name,),
        )  # fmt: skip


def _decoding_quantizers(subject: Subject) -> list[Node]:
    """Return the QuantizeLinear behind the last convolutions."""
    return [node for node in subject.values.quantizers if node not in subject.values.below_learned]


def _arithmetic(subject: Subject, source: Node | None) -> bool:
    """Return whether ``source`` computes behind the head, and is not of the head itself."""
    if source is None or subject.graph.learned(source):
        return False
    return source not in subject.values.below_learned


def _parts(subject: Subject, output: str) -> tuple[list[Node], list[str], list[Node]]:
    """Return the Concats that make ``output``, what they join, and the Q on the way."""
    joints, leaves, grids = [], [], []
    waiting, seen = [output], set()
    while waiting:
        name = waiting.pop()
        node = subject.graph.producers.get(name)
        if name in seen:
            continue
        seen.add(name)
        if node is None or not (node.picks or node.op in (QUANTIZE, DEQUANTIZE)):
            leaves.append(name)
            continue
        if node.op == "Concat":
            joints.append(node)
        if node.op == QUANTIZE and not joints:
            grids.append(node)
        waiting += node.inputs
    return joints, leaves, grids


def _step(subject: Subject, node: Node) -> float:
    step = subject.values.grid(node).step
    return step if math.isfinite(step) else 0.0


def _label(node: Node | None) -> str:
    return "the graph's input" if node is None else node.label
