#!/usr/bin/env python3
"""Time an artifact on this device: stage by stage, with what the processor is.

Needs this file, the artifact's folder, numpy, cv2 and the engine that the artifact names: no
installation, no torch. The code that runs is the artifact's own ``runtime.zip``, once its hash is
the one of the manifest. An artifact without it needs erpose-edge, installed or above this script.

    python3 benchmark_device.py ARTIFACT [--seconds 5] [--image photo.jpg] [--threads N] [--json]
    python3 benchmark_device.py ARTIFACT --scenario camera --fps 30 --seconds 60 [--image FOLDER]

Exit codes: 0 measured, 2 mistake in the request, 5 the engine does not take the artifact, 6 the
artifact is damaged.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    options = _parser().parse_args(arguments)
    refused = _find_runtime(options.artifact)
    if refused is not None:
        message, code = refused
        print(f"error: {message}", file=sys.stderr)
        return code
    from erpose_edge.errors import ErposeError

    try:
        measure = _measure if options.scenario is None else _measure_scenario
        measure(options)
    except ErposeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Time an artifact on this device.")
    parser.add_argument("artifact", type=Path, help="folder with manifest.json")
    parser.add_argument("--seconds", type=float, default=5.0, help="after the warm-up (default: 5)")
    parser.add_argument("--image", type=Path, help="picture, or of a scenario a folder of them")
    parser.add_argument(
        "--scenario", help="single-stream, multi-stream, offline or camera (needs --fps)"
    )
    parser.add_argument("--fps", type=float, help="frames a second of the camera")
    parser.add_argument("--threads", type=int, help="how many the engine may use")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _find_runtime(artifact: Path) -> tuple[str, int] | None:
    """Make ``erpose_edge`` importable; return a message and an exit code where that fails."""
    archive = artifact / "runtime.zip"
    if archive.is_file():
        expected = _hash_in_manifest(artifact / "manifest.json", archive.name)
        if hashlib.sha256(archive.read_bytes()).hexdigest() != expected:
            return f"{archive}: expected sha256 {expected}, got another; copy the artifact again", 6
        sys.path.insert(0, str(archive))
        return None
    clone = Path(__file__).resolve().parent.parent
    if (clone / "erpose_edge" / "runtime").is_dir():
        sys.path.insert(0, str(clone))
    if importlib.util.find_spec("erpose_edge") is None:
        return f"{archive}: expected the artifact's runtime, got none; export it again", 2
    return None


def _hash_in_manifest(path: Path, name: str) -> str | None:
    """Return the hash of a file; the runtime, once it is trusted, checks the manifest itself."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["files"][name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _measure(options: argparse.Namespace) -> None:
    from erpose_edge.runtime.artifact import read_artifact
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.runtime.images import read_image
    from erpose_edge.validate.latency import STAGES, bench

    artifact = read_artifact(options.artifact)
    frame = None if options.image is None else read_image(options.image)
    latency = bench(PoseEstimator(artifact, threads=options.threads), frame, options.seconds)
    if options.json:
        print(json.dumps(latency.to_json(artifact.manifest), indent=2))
        return
    print(f"{artifact.manifest.target} {artifact.manifest.precision}, {latency.engine}")
    _print_stages({stage: vars(latency.stages[stage]) for stage in STAGES})
    print("\n".join(latency.notes()))
    if latency.unstable:
        print("warning: unstable: is the machine busy?", file=sys.stderr)


def _measure_scenario(options: argparse.Namespace) -> None:
    from erpose_edge.runtime.artifact import read_artifact
    from erpose_edge.runtime.estimator import PoseEstimator
    from erpose_edge.validate.latency.cold import open_timed
    from erpose_edge.validate.latency.frames import FrameSet
    from erpose_edge.validate.latency.measure import measure
    from erpose_edge.validate.latency.overview import lines, overview
    from erpose_edge.validate.latency.scenario import Request

    request = Request(options.scenario, options.seconds, options.fps)
    artifact = read_artifact(options.artifact)
    frames = FrameSet.examples() if options.image is None else FrameSet.of_files(options.image)
    estimator, start_ns = open_timed(
        lambda: PoseEstimator(artifact, threads=options.threads), frames
    )
    document = measure(estimator, frames, request, cold_start_ns=start_ns)
    if options.json:
        print(json.dumps(overview({request.scenario: document}, artifact.manifest), indent=2))
        return
    print(f"{request.scenario}: {artifact.manifest.precision}, {document['engine']}")
    _print_stages(document["statistics"]["stages"])
    print("\n".join(lines(document)))
    for reason in document["unstable"]:
        print(f"warning: unstable: {reason}", file=sys.stderr)


def _print_stages(stages: dict[str, dict[str, float]]) -> None:
    print(f"{'stage':<12}{'p50 ms':>10}{'p90 ms':>10}{'p99 ms':>10}")
    for stage, found in stages.items():
        name = stage.replace("_", " ")
        print(f"{name:<12}{found['p50']:>10.2f}{found['p90']:>10.2f}{found['p99']:>10.2f}")


if __name__ == "__main__":
    sys.exit(main())
