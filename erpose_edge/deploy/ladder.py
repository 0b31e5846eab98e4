"""From weights to a verdict: export, validate and time every precision of a target's profile.

fp32 is always measured: it is what the others are compared with, on the same images and, turn by
turn, in the same process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from erpose_edge.deploy.default import bundled_weights
from erpose_edge.deploy.profile import Profile, require_available
from erpose_edge.errors import WeightsError
from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
from erpose_edge.network.checkpoint import Weights, load_weights, save_weights
from erpose_edge.runtime.artifact import Artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.skeleton import Skeleton
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, Accuracy, evaluate_estimator
from erpose_edge.validate.budget import Budget, Candidate, Verdict, judge, retention
from erpose_edge.validate.latency import Latency, interleaved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from erpose_edge.validate.accuracy import Sample

VERDICT_FILE = "verdict.json"
CALIBRATED_FILE = "calibrated.safetensors"  # of float weights that were not fine-tuned
REFERENCE = "fp32"


class Samples(Sized, Protocol):
    """Images and labels that can be gone through more than once."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield images with their labels."""
        ...


Report = Callable[[int, int], None]
Stage = Callable[[str], AbstractContextManager[Report]]


@contextmanager
def _silent(_: str) -> Iterator[Report]:
    yield lambda _done, _total: None


@dataclass(frozen=True)
class EvaluationSet:
    """What accuracy is measured on.

    Attributes:
        samples: Gone through once for every precision.
        skeleton: Of labels and network.
        description: In words, for reports.
    """

    samples: Samples
    skeleton: Skeleton
    description: str


@dataclass(frozen=True)
class WeightsPair:
    """Float weights, the reference, and the quantized ones that int8 is exported from."""

    reference: Weights
    quantized: Weights

    def at(self, precision: str) -> Weights:
        """Return the weights that an artifact of ``precision`` is exported from."""
        return self.quantized if precision == "int8" else self.reference


@dataclass(frozen=True)
class Deployment:
    """What `deploy` did.

    Attributes:
        profile: The target.
        verdict: Chosen precision and reasons against the others.
        artifacts: By precision, in the order in which they were tried.
        accuracy: By precision.
        latency: By precision, timed in turns.
        evaluation: What accuracy was measured on.
    """

    profile: Profile
    verdict: Verdict
    artifacts: dict[str, Artifact]
    accuracy: dict[str, Accuracy]
    latency: dict[str, Latency]
    evaluation: EvaluationSet

    @property
    def chosen(self) -> Artifact | None:
        """The artifact that keeps the budget, or None."""
        return self.artifacts.get(self.verdict.chosen or "")

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``deploy --json``; see ``schemas/deploy.json``."""
        document = self.verdict.to_json()
        for row in document["candidates"]:
            precision = row["precision"]
            row["artifact"] = str(self.artifacts[precision].folder)
            row["accuracy"] = self.accuracy[precision].to_json()
            row["latency"] = self.latency[precision].to_json()
        return {
            **document,
            "target": self.profile.name,
            "artifact": str(self.chosen.folder) if self.chosen else None,
            "data": self.evaluation.description,
            "budget": self.profile.budget.model_dump(mode="json"),
        }


def choose_weights(given: Path | None) -> WeightsPair:
    """Return what to deploy.

    Args:
        given: Float or quantized weights; None takes the bundled pair. Float weights are
            calibrated by `quantize_without_training`, quantized ones carry their float twin.

    Raises:
        RequestError: There is no such file.
        IntegrityError: It is damaged.
    """
    if given is None:
        return WeightsPair(
            load_weights(bundled_weights(REFERENCE)), load_weights(bundled_weights("int8"))
        )
    weights = load_weights(given)
    return WeightsPair(weights, weights)


def quantize_without_training(weights: Weights, path: Path, report: Report) -> Weights:
    """Calibrate ``weights`` for int8 by their own config, without fine-tuning.

    Args:
        weights: Float weights.
        path: Where the quantized weights are written.
        report: Called with the images seen and their number.

    Raises:
        WeightsError: Their config is not one of this version.
    """
    from erpose_edge.config import config_from_mapping
    from erpose_edge.errors import ConfigError
    from erpose_edge.quantization.qat import Quantization

    try:
        config = config_from_mapping(weights.config, str(weights.path))
    except ConfigError as error:
        raise WeightsError(f"weights {weights.path}: config: {error}") from error
    quantization = Quantization(weights, config)
    quantization.calibrate(report)
    save_weights(path, quantization.weights())
    return load_weights(path)


def deploy(
    profile: Profile,
    weights: WeightsPair,
    evaluation: EvaluationSet,
    folder: Path,
    *,
    seconds: float,
    stage: Stage = _silent,
) -> Deployment:
    """Export for a target, validate against fp32, time in turns, and judge.

    Args:
        profile: The target and its budget.
        weights: What to deploy.
        evaluation: What accuracy is measured on.
        folder: Gets a folder an artifact, and ``verdict.json``.
        seconds: At least so long each candidate is timed.
        stage: Opens a progress bar for a named piece of work.

    Raises:
        TargetError: This version cannot serve the target.
        ExportError: The engine did not take the network as the policy asks.
        DataError: No sample can be used.
    """
    require_available(profile)
    tried = list(dict.fromkeys([*profile.precisions, REFERENCE]))
    artifacts: dict[str, Artifact] = {}
    accuracy: dict[str, Accuracy] = {}
    estimators: dict[str, PoseEstimator] = {}
    for precision in tried:
        with stage(f"export {precision}"):
            artifacts[precision] = _export(profile, weights, precision, folder / precision)
        estimator = PoseEstimator(
            artifacts[precision], score_threshold=SCORE_THRESHOLD, threads=profile.threads
        )
        with stage(f"validate {precision}") as report:
            accuracy[precision] = evaluate_estimator(
                estimator, evaluation.samples, evaluation.skeleton, report
            )
        estimators[precision] = estimator
    with stage("time in turns") as report:
        latency = interleaved(estimators, seconds=seconds, progress=report)
    verdict = judge(
        _candidates(artifacts, accuracy, latency), Budget(**profile.budget.model_dump())
    )
    result = Deployment(profile, verdict, artifacts, accuracy, latency, evaluation)
    _write_json(folder / VERDICT_FILE, result.to_json())
    return result


def _export(profile: Profile, weights: WeightsPair, precision: str, folder: Path) -> Artifact:
    request = ExportRequest(
        target=profile.name,
        engine=profile.engine,
        precision=precision,
        contract=profile.contract,
        input_size=profile.input_size,
    )
    return export_artifact(weights.at(precision), request, folder)


def _candidates(
    artifacts: dict[str, Artifact],
    accuracy: dict[str, Accuracy],
    latency: dict[str, Latency],
) -> list[Candidate]:
    reference_ap = accuracy[REFERENCE].metrics.ap
    reference_ms = latency[REFERENCE].infer_ms.p50
    return [
        Candidate(
            precision=precision,
            ap=accuracy[precision].metrics.ap,
            retention=retention(accuracy[precision].metrics.ap, reference_ap),
            p50_ms=latency[precision].end_to_end_ms.p50,
            p99_ms=latency[precision].end_to_end_ms.p99,
            size_mb=_size_mb(artifact.folder.iterdir()),
            speedup_vs_fp32=None
            if precision == REFERENCE
            else reference_ms / latency[precision].infer_ms.p50,
        )
        for precision, artifact in artifacts.items()
    ]


def _size_mb(files: Iterable[Path]) -> float:
    return round(sum(file.stat().st_size for file in files) / 1e6, 3)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
