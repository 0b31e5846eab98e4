"""The verdict on a bundle's serving artifact, from what was measured on this device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import EXIT_LATENCY, EXIT_PASS
from erpose_edge.validate.budget import Budget, Candidate, judge, retention

if TYPE_CHECKING:
    from erpose_edge.data.generated.people import GeneratedPeople
    from erpose_edge.on_device.opened import OpenedBundle
    from erpose_edge.on_device.watched import Watched
    from erpose_edge.validate.accuracy import Accuracy
    from erpose_edge.validate.latency import Latency

_REFERENCE = "fp32"


@dataclass(frozen=True)
class Measured:
    """What was measured of every artifact, by name, and what was sampled meanwhile."""

    accuracy: dict[str, Accuracy]
    latency: dict[str, Latency]
    watched: Watched


def verdict_of(
    opened: OpenedBundle, measured: Measured, scenes: GeneratedPeople, *, is_device: bool
) -> dict[str, Any]:
    """Judge the artifact that serves; the others are there to be compared with.

    Args:
        opened: The bundle, with its budget.
        measured: Of every artifact in it.
        scenes: That accuracy was measured on.
        is_device: Whether times mean anything here.

    Returns:
        ``pass``, ``exit_code``, ``reasons`` against it, and ``notes``: what was not judged.
    """
    budget = Budget(**opened.profile["budget"])
    reference = _reference_ap(opened, measured, scenes)
    notes = [*measured.watched.notes, *_left_out(opened, measured, budget, reference, is_device)]
    if reference is None:
        budget = Budget(None, budget.max_p99_ms, budget.min_speedup_vs_fp32)
    candidates = [_candidate(name, opened, measured, reference) for name in measured.latency]
    reason = judge(candidates, budget, time=is_device).rejected[0]
    if reason is None:
        return {"pass": True, "exit_code": EXIT_PASS, "reasons": [], "notes": notes}
    # By itself it may keep the budget, and be rejected for another that is faster.
    code = judge(candidates[:1], budget, time=is_device).exit_code or EXIT_LATENCY
    way_out = "; `deploy --precision` takes another" if code == EXIT_LATENCY else ""
    reasons = [f"{opened.serving}: {reason}{way_out}"]
    return {"pass": False, "exit_code": code, "reasons": reasons, "notes": notes}


def _left_out(
    opened: OpenedBundle,
    measured: Measured,
    budget: Budget,
    reference: float | None,
    is_device: bool,
) -> list[str]:
    """Say what of the budget cannot be judged here, and why."""
    notes = []
    if reference is None and budget.min_retention is not None:
        notes.append(
            "retention was not judged: the bundle has neither fp32 nor its AP on these scenes; "
            "leave --scenes out, or put fp32 into the bundle"
        )
    if _REFERENCE not in measured.latency and budget.min_speedup_vs_fp32 is not None:
        notes.append("speed against fp32 was not judged: fp32 is not in the bundle")
    if not is_device:
        notes.append(f"times were not judged: this is not {opened.profile['description']}")
    unstable = [name for name, latency in measured.latency.items() if latency.unstable]
    if unstable:
        notes.append(f"unstable: the latency of {', '.join(unstable)} varied by more than 2.5 %")
    return notes


def _reference_ap(
    opened: OpenedBundle, measured: Measured, scenes: GeneratedPeople
) -> float | None:
    """Return fp32's AP on these scenes: measured here, or before by who made the bundle."""
    if _REFERENCE in measured.accuracy:
        return measured.accuracy[_REFERENCE].metrics.ap
    known = opened.profile.get("reference")
    if known is None or (known["scenes"], known["seed"]) != (scenes.count, scenes.seed):
        return None
    return float(known["ap"])


def _candidate(
    name: str, opened: OpenedBundle, measured: Measured, reference: float | None
) -> Candidate:
    time, ap = measured.latency[name], measured.accuracy[name].metrics.ap
    fp32 = measured.latency.get(_REFERENCE)
    return Candidate(
        precision=name,
        ap=ap,
        retention=None if reference is None else retention(ap, reference),
        p50_ms=time.end_to_end_ms.p50,
        p99_ms=time.end_to_end_ms.p99,
        size_mb=round(opened.artifacts[name].size_bytes / 1e6, 3),
        speedup_vs_fp32=fp32.infer_ms.p50 / time.infer_ms.p50
        if fp32 is not None and name != _REFERENCE
        else None,
    )
