"""The verdict that a certificate's own numbers come to: a function of the document alone.

So that whoever reads it comes to the same verdict, or to that of another budget.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from erpose_edge.errors import EXIT_ACCURACY, EXIT_LATENCY, EXIT_PASS
from erpose_edge.validate.budget import Budget, Candidate, judge, retention
from erpose_edge.validate.placement import int8_share

if TYPE_CHECKING:
    from collections.abc import Mapping

REFERENCE = "fp32"


def verdict_of(document: Mapping[str, Any], budget: Budget | None = None) -> dict[str, Any]:
    """Judge the artifact that serves; the others are there to be compared with.

    Args:
        document: A certificate, or one without its verdict yet.
        budget: Instead of the one in the document.

    Returns:
        ``pass``, ``exit_code``, ``reasons`` against it, and ``notes``: what was not judged.
    """
    reasons = list(document["self_test"]["reasons"])
    if reasons:
        return {"pass": False, "exit_code": EXIT_ACCURACY, "reasons": reasons, "notes": []}
    budget = Budget(**document["budget"]) if budget is None else budget
    time = bool(document["device"]["fits"])
    reference = reference_ap(document)
    notes = [*_watched(document), *_left_out(document, budget, reference, time)]
    if reference is None:
        budget = replace(budget, min_retention=None)
    # A JSON object has no order; that of the others does not matter.
    serving = document["serving"]
    names = [serving, *sorted(name for name in document["latency"] if name != serving)]
    candidates = [candidate(document, name, reference) for name in names]
    reason = judge(candidates, budget, time=time).rejected[0]
    if reason is None:
        return {"pass": True, "exit_code": EXIT_PASS, "reasons": [], "notes": notes}
    # By itself it may keep the budget, and be rejected for another that is faster.
    code = judge(candidates[:1], budget, time=time).exit_code or EXIT_LATENCY
    way_out = "; `deploy --precision` takes another" if code == EXIT_LATENCY else ""
    reasons = [f"{serving}: {reason}{way_out}"]
    return {"pass": False, "exit_code": code, "reasons": reasons, "notes": notes}


def candidate(document: Mapping[str, Any], name: str, reference: float | None) -> Candidate:
    """Return an artifact of a certificate as a budget judges it."""
    ap = document["accuracy"][name]["ap"]
    turns = document["latency"][name]["turns"]
    fp32 = document["latency"].get(REFERENCE)
    speedup = None
    if fp32 is not None and name != REFERENCE:
        speedup = fp32["turns"]["infer_ms"]["p50"] / turns["infer_ms"]["p50"]
    clip = document["stability"].get(name)
    return Candidate(
        precision=name,
        ap=ap,
        retention=None if reference is None else retention(ap, reference),
        p50_ms=turns["end_to_end_ms"]["p50"],
        p99_ms=turns["end_to_end_ms"]["p99"],
        size_mb=document["artifacts"][name]["size_mb"],
        speedup_vs_fp32=speedup,
        jitter=None if clip is None else _jitter(clip),
        int8_share=int8_share(document["placement"][name]),
    )


def _jitter(clip: Mapping[str, Any]) -> float:
    """Return a clip's jitter; NaN where nobody was found long enough."""
    found = clip["jitter"]["value"]
    return math.nan if found is None or not clip["jitter"]["samples"] else float(found)


def reference_ap(document: Mapping[str, Any]) -> float | None:
    """Return fp32's AP on this data: measured here, or before by who made the bundle."""
    if REFERENCE in document["accuracy"]:
        return float(document["accuracy"][REFERENCE]["ap"])
    known, data = document["reference"], document["data"]
    if known is None or (known["scenes"], known["seed"]) != (data.get("scenes"), data.get("seed")):
        return None
    return float(known["ap"])


def _watched(document: Mapping[str, Any]) -> list[str]:
    """Return what makes the numbers worth less, and what is missing, a line each."""
    settings, telemetry = document["settings"], document["telemetry"]
    changes = [] if settings["asked"] else settings["changes"]
    told = [f"changed while measuring: {change}" for change in changes]
    return [*told, *telemetry["throttled"], *telemetry["notes"]]


def _left_out(
    document: Mapping[str, Any], budget: Budget, reference: float | None, time: bool
) -> list[str]:
    """Say what of the budget cannot be judged here, and why."""
    notes, latency, serving = [], document["latency"], document["serving"]
    if reference is None and budget.min_retention is not None:
        notes.append(
            "retention was not judged: the bundle has neither fp32 nor its AP on these scenes; "
            "leave --scenes out, or put fp32 into the bundle"
        )
    if REFERENCE not in latency and budget.min_speedup_vs_fp32 is not None:
        notes.append("speed against fp32 was not judged: fp32 is not in the bundle")
    if budget.max_jitter is not None and serving not in document["stability"]:
        notes.append("jitter was not judged: no clip was measured; add --clip-frames 120")
    share = int8_share(document["placement"][serving])
    if budget.min_int8_share is not None and share is None:
        notes.append(
            "int8 share was not judged: no convolution is int8, or the engine does not tell"
        )
    if not time:
        notes.append(f"times were not judged: this is not {document['device']['description']}")
    unstable = [name for name, found in sorted(latency.items()) if found["turns"]["unstable"]]
    if unstable:
        notes.append(f"unstable: the latency of {', '.join(unstable)} varied by more than 2.5 %")
    return notes
