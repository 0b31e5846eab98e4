"""Whether a target has DLA, and what to expect of it, before a board is at hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from erpose_edge.deploy.registry.load import load_registry
from erpose_edge.deploy.registry.of_target import modules_of, releases
from erpose_edge.errors import TargetError
from erpose_edge.exporters.engine_export import DlaRequest
from erpose_edge.exporters.tensorrt.dla.support import dla_support
from erpose_edge.runtime.tensorrt.dla import read_plan
from erpose_edge.runtime.tensorrt.placement import expected_placement

if TYPE_CHECKING:
    from erpose_edge.deploy.profile import Profile
    from erpose_edge.runtime.artifact import Artifact

_SHOWN = 3


def dla_request(profile: Profile) -> DlaRequest:
    """Return what an export of ``profile`` asks of DLA.

    Raises:
        TargetError: The target has no DLA.
    """
    facts = profile.tensorrt
    if facts is None or not any(facts.dla_cores):
        raise TargetError(
            f"target {profile.name}: expected one with DLA (a target of Orin NX, AGX Orin or "
            "Xavier), got one without; leave --dla out"
        )
    return DlaRequest(facts.max_dla_transitions)


def dla_document(profile: Profile, artifact: Artifact) -> dict[str, Any]:
    """Return what is to be expected of an artifact on DLA.

    Args:
        profile: That it was exported for.
        artifact: Exported with DLA.
    """
    plan = read_plan(artifact)
    expected = expected_placement(plan.layers, plan.max_transitions)
    return {
        "layers": {"dla": expected.count("dla"), "gpu": expected.count("gpu")},
        "dla_percent_of_macs": round(100 * expected.dla_share, 2),
        "transitions": expected.transitions,
        "max_transitions": plan.max_transitions,
        "float16": list(plan.half),
        "gpu": {layer.name: layer.gpu for layer in plan.layers if layer.gpu is not None},
        "weights": dict(plan.weights),
        "support": [asdict(case) for case in dla_cases(profile)],
    }


@dataclass(frozen=True)
class DlaCase:
    """Whether one module reaches DLA with one JetPack.

    Attributes:
        module: Of the registry.
        jetpack: Of the registry.
        tensorrt: Its version of TensorRT.
        available: ``yes``, ``no`` or ``unconfirmed``.
        how: ``implicit`` or ``explicit`` int8; None where there is none.
        reason: One sentence.
    """

    module: str
    jetpack: str
    tensorrt: str
    available: str
    how: str | None
    reason: str


def dla_cases(profile: Profile) -> list[DlaCase]:
    """Return what the registry says of every module of a target with every JetPack, in order."""
    registry = load_registry()
    cases = []
    for module in modules_of(profile, registry):
        for release in releases(profile, module, registry):
            if release.tensorrt:
                said = dla_support(registry, module, release.tensorrt, release.version)
                found = (said.available, said.how, said.reason)
                cases.append(DlaCase(module.name, release.name, release.tensorrt, *found))
    return cases


def dla_lines(document: dict[str, Any]) -> list[str]:
    """Return what `dla_document` says in words."""
    layers, most = document["layers"], document["max_transitions"]
    lines = [
        f"DLA, expected by NVIDIA's list of layers: {layers['dla']} of {sum(layers.values())} "
        f"layers, {document['dla_percent_of_macs']} % of the multiply-accumulates, "
        f"{document['transitions']} changes between GPU and DLA; the board's builder decides"
    ]
    by_reason: dict[str, list[str]] = {}
    for name, reason in document["gpu"].items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        lines.append(f"  GPU: {', '.join(names[:_SHOWN])}{more}: {reason}")
    weights = document["weights"]
    if weights:
        lines.append(
            f"  weights move by at most {weights['largest_steps']:.2f} steps when TensorRT "
            f"quantizes them itself; {weights['exact']:.0f} of {weights['channels']:.0f} channels "
            "stay as they are"
        )
    grouped: dict[tuple[str, str | None, str], list[str]] = {}
    for case in document["support"]:
        key = (case["available"], case["how"], case["reason"])
        grouped.setdefault(key, []).append(f"{case['module']} with TensorRT {case['tensorrt']}")
    for (available, how, reason), cases in grouped.items():
        way = f", {how} int8" if how else ""
        which = ", ".join(dict.fromkeys(cases))
        lines.append(f"  DLA {available}{way}: {which}: {reason}")
    if most is not None and document["transitions"] > most:
        lines.append(
            f"  more than the {most} changes that this target allows: a build on the board would "
            "be refused; leave --dla out"
        )
    return lines
