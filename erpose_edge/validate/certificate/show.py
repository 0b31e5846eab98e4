"""A certificate in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from erpose_edge.validate.placement import counted, int8_share

if TYPE_CHECKING:
    from collections.abc import Mapping


def lines_of(certificate: Mapping[str, Any]) -> list[str]:
    """Return a certificate for people."""
    verdict, lines = certificate["verdict"], [f"{certificate['target']}, {certificate['engine']}"]
    for name, found in certificate["latency"].items():
        latency = found["turns"]
        total, infer = latency["end_to_end_ms"], latency["infer_ms"]
        lines.append(
            f"{name}: {_accuracy(certificate['accuracy'][name])}, "
            f"infer p50 {infer['p50']:.2f} ms, end to end p50 "
            f"{total['p50']:.2f}, p90 {total['p90']:.2f}, p99 {total['p99']:.2f} ms"
        )
    for name, layers in certificate["placement"].items():
        share = int8_share(layers)
        words = ", ".join(f"{number} {what}" for what, number in counted(layers).items())
        rest = "" if share is None else f"; {share:.1%} of the int8 convolutions in int8"
        lines.append(f"{name} layers: {words}{rest}")
    start_ms = certificate["start_to_first_pose_ms"]
    if start_ms is not None:
        lines.append(f"from start to the first pose: {start_ms:.0f} ms")
    lines += verdict["notes"] + verdict["reasons"]
    return [*lines, f"verdict: {'pass' if verdict['pass'] else 'fail'}"]


def _accuracy(document: Mapping[str, Any]) -> str:
    """Return AP, and where it was compared how much of the reference's AP is left."""
    words, against = f"AP {document['ap']:.3f}", document["against"]
    kept = None if against is None else against["retention"]["ap"]
    if kept is None or against is None:
        return words
    value, low, high = (100 * kept[part] for part in ("value", "low", "high"))
    return f"{words}, {value:.1f} % [{low:.1f}, {high:.1f}] of {against['name']}'s"
