"""Compare two certificates: only what can be compared, and why the rest cannot."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from erpose_edge.metrics.outcomes import Outcomes
from erpose_edge.validate.retention import drawn_ap, retention_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    Document = Mapping[str, Any]

_PERCENTILES = ("p50", "p90", "p99")


def compare(a: Document, b: Document) -> dict[str, Any]:
    """Compare what two genuine certificates say.

    Args:
        a: One certificate.
        b: The other; ratios and differences are those of ``b`` over and less ``a``.

    Returns:
        ``pairs``: of each pair of artifacts their names, ``accuracy`` and ``latency``, null where
        they cannot be compared; ``reasons``: why not, a line each; ``notes``: what to know.
    """
    names = [(name, name) for name in a["artifacts"] if name in b["artifacts"]]
    names = names or [(a["serving"], b["serving"])]
    machine = _machine_reasons(a, b)
    reasons: list[str] = []
    pairs = []
    for one, other in names:
        title = one if one == other else f"{one} with {other}"
        sizes = [doc["artifacts"][n]["input_size"] for doc, n in ((a, one), (b, other))]
        resized = _unlike("input size", *("x".join(map(str, size)) for size in sizes))
        accuracy, why = _accuracy(a, b, one, other)
        time, why_not = _latency(a, b, one, other, machine)
        if resized:
            accuracy, time, why, why_not = None, None, resized, []
        reasons += [f"{title}, accuracy: {line}" for line in why]
        reasons += [f"{title}, latency: {line}" for line in why_not]
        pairs.append({"a": one, "b": other, "accuracy": accuracy, "latency": time})
    return {"pairs": pairs, "reasons": reasons, "notes": _notes(a, b)}


def _machine_reasons(a: Document, b: Document) -> list[str]:
    """Return in what the machines differ as far as latency depends on it."""
    reasons = []
    for title, of in _MACHINE.items():
        reasons += _unlike(title, of(a["machine"]), of(b["machine"]))
    modes = [_power_mode(document) for document in (a, b)]
    return [*reasons, *_unlike("power mode", *modes)]


def _field(*path: str) -> Any:  # noqa: ANN401 - a function of a machine
    def of(machine: Document) -> str:
        found: Any = machine
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return "unknown" if found is None else str(found)

    return of


_MACHINE = {
    "board": _field("board", "model"),
    "architecture": _field("architecture"),
    "processor": _field("cpu", "model"),
    "processor's threads": _field("cpu", "threads"),
    "GPU": _field("gpu", "name"),
}


def _power_mode(document: Document) -> str:
    during = document["settings"]["during"] or {}
    return str(during.get("power_mode") or "none")


def _accuracy(
    a: Document, b: Document, one: str, other: str
) -> tuple[dict[str, Any] | None, list[str]]:
    found = [doc["accuracy"].get(name) for doc, name in ((a, one), (b, other))]
    if found[0] is None or found[1] is None:
        return None, ["one of the two was not measured"]
    reasons = _unlike("data", *(_named(document) for document in (a, b)))
    outcomes = [Outcomes.from_json(part["outcomes"]) for part in found]
    if not reasons and not np.array_equal(outcomes[0].people, outcomes[1].people):
        reasons = ["the images that could be read were others"]
    if reasons:
        return None, reasons
    theirs, ours = (drawn_ap(part) for part in outcomes)
    kept = retention_of(ours, theirs)
    return {
        "a_ap": theirs.value,
        "b_ap": ours.value,
        "difference": None if kept is None else asdict(kept.difference),
        "retention": None
        if kept is None
        else {"value": kept.value, "low": kept.low, "high": kept.high},
    }, []


def _named(document: Document) -> str:
    data = document["data"]
    return f"{data['description']} ({data['sha256'][:12]})"


def _latency(
    a: Document, b: Document, one: str, other: str, machine: list[str]
) -> tuple[dict[str, Any] | None, list[str]]:
    artifacts = [doc["artifacts"][name] for doc, name in ((a, one), (b, other))]
    reasons = [*machine]
    for field in ("engine", "threads"):
        reasons += _unlike(field, *(str(artifact[field]) for artifact in artifacts))
    measured = [doc["latency"].get(name) for doc, name in ((a, one), (b, other))]
    if measured[0] is None or measured[1] is None:
        reasons.append("one of the two was not measured")
    if reasons:
        return None, reasons
    turns = [part["turns"] for part in measured]
    why = _unlike("frame size", *(str(part["frame_size"]) for part in turns))
    result: dict[str, Any] = {"turns": None if why else _ratios(turns), "scenarios": {}}
    scenarios = [part["scenarios"] for part in measured]
    for name in sorted({*scenarios[0], *scenarios[1]}):
        pair = [part.get(name) for part in scenarios]
        lacking = _scenario_reasons(*pair)
        why += [f"{name}: {line}" for line in lacking]
        if not lacking:
            stages = [{"end_to_end_ms": p["statistics"]["stages"]["end_to_end"]} for p in pair]
            result["scenarios"][name] = _ratios(stages)
    return result, why


def _scenario_reasons(a: Document | None, b: Document | None) -> list[str]:
    if a is None or b is None:
        return ["only one of the two was measured in it"]
    reasons = _unlike("frames", a["frames"]["sha256"][:12], b["frames"]["sha256"][:12])
    return [*reasons, *_unlike("rate", str(a["request"]["fps"]), str(b["request"]["fps"]))]


def _ratios(pair: list[Any]) -> dict[str, float]:
    """Return how long ``b`` took for each percentile, as a multiple of ``a``."""
    first, second = (part["end_to_end_ms"] for part in pair)
    return {name: round(second[name] / first[name], 4) for name in _PERCENTILES}


def _unlike(what: str, a: str, b: str) -> list[str]:
    return [] if a == b else [f"{what}: {a}, and {b}"]


def _notes(a: Document, b: Document) -> list[str]:
    """Return what makes a comparison weaker, a line each."""
    notes = ["latencies of two runs: what else the machine did then is in their ratio"]
    if a["code_sha256"] != b["code_sha256"]:
        notes.append(f"measured by other code: {a['version']}, and {b['version']}")
    for title, document in (("a", a), ("b", b)):
        loose = [n for n, found in document["latency"].items() if found["turns"]["unstable"]]
        notes += [f"{title}: the latency of {', '.join(loose)} is unstable"] if loose else []
    return notes
