"""``benchmark``: self-test, accuracy, latency and energy on this device, as one certificate."""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from erpose_edge.data.generated.clip import GeneratedClip
from erpose_edge.data.generated.people import GeneratedPeople
from erpose_edge.errors import RequestError
from erpose_edge.machine.facts import read_machine
from erpose_edge.on_device.cold_start import cold_start_ms
from erpose_edge.on_device.opened import EngineOptions, OpenedBundle, open_bundle, self_test
from erpose_edge.on_device.verdict import Measured, certificate_of
from erpose_edge.on_device.watched import watched
from erpose_edge.runtime.files import write_json
from erpose_edge.runtime.images import read_image, read_video, video_rate
from erpose_edge.validate.accuracy import SCORE_THRESHOLD, evaluate_estimator
from erpose_edge.validate.accuracy_document import accuracy_document
from erpose_edge.validate.budget import Budget
from erpose_edge.validate.certificate.gate import gate
from erpose_edge.validate.certificate.judged import REFERENCE
from erpose_edge.validate.certificate.parts import generated_data
from erpose_edge.validate.certificate.show import lines_of
from erpose_edge.validate.certificate.statistics import turns_document
from erpose_edge.validate.junit import write_junit
from erpose_edge.validate.latency import interleaved
from erpose_edge.validate.latency.frames import FrameSet
from erpose_edge.validate.latency.measure import measure
from erpose_edge.validate.latency.scenario import SINGLE_STREAM, Request
from erpose_edge.validate.placement import placement_of
from erpose_edge.validate.stability import measure_stability
from erpose_edge.validate.stability_record import stability_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from erpose_edge.on_device.program import Outcome
    from erpose_edge.runtime.estimator import PoseEstimator

# Of the budget, which may be given instead of the profile's.
LIMITS = ("min_retention", "max_p99_ms", "max_jitter", "min_int8_share")
_SCENES = 32
_CLIP_FRAMES, _CLIP_PEOPLE, _CLIP_SIZE = 120, 3, (480, 640)
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
    scenes = _scenes(opened, options)
    measured = Measured()
    if not misses:
        measured = _measure(opened, estimators, scenes, options)
        measured.start_ms = cold_start_ms(opened, engine)
    data = generated_data(scenes.count, scenes.seed, scenes.size)
    limits = {name: getattr(options, name) for name in LIMITS}
    document = certificate_of(opened, estimators, machine, misses, measured, data, limits)
    if options.out is not None:
        _write(options.out, document)
    if options.junit is not None:
        _, checks = gate(document, Budget(**document["budget"]))
        write_junit(options.junit, f"{opened.bundle.target}", checks, document["verdict"]["notes"])
    return document, lines_of(document), int(document["verdict"]["exit_code"])


def _measure(
    opened: OpenedBundle,
    estimators: dict[str, PoseEstimator],
    scenes: GeneratedPeople,
    options: argparse.Namespace,
) -> Measured:
    measured = Measured(accuracy=_accuracy(estimators, scenes))
    frame = None if options.image is None else read_image(options.image)
    with watched(options.set_power_mode) as watch:
        progress = _progress("latency in turns")
        latency = interleaved(estimators, frame, options.seconds, progress, turn_ms=_TURN_MS)
        pictures = (
            FrameSet.examples() if options.image is None else FrameSet.of_files(options.image)
        )
        request = Request(SINGLE_STREAM, options.seconds)
        scenarios = {
            name: measure(estimator, pictures, request, _progress(f"{SINGLE_STREAM} of {name}"))
            for name, estimator in estimators.items()
        }
    measured.watched = watch.over(latency)
    measured.stability = _stability(estimators, options)
    for name, artifact in opened.artifacts.items():
        measured.latency[name] = {
            "turns": turns_document(latency[name]),
            "scenarios": {SINGLE_STREAM: scenarios[name]},
        }
        layers = placement_of(estimators[name].runner, artifact)
        measured.placement[name] = [layer.to_json() for layer in layers]
    return measured


def _accuracy(
    estimators: dict[str, PoseEstimator], scenes: GeneratedPeople
) -> dict[str, dict[str, Any]]:
    """Return the accuracy of every artifact, against fp32 where that is in the bundle."""
    found = {}
    for name, estimator in estimators.items():
        shown, estimator.score_threshold = estimator.score_threshold, SCORE_THRESHOLD
        progress = _progress(f"accuracy of {name}")
        found[name] = evaluate_estimator(estimator, scenes, estimator.skeleton, progress)
        estimator.score_threshold = shown
    return {
        name: accuracy_document(
            accuracy,
            estimators[name].skeleton,
            None if name == REFERENCE else found.get(REFERENCE),
        )
        for name, accuracy in found.items()
    }


def _stability(
    estimators: dict[str, PoseEstimator], options: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Return how steady each artifact's poses are on a clip, where one was asked for."""
    if options.clip is None and options.clip_frames is None:
        return {}
    frames = options.clip_frames or _CLIP_FRAMES
    found = {}
    for name, estimator in estimators.items():
        if options.clip is None:
            clip: Any = GeneratedClip(frames, _SEED, _CLIP_SIZE, _CLIP_PEOPLE)
            rate, described = clip.rate, f"{_CLIP_PEOPLE} generated people of seed {_SEED}"
        else:
            clip = ((frame, None) for frame in islice(read_video(options.clip), frames))
            rate, described = video_rate(options.clip), options.clip.name
        against = None if name == REFERENCE else estimators.get(REFERENCE)
        measured = measure_stability(estimator, clip, rate, estimator.skeleton, against)
        reference = None if against is None else REFERENCE
        found[name] = stability_document(measured, described, reference)
    return found


def _scenes(opened: OpenedBundle, options: argparse.Namespace) -> GeneratedPeople:
    """Return the scenes that fp32 was measured on before, or some."""
    reference = opened.profile.get("reference") or {"scenes": _SCENES, "seed": _SEED}
    return GeneratedPeople(options.scenes or reference["scenes"], reference["seed"])


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
    for name in LIMITS:
        limit = getattr(options, name)
        if limit is not None and not 0 < limit < float("inf"):
            raise RequestError(
                f"--{name.replace('_', '-')}: expected a number above 0, got {limit}; leave it out"
            )
    if options.clip_frames is not None and options.clip_frames < 3:
        raise RequestError(
            f"--clip-frames: expected at least 3, got {options.clip_frames}; leave it out"
        )
    if options.scenes is not None and options.scenes < 1:
        raise RequestError(f"scenes: expected at least 1, got {options.scenes}; leave it out")
