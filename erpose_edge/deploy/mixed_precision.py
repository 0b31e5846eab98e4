"""From the sensitivity of layers to a policy: times of this machine, a search, and its proof."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import fx

from erpose_edge.deploy.profile import Profile, require_available
from erpose_edge.errors import TargetError
from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
from erpose_edge.exporters.layer_times import (
    LatencyModel,
    LayerTimes,
    measure_end_to_end,
    measure_layers,
)
from erpose_edge.network.checkpoint import Weights
from erpose_edge.quantization.checkpoint import policy_of, under_policy
from erpose_edge.quantization.sensitivity.measure import (
    PoseSettings,
    Sample,
    Sensitivity,
    measure_choice,
)
from erpose_edge.quantization.sensitivity.policy_search import (
    PolicySearch,
    search_policy,
    write_policy,
)
from erpose_edge.quantization.sensitivity.variants import Variants
from erpose_edge.runtime.artifact import Artifact
from erpose_edge.validate.budget import retention

POLICY_FILE = "policy.yaml"
_ENGINE = "openvino"  # whose layers can be timed one by one

Report = Callable[[int, int], None]
Stage = Callable[[str], AbstractContextManager[Report]]


@dataclass(frozen=True)
class MixedPrecision:
    """A searched policy with its times.

    Attributes:
        search: What was tried.
        policy: The policy file; None if no policy met the retention.
        times: Of every layer.
        modelled_ms: By the latency model, for fp32, int8 and the searched policy.
        measured_ms: Of the same artifacts, timed in turns without counters.
    """

    search: PolicySearch
    policy: Path | None
    times: LayerTimes
    modelled_ms: dict[str, float]
    measured_ms: dict[str, float]

    @property
    def model_errors(self) -> dict[str, float]:
        """Modelled over measured time less one, by artifact."""
        return {n: self.modelled_ms[n] / self.measured_ms[n] - 1 for n in self.measured_ms}

    def to_json(self) -> dict[str, Any]:
        """Return the object ``search`` of ``schemas/sensitivity.json``."""
        return {
            **self.search.to_json(),
            "policy": None if self.policy is None else str(self.policy),
            "engine": self.times.engine,
            "threads": self.times.threads,
            "fp32_ms": self.times.fp32.convolutions,
            "int8_ms": self.times.int8.convolutions,
            "boundary_ms": self.times.int8.boundary_ms,
            "rest_ms": [self.times.fp32.rest_ms, self.times.int8.rest_ms],
            "latency_model": {
                name: {
                    "modelled_ms": self.modelled_ms[name],
                    "measured_ms": self.measured_ms[name],
                    "error": error,
                }
                for name, error in self.model_errors.items()
            },
        }


@dataclass(frozen=True)
class Evidence:
    """What a search starts from.

    Attributes:
        network: Fake-quantized; its modes change.
        sensitivity: Of its layers, on ``samples``.
        samples: What retention is measured on.
        settings: How outputs become poses.
        description: Of the samples, for the policy.
    """

    network: fx.GraphModule
    sensitivity: Sensitivity
    samples: Sequence[Sample]
    settings: PoseSettings
    description: str


def require_timed_layers(profile: Profile) -> None:
    """Refuse a target whose engine does not tell the times of its layers here.

    Raises:
        TargetError: The target is not of OpenVINO, or not served by this version.
    """
    require_available(profile)
    if profile.engine != _ENGINE:
        raise TargetError(
            f"target {profile.name}: engine: expected {_ENGINE}, whose layers can be timed one by "
            f"one, got {profile.engine}; take openvino-cpu, or --no-search"
        )


def search_mixed_precision(
    weights: Weights,
    evidence: Evidence,
    profile: Profile,
    folder: Path,
    *,
    min_retention: float,
    stage: Stage,
) -> MixedPrecision:
    """Time the layers on this machine, search a policy, write it, and time what it gives.

    Args:
        weights: Quantized.
        evidence: Of the network of ``weights``.
        profile: The target; see `require_timed_layers`.
        folder: Gets ``policy.yaml`` and the artifacts that were timed.
        min_retention: AP to be kept, as a fraction of the float network's.
        stage: Opens a progress bar for a named piece of work.

    Raises:
        ExportError: The engine did not take the network as the policy asks.
        RequestError: The float network finds nobody.
    """
    settings, sensitivity = evidence.settings, evidence.sensitivity

    def export(source: Weights, precision: str, name: str) -> Artifact:
        request = ExportRequest(
            target=profile.name,
            engine=profile.engine,
            precision=precision,
            contract=profile.contract,
            input_size=settings.input_size,
            max_poses=settings.max_poses,
        )
        with stage(f"export {name}"):
            return export_artifact(source, request, folder / name)

    artifacts = {name: export(weights, name, name) for name in ("fp32", "int8")}
    with stage("time layers") as report:
        times = measure_layers(artifacts["fp32"], artifacts["int8"], profile.threads, report)
    model = LatencyModel(times, evidence.network, settings.input_size)
    variants = Variants(evidence.network)

    def retained(int8: Collection[str]) -> float | None:
        with stage(f"measure {len(variants.layers) - len(int8)} more float") as report:
            ap = measure_choice(variants, int8, evidence.samples, settings, report).ap
        return retention(ap, sensitivity.reference.ap)

    losses = {row.layer: row.alone.oks_loss for row in sensitivity.layers}
    search = search_policy(losses, retained, min_retention, cost=model)
    modelled = {"fp32": model(()), "int8": model(variants.layers)}
    path = None
    if search.found is not None:
        path = folder / POLICY_FILE
        keep = search.found.keep_float
        own = policy_of(weights)
        line = (
            f"{own.description}, {len(keep)} more float: {search.found.retention:.2%} of fp32's AP "
            f"on {evidence.description}; found by erpose-edge sensitivity"
        )
        policy = write_policy(path, own, keep, line)
        if keep:
            artifacts["policy"] = export(under_policy(weights, policy), "int8", "policy")
            modelled["policy"] = model([n for n in variants.layers if n not in keep])
    with stage("time in turns"):
        measured = measure_end_to_end(artifacts, profile.threads)
    return MixedPrecision(search, path, times, modelled, measured)
