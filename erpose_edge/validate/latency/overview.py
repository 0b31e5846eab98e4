"""Scenarios of one artifact together: one document, and lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from erpose_edge.validate.latency.turns import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from erpose_edge.runtime.manifest import Manifest

_PERCENTILES = ("p50", "p90", "p99")


def overview(
    documents: Mapping[str, dict[str, Any]], manifest: Manifest | None = None
) -> dict[str, Any]:
    """Return what `bench` prints as JSON: scenarios, and above them the first one's numbers.

    Args:
        documents: By scenario, as `scenario_document` gives them; at least one.
        manifest: Of the artifact.
    """
    first = next(iter(documents.values()))
    found = first["statistics"]
    document: dict[str, Any] = {
        f"{stage}_ms": {name: found["stages"][stage][name] for name in _PERCENTILES}
        for stage in STAGES
    }
    document.update(
        fps=found["fps"],
        samples=found["samples"],
        coefficient_of_variation=found["steadiness"]["coefficient_of_variation"],
        unstable=any(made["unstable"] for made in documents.values()),
        engine=first["engine"],
        cpu=first["cpu"],
    )
    if manifest is not None:
        for name in ("target", "precision", "contract", "weights_sha256"):
            document[name] = getattr(manifest, name)
        document["input_size"] = list(manifest.input_size)
    return {**document, "scenarios": dict(documents)}


def lines(document: Mapping[str, Any]) -> list[str]:
    """Return what a scenario came to, for people; the warnings are not among it."""
    found, memory = document["statistics"], document["memory"]
    headline, camera, start = found["headline"], found["camera"], found["cold_start"]
    told = [
        f"{headline['what']}: {headline['value']:.2f} {headline['unit']}, {found['fps']:.1f} "
        f"frames/s over {found['samples']} frames of {document['frames']['description']}"
    ]
    if camera is not None:
        told.append(
            f"camera of {document['request']['fps']:g} frames/s: {camera['dropped']} of "
            f"{camera['arrived']} frames dropped ({camera['dropped_part']:.1%})"
        )
    if start is not None:
        told.append(f"load {start['load_ms']:.0f} ms, first pose {start['first_pose_ms']:.0f} ms")
    for what, key in (("memory peak", "peak_mb"), ("GPU memory", "gpu_mb")):
        if memory[key] is not None:
            told.append(f"{what} {memory[key]:.0f} MB")
    if found["frame_mj"] is not None:
        told.append(f"{found['frame_mj']:.1f} mJ a frame")
    return [*told, *document["notes"]]
