"""From weights to a verdict: export, validate and time every rung of a target's profile.

fp32 is always measured: it is what the others are compared with, on the same images and, turn by
turn, in the same process. Where this machine is not the device, times are shown and not judged;
where the engine cannot run at all, ONNX Runtime computes the same graph for its accuracy.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from erpose_edge.deploy.device import is_device, runs_here
from erpose_edge.deploy.graph_check import LIMITS, checked_graphs
from erpose_edge.deploy.profile import Profile, require_available
from erpose_edge.deploy.remaining import remaining_steps
from erpose_edge.deploy.rungs import REFERENCE, Report, Rung
from erpose_edge.deploy.stand_in import stand_in_estimator
from erpose_edge.errors import ExportError
from erpose_edge.exporters.artifact_export import ExportRequest, export_artifact
from erpose_edge.exporters.engine_export import DlaRequest
from erpose_edge.runtime.artifact import Artifact
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.files import write_json
from erpose_edge.skeleton import Skeleton
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, Accuracy, evaluate_estimator
from erpose_edge.validate.budget import Budget, Candidate, Verdict, judge, retention
from erpose_edge.validate.latency import Latency, interleaved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from erpose_edge.validate.accuracy import Sample

VERDICT_FILE = "verdict.json"


class Samples(Sized, Protocol):
    """Images and labels that can be gone through more than once."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield images with their labels."""
        ...


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
class Deployment:
    """What `deploy` did.

    Attributes:
        profile: The target.
        verdict: Chosen rung and reasons against the others.
        artifacts: By rung, in the order in which they were tried; without those that the engine
            refused.
        accuracy: By rung.
        latency: By rung, timed in turns; empty where the engine does not run here.
        evaluation: What accuracy was measured on.
        engine: What ran the artifacts here.
        checks: What was found out about graphs whose engine is not here, by rung.
        elsewhere: Times are to be measured on another machine.
    """

    profile: Profile
    verdict: Verdict
    artifacts: dict[str, Artifact]
    accuracy: dict[str, Accuracy]
    latency: dict[str, Latency]
    evaluation: EvaluationSet
    engine: str
    checks: dict[str, str]
    elsewhere: bool = False

    @property
    def chosen(self) -> Artifact | None:
        """The artifact that keeps the budget, or None."""
        return self.artifacts.get(self.verdict.chosen or "")

    def notes(self) -> list[str]:
        """Return what has to be known beside the table, a sentence each."""
        timed = next(iter(self.latency.values()), None)
        notes = timed.notes()[1:] if timed else []
        notes += [f"{name}: {found}" for name, found in self.checks.items()]
        notes += [LIMITS] if self.checks else []
        if self.elsewhere:
            notes.append("no times: they are measured on the board")
        elif not self.latency:
            notes.append(
                f"no times: {self.profile.engine} is not on this machine; AP is that of the same "
                f"graph in {self.engine.split(' in place')[0]}"
            )
        elif not self.verdict.judged_time:
            notes.append(
                f"times are this machine's ({platform.machine()}) and were not judged: it is not "
                f"{self.profile.description}"
            )
        return notes

    def remaining(self) -> list[str]:
        """Return what is left to do on the device; nothing where this machine is it."""
        if self.chosen is None or self.verdict.judged_time or self.elsewhere:
            return []
        return remaining_steps(self.profile, self.chosen)

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``deploy --json``; see ``schemas/deploy.json``."""
        document = self.verdict.to_json()
        for row in document["candidates"]:
            name = row["precision"]
            made, timed = name in self.artifacts, self.latency.get(name)
            row["artifact"] = str(self.artifacts[name].folder) if made else None
            row["accuracy"] = self.accuracy[name].to_json() if made else None
            row["latency"] = timed.to_json() if timed else None
        return {
            **document,
            "target": self.profile.name,
            "artifact": str(self.chosen.folder) if self.chosen else None,
            "engine": self.engine,
            "notes": self.notes(),
            "remaining": self.remaining(),
            "data": self.evaluation.description,
            "budget": self.profile.budget.model_dump(mode="json"),
        }


def deploy(
    profile: Profile,
    rungs: Sequence[Rung],
    evaluation: EvaluationSet,
    folder: Path,
    *,
    seconds: float | None,
    dla: DlaRequest | None = None,
    stage: Stage = _silent,
) -> Deployment:
    """Export for a target, validate against fp32, time in turns, and judge.

    Args:
        profile: The target and its budget.
        rungs: As `erpose_edge.deploy.rungs.rungs` returns them.
        evaluation: What accuracy is measured on.
        folder: Gets a folder an artifact, and ``verdict.json``.
        seconds: At least so long each candidate is timed; None times nothing here, because the
            artifacts go to another machine.
        dla: What DLA is asked for, with every precision that it has; None for the GPU alone.
        stage: Opens a progress bar for a named piece of work.

    Raises:
        TargetError: This version cannot serve the target.
        ExportError: The engine did not take the fp32 network; any other rung is rejected for it.
        DataError: No sample can be used.
    """
    require_available(profile)
    checks: dict[str, str] = {}
    refused: dict[str, str] = {}
    artifacts: dict[str, Artifact] = {}
    accuracy: dict[str, Accuracy] = {}
    estimators: dict[str, PoseEstimator] = {}
    for rung in rungs:
        try:
            with stage(f"export {rung.name}"):
                artifact = _export(profile, rung, folder / rung.name, dla)
                if profile.engine == "tensorrt" and not runs_here(profile):
                    checks[rung.name] = checked_graphs(artifact)
        except ExportError as error:
            if rung.name == REFERENCE:
                raise
            refused[rung.name] = str(error)
            continue
        artifacts[rung.name] = artifact
        estimators[rung.name] = estimator = _open(profile, artifacts[rung.name])
        with stage(f"validate {rung.name}") as report:
            accuracy[rung.name] = evaluate_estimator(
                estimator, evaluation.samples, evaluation.skeleton, report
            )
    latency: dict[str, Latency] = {}
    if runs_here(profile) and seconds is not None:
        with stage("time in turns") as report:
            latency = interleaved(estimators, seconds=seconds, progress=report)
    verdict = judge(
        [_candidate(rung.name, refused, artifacts, accuracy, latency) for rung in rungs],
        Budget(**profile.budget.model_dump()),
        time=is_device(profile) and seconds is not None,
    )
    engine = estimators[REFERENCE].runner.engine
    result = Deployment(
        profile, verdict, artifacts, accuracy, latency, evaluation, engine, checks, seconds is None
    )
    write_json(folder / VERDICT_FILE, result.to_json())
    return result


def _open(profile: Profile, artifact: Artifact) -> PoseEstimator:
    if not runs_here(profile):
        return stand_in_estimator(artifact, score_threshold=SCORE_THRESHOLD)
    return PoseEstimator(artifact, score_threshold=SCORE_THRESHOLD, threads=profile.threads)


def _export(profile: Profile, rung: Rung, folder: Path, dla: DlaRequest | None) -> Artifact:
    request = ExportRequest(
        target=profile.name,
        engine=profile.engine,
        precision=rung.precision,
        contract=profile.contract,
        input_size=profile.input_size,
        dla=None if rung.precision == "fp32" else dla,  # which DLA does not have
    )
    return export_artifact(rung.weights, request, folder)


def _candidate(
    name: str,
    refused: dict[str, str],
    artifacts: dict[str, Artifact],
    accuracy: dict[str, Accuracy],
    latency: dict[str, Latency],
) -> Candidate:
    if name in refused:
        return Candidate(name, None, None, None, None, None, refused=refused[name])
    time, reference = latency.get(name), latency.get(REFERENCE)
    ap = accuracy[name].metrics.ap
    speedup = None
    if time is not None and reference is not None and name != REFERENCE:
        speedup = reference.infer_ms.p50 / time.infer_ms.p50
    return Candidate(
        precision=name,
        ap=ap,
        retention=retention(ap, accuracy[REFERENCE].metrics.ap),
        p50_ms=time.end_to_end_ms.p50 if time else None,
        p99_ms=time.end_to_end_ms.p99 if time else None,
        size_mb=_size_mb(artifacts[name].folder.iterdir()),
        speedup_vs_fp32=speedup,
    )


def _size_mb(files: Iterable[Path]) -> float:
    return round(sum(file.stat().st_size for file in files) / 1e6, 3)
