"""The certificate of a bundle, from what was measured on this device."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from erpose_edge import __version__
from erpose_edge.on_device.checks import miss_line, self_test_document
from erpose_edge.validate.certificate.gate import budget_of
from erpose_edge.validate.certificate.judged import verdict_of
from erpose_edge.validate.certificate.parts import artifact_facts, code_sha256
from erpose_edge.validate.certificate.seal import sealed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from erpose_edge.machine.facts import Machine
    from erpose_edge.on_device.opened import OpenedBundle
    from erpose_edge.on_device.watched import Watched
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.runtime.selftest import Miss

_NOTHING_WATCHED: dict[str, Any] = {"throttled": [], "notes": []}
_NO_SETTINGS: dict[str, Any] = {
    "before": None,
    "during": None,
    "after": None,
    "changes": [],
    "asked": False,
}


@dataclass
class Measured:
    """The measured parts of a certificate, by name of the artifact; empty after a failed self-test.

    Attributes:
        accuracy: From `accuracy_document`.
        latency: ``turns`` from `turns_document`, ``scenarios`` from `scenario_document`.
        placement: Layers as `PlacedLayer.to_json` gives them.
        stability: From `stability_document`; only where a clip was measured.
        watched: What the device did meanwhile.
        start_ms: From starting the program to the first pose.
    """

    accuracy: dict[str, dict[str, Any]] = field(default_factory=dict)
    latency: dict[str, dict[str, Any]] = field(default_factory=dict)
    placement: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    stability: dict[str, dict[str, Any]] = field(default_factory=dict)
    watched: Watched | None = None
    start_ms: float | None = None


def certificate_of(
    opened: OpenedBundle,
    estimators: Mapping[str, PoseEstimator],
    machine: Machine,
    misses: list[Miss],
    measured: Measured,
    data: Mapping[str, Any],
    limits: Mapping[str, float | None],
) -> dict[str, Any]:
    """Return the sealed certificate, with its verdict.

    Args:
        opened: The bundle, with its budget.
        estimators: Of every artifact in it.
        machine: This one.
        misses: Poses that the self-test did not find.
        measured: Of every artifact; empty where the self-test missed.
        data: What accuracy was measured on.
        limits: Of the budget, instead of the bundle's; None keeps those.
    """
    watched = {} if measured.watched is None else measured.watched.to_json()
    settings = watched.pop("settings", None)
    asked = measured.watched is not None and measured.watched.asked
    budget = budget_of({"budget": opened.profile["budget"]}, limits)
    document: dict[str, Any] = {
        "version": __version__,
        "code_sha256": code_sha256(),
        "bundle": {"name": opened.bundle.name, "sha256": opened.bundle.document.digest},
        "target": opened.bundle.target,
        "device": {
            "description": opened.profile["description"],
            "fits": opened.device.fits(machine.board),
        },
        "artifacts": {
            name: artifact_facts(
                artifact, estimators[name].runner.engine, estimators[name].runner.threads
            )
            for name, artifact in opened.artifacts.items()
        },
        "serving": opened.serving,
        "engine": estimators[opened.serving].runner.engine,
        "data": dict(data),
        "machine": machine.to_json(),
        "settings": _NO_SETTINGS if settings is None else {**settings, "asked": asked},
        "self_test": {
            **self_test_document(opened, misses),
            "reasons": [miss_line(miss) for miss in misses],
        },
        "reference": opened.profile.get("reference"),
        "accuracy": measured.accuracy,
        "latency": measured.latency,
        "placement": measured.placement,
        "stability": measured.stability,
        "telemetry": watched or _NOTHING_WATCHED,
        "start_to_first_pose_ms": measured.start_ms,
        "budget": asdict(budget),
    }
    return sealed({**document, "verdict": verdict_of(document)})
