"""An explanation of a target in words, as ``erpose-edge targets show`` prints it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from erpose_edge.deploy.registry.explain import END_TO_END, Case, Explanation
from erpose_edge.machine.entries import Module
from erpose_edge.machine.rules import Rule

if TYPE_CHECKING:
    from erpose_edge.deploy.profile import Profile

_WIDTH = 96
_SERVED = {
    "served": "yes",
    "best effort": "not by this version; there is a way out",
    "planned": "not by this version",
}


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """Yield the lines that explain a target to people."""
    profile = explanation.profile
    yield f"{profile.name}: {profile.description}"
    yield ""
    yield f"  engine   {profile.engine}"
    yield f"  served   {_SERVED[explanation.served]}"
    if profile.status != "available" and profile.way_out:
        yield from _wrapped(profile.way_out, "  way out  ")
    size = profile.input_size
    yield f"  input    {f'{size[0]} x {size[1]} pixels' if size else 'that of the weights'}"
    yield from _contract(explanation)
    yield from _budget(profile)
    yield ""
    yield "Precisions, as they are tried; the first that keeps the budget is taken"
    yield from _cases(explanation)
    yield ""
    yield "Rules"
    for rule in explanation.rules:
        yield from _wrapped(_rule(rule), "  - ")
        yield from _wrapped(f"{rule.name}; {rule.source}", "      ")
    for own in profile.rules:
        yield from _wrapped(own.rule, "  - ")
        yield from _wrapped(own.source, "      ")
    yield from _devices(explanation)


def _rule(rule: Rule) -> str:
    parts = [rule.says]
    for advice in (rule.effect.advice, rule.effect.not_served):
        if advice:
            parts.append(f"{advice[0].upper()}{advice[1:]}.")
    return " ".join([*parts, "(unverified)"] if rule.unverified else parts)


def _contract(explanation: Explanation) -> Iterator[str]:
    profile = explanation.profile
    reasons = [rule for rule in explanation.rules if rule.effect.contract == profile.contract]
    why = ""
    if reasons and profile.contract != END_TO_END:
        where = [
            case.software for case in explanation.cases if case.outcome.contract == profile.contract
        ]
        why = f" instead of {END_TO_END}, for {', '.join(dict.fromkeys(where))}: {reasons[0].says}"
    yield from _wrapped(f"{profile.contract}{why}", "  outputs  ")


def _budget(profile: Profile) -> Iterator[str]:
    budget = profile.budget
    wanted = [f"at least {budget.min_retention:.1%} of fp32's AP"]
    if budget.max_p99_ms is not None:
        wanted.append(f"99 % of the images within {budget.max_p99_ms:g} ms")
    if budget.min_speedup_vs_fp32 is not None:
        wanted.append(f"at least {budget.min_speedup_vs_fp32:g} times as fast as fp32")
    yield from _wrapped("; ".join(wanted), "  budget   ")


def _cases(explanation: Explanation) -> Iterator[str]:
    devices: tuple[str, ...] | None = None
    for case in explanation.cases:
        if case.devices and case.devices != devices:
            yield f"  {', '.join(case.devices)}"
        devices = case.devices
        version = f"TensorRT {case.tensorrt or 'not known'}" if case.software else ""
        label = ", ".join(part for part in (case.software, version) if part)
        head = f"    {label}: " if label else "    "
        yield from _wrapped(_said(case), head)


def _said(case: Case) -> str:
    outcome = case.outcome
    if outcome.not_served:
        return f"not served; {'; '.join(outcome.not_served)}"
    parts = [", ".join(outcome.precisions)]
    parts += [f"no {precision}: {why}" for precision, why in outcome.refused]
    if outcome.prefer:
        parts.append(f"{outcome.prefer} unless another is measured faster")
    if outcome.saturates:
        parts.append("int8 sums saturate")
    if outcome.dla is not None:
        parts.append({"yes": "DLA", "no": "no DLA"}.get(outcome.dla, "DLA unconfirmed"))
    return "; ".join(parts)


def _devices(explanation: Explanation) -> Iterator[str]:
    for kind, entries in explanation.entries.items():
        if kind == "jetpacks":
            continue
        yield ""
        yield {"modules": "Modules", "boards": "Boards", "cpus": "Processors"}.get(kind, "Parts")
        for entry in entries:
            said = _module(entry) if isinstance(entry, Module) else entry.description
            yield from _wrapped(said, f"  {entry.name}: ")
    if explanation.unverified:
        yield ""
        yield "Unverified: no source was found for"
        for name, fields in explanation.unverified.items():
            yield from _wrapped(", ".join(fields), f"  {name}: ")
    if explanation.sources:
        yield ""
        yield "Sources of the facts"
        for name, source in explanation.sources.items():
            yield from _wrapped(source, f"  {name}: ")


def _module(module: Module) -> str:
    numbers = ", ".join(module.part_numbers)
    parts = [f"{module.description} ({numbers}), {module.soc}, sm {module.compute_capability}"]
    if module.cuda_cores is not None:
        parts.append(f"{module.cuda_cores} CUDA and {module.tensor_cores or 0} tensor cores")
    parts.append(f"{module.memory_gb:g} GB")
    dla = f"{module.dla_cores} DLA" if module.dla_cores else "no DLA"
    parts.append(f"{dla} at {module.dla_max_mhz:g} MHz" if module.dla_max_mhz else dla)
    for name, flash in (("", module.original), ("Super: ", module.super)):
        if flash is None:
            continue
        facts = []
        if flash.int8_tops is not None:
            facts.append(f"{flash.int8_tops:g} int8 TOPS{' sparse' if module.sparsity else ''}")
        if flash.bandwidth_gbs is not None:
            facts.append(f"{flash.bandwidth_gbs:g} GB/s")
        if flash.power_modes:
            facts.append("modes " + ", ".join(mode.name for mode in flash.power_modes))
        if facts:
            parts.append(name + ", ".join(facts))
    return "; ".join(parts)


def _wrapped(text: str, head: str) -> list[str]:
    # Addresses and paths stay whole, so that they can be copied.
    return textwrap.wrap(
        text,
        width=_WIDTH,
        initial_indent=head,
        subsequent_indent=" " * min(len(head), 8),
        break_long_words=False,
        break_on_hyphens=False,
    )
