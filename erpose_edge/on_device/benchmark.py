"""``benchmark``: self-test, accuracy, latency and energy on this device, as one certificate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.errors import EXIT_ACCURACY, RequestError
from erpose_edge.machine.facts import read_machine
from erpose_edge.on_device.checks import miss_line, self_test_document
from erpose_edge.on_device.cold_start import cold_start_ms
from erpose_edge.on_device.opened import EngineOptions, OpenedBundle, open_bundle, self_test
from erpose_edge.on_device.verdict import Measured, verdict_of
from erpose_edge.on_device.watched import watched
from erpose_edge.runtime.files import write_json
from erpose_edge.runtime.images import read_image
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, evaluate_estimator
from erpose_edge.validate.certificate import sealed
from erpose_edge.validate.latency import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable

    from erpose_edge.on_device.program import Outcome
    from erpose_edge.runtime.estimator import PoseEstimator

_SCENES = 32
_SEED = 0
# Power is sampled ten times a second: in shorter turns an artifact's energy is its neighbour's too.
_TURN_MS = 1000.0


def benchmark(options: argparse.Namespace) -> Outcome:
    """Measure the bundle on this device; return certificate, lines and exit code.

    Raises:
        RequestError: An option is out of range.
        TargetError: An engine does not take its artifact, or there is no such power mode.
        IntegrityError: The bundle is damaged.
    """
    _check(options)
    opened = open_bundle(options.bundle)
    machine = read_machine(registry=opened.registry)
    engine = EngineOptions.of(options)
    estimators = {name: opened.estimator(name, engine) for name in opened.artifacts}
    misses = self_test(opened, estimators[opened.serving])
    certificate: dict[str, Any] = {
        "bundle": opened.bundle.name,
        "target": opened.bundle.target,
        "artifacts": {
            name: {"precision": artifact.manifest.precision, "files": artifact.manifest.files}
            for name, artifact in opened.artifacts.items()
        },
        "serving": opened.serving,
        "engine": estimators[opened.serving].runner.engine,
        "machine": machine.to_json(),
        "self_test": self_test_document(opened, misses),
    }
    if misses:
        reasons = [miss_line(miss) for miss in misses]
        verdict: dict[str, Any] = {
            "pass": False,
            "exit_code": EXIT_ACCURACY,
            "reasons": reasons,
            "notes": [],
        }
    else:
        scenes = _scenes(opened, options)
        measured = _measure(estimators, scenes, options)
        verdict = verdict_of(opened, measured, scenes, is_device=opened.device.fits(machine.board))
        certificate.update(_numbers(measured, scenes))
        certificate["start_to_first_pose_ms"] = cold_start_ms(opened, engine)
    document = sealed({**certificate, "verdict": verdict})
    if options.out is not None:
        _write(options.out, document)
    return document, _lines(document), int(verdict["exit_code"])


def _measure(
    estimators: dict[str, PoseEstimator], scenes: GeneratedPeople, options: argparse.Namespace
) -> Measured:
    accuracy = {}
    for name, estimator in estimators.items():
        shown, estimator.score_threshold = estimator.score_threshold, SCORE_THRESHOLD
        progress = _progress(f"accuracy of {name}")
        accuracy[name] = evaluate_estimator(estimator, scenes, estimator.skeleton, progress)
        estimator.score_threshold = shown
    frame = None if options.image is None else read_image(options.image)
    with watched(options.set_power_mode) as watch:
        progress = _progress("latency in turns")
        latency = interleaved(estimators, frame, options.seconds, progress, turn_ms=_TURN_MS)
    return Measured(accuracy, latency, watch.over(latency))


def _numbers(measured: Measured, scenes: GeneratedPeople) -> dict[str, Any]:
    """Return what was measured as plain values."""
    return {
        "accuracy": {
            "scenes": scenes.count,
            "seed": scenes.seed,
            **{name: found.to_json() for name, found in measured.accuracy.items()},
        },
        "latency": {name: latency.to_json() for name, latency in measured.latency.items()},
        "telemetry": measured.watched.to_json(),
    }


def _scenes(opened: OpenedBundle, options: argparse.Namespace) -> GeneratedPeople:
    """Return the scenes that fp32 was measured on before, or some."""
    reference = opened.profile.get("reference") or {"scenes": _SCENES, "seed": _SEED}
    return GeneratedPeople(options.scenes or reference["scenes"], reference["seed"])


def _lines(certificate: dict[str, Any]) -> list[str]:
    """Return a certificate for people."""
    verdict, lines = certificate["verdict"], [f"{certificate['target']}, {certificate['engine']}"]
    for name, latency in certificate.get("latency", {}).items():
        total, infer = latency["end_to_end_ms"], latency["infer_ms"]
        ap = certificate["accuracy"][name]["ap"]
        lines.append(
            f"{name}: AP {ap:.3f}, infer p50 {infer['p50']:.2f} ms, end to end p50 "
            f"{total['p50']:.2f}, p90 {total['p90']:.2f}, p99 {total['p99']:.2f} ms"
        )
    if "start_to_first_pose_ms" in certificate:
        lines.append(
            f"from start to the first pose: {certificate['start_to_first_pose_ms']:.0f} ms"
        )
    lines += verdict["notes"] + verdict["reasons"]
    return [*lines, f"verdict: {'pass' if verdict['pass'] else 'fail'}"]


def _progress(what: str) -> Callable[[int, int], None]:
    """Return what writes a line to standard error at every tenth of a piece of work."""
    told = -1

    def tell(done: int, total: int) -> None:
        nonlocal told
        part = 10 * done // total if total else 0
        if part > told:
            told = part
            sys.stderr.write(f"{what}: {10 * part} %\n")

    return tell


def _write(path: Path, document: dict[str, Any]) -> None:
    try:
        write_json(path, document)
    except OSError as error:
        raise RequestError(
            f"{path}: expected to write the certificate, got {error.strerror}; choose another place"
        ) from None


def _check(options: argparse.Namespace) -> None:
    if not 0 < options.seconds < float("inf"):
        raise RequestError(f"seconds: expected a positive number, got {options.seconds}")
    if options.scenes is not None and options.scenes < 1:
        raise RequestError(f"scenes: expected at least 1, got {options.scenes}; leave it out")
