#!/usr/bin/env python3
r"""Time our artifacts and pose models of others in turns: same images, engine, threads and clock.

    python scripts/compare_peers.py --ours fp32=runs/fp32 --ours int8=runs/int8 \
        --peer NAME=movenet@openvino:FILE.tflite --peer NAME=ultralytics:FILE.onnx \
        [--size 640 640] [--images FOLDER] [--threads 2] [--seconds 20] [--json]

A frame is timed end to end: preprocessing, the engine, decoding with its suppression. In each round
every model sees the same frame, in an order that is drawn anew. What is worth having is the ratio
within rounds, with its 95 % interval: whatever else the machine does befalls all of them alike.
Models of others are files of yours; this project has none.

Exit codes: 0 measured, 2 mistake in the request, 5 an engine does not take a model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from measured_block import ROOT, table
from peer_models import ADAPTERS, PeerEstimator

sys.path.insert(0, str(ROOT))

from erpose_edge.errors import ErposeError, RequestError
from erpose_edge.machine.cpu import cpu_facts
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.images import IMAGE_SUFFIXES, read_image
from erpose_edge.runtime.poses import Poses

_STAGES = ("preprocess", "infer", "decode")
_WARM_UP_S = 0.5
_FEWEST_ROUNDS = 10
_DRAWS = 1000
_UNSTABLE_ABOVE = 0.025  # half the interval of a ratio over the ratio


class Estimator(Protocol):
    """What is timed."""

    runner: Any
    score_threshold: float

    def preprocess(self, frame: np.ndarray) -> tuple[Any, Any]: ...  # noqa: D102
    def infer(self, images: Any) -> Any: ...  # noqa: ANN401, D102
    def decode(self, outputs: Any, letterbox: Any) -> Poses: ...  # noqa: ANN401, D102


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        document = compare(options)
    except ErposeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(document, indent=2) if options.json else "\n".join(_lines(document)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Time our artifacts and peers in turns.")
    parser.add_argument("--ours", action="append", required=True, metavar="NAME=ARTIFACT")
    parser.add_argument("--peer", action="append", required=True,
                        metavar="NAME=ADAPTER[@ENGINE]:FILE",
                        help=f"adapters: {', '.join(ADAPTERS)}")  # fmt: skip
    parser.add_argument("--size", nargs=2, type=int, metavar=("H", "W"),
                        help="of peers that take any")  # fmt: skip
    parser.add_argument("--images", type=Path, help="folder; 8 generated scenes by default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="for all together")
    parser.add_argument("--threshold", type=float, default=0.3, help="of scores, for all")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured as plain JSON values.

    Raises:
        ErposeError: Something cannot be opened.
    """
    ours = {name: Path(path) for name, path in map(_named, options.ours)}
    peers = {name: _peer(name, rest) for name, rest in map(_named, options.peer)}
    if len({*ours, *peers}) != len(options.ours) + len(options.peer):
        raise RequestError("names: expected each once, got one twice; rename it")
    size = None if options.size is None else (options.size[0], options.size[1])
    estimators: dict[str, Estimator] = {
        name: PoseEstimator(path, score_threshold=options.threshold, threads=options.threads)
        for name, path in ours.items()
    }
    for name, (adapter, engine, path) in peers.items():
        estimators[name] = PeerEstimator(
            path, adapter, options.threads, size, options.threshold, engine
        )
    frames, described = _frames(options.images)
    load = cpu_facts().load
    marks, people = _rounds(estimators, frames, options.seconds, options.seed)
    models = {
        name: {
            "engine": estimator.runner.engine,
            "input_size": list(_input_size(estimator)),
            "sha256": None if name in ours else _sha256(peers[name][2]),
            "people_per_frame": round(people[name], 3),
            **_statistics(marks[name]),
        }
        for name, estimator in estimators.items()
    }
    return {
        "models": models,
        "ratios": _ratios(marks, list(ours), peers, estimators),
        "rounds": len(next(iter(marks.values()))),
        "frames": described,
        "environment": {
            "cpu": cpu_facts(options.threads).to_json(),
            "load_before": list(load),
            "threads": options.threads,
            "threshold": options.threshold,
            "seed": options.seed,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "opencv_threads": cv2.getNumThreads(),
        },
    }


def _named(text: str) -> tuple[str, str]:
    name, sign, rest = text.partition("=")
    if not (name and sign and rest):
        raise RequestError(f"model: expected NAME=..., got {text!r}")
    return name, rest


def _peer(name: str, text: str) -> tuple[str, str | None, Path]:
    kind, sign, path = text.partition(":")
    adapter, _, engine = kind.partition("@")
    if not sign or adapter not in ADAPTERS:
        known = " or ".join(ADAPTERS)
        raise RequestError(f"--peer {name}: expected ADAPTER:FILE with {known}, got {text!r}")
    return adapter, engine or None, Path(path)


def _frames(folder: Path | None) -> tuple[list[np.ndarray], str]:
    if folder is None:
        from erpose_edge.data.generated.people import GeneratedPeople

        return [image for image, _ in GeneratedPeople(8)], "8 generated scenes of seed 0"
    if not folder.is_dir():
        raise RequestError(f"--images: expected a folder, got {folder}; check the path")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise RequestError(f"--images: expected pictures in {folder}, got none")
    return [read_image(file) for file in files], f"{len(files)} images"


def _rounds(
    estimators: dict[str, Estimator], frames: list[np.ndarray], seconds: float, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return marks in ns (N, 4) of N rounds by name, and how many people a frame has."""
    people = {}
    for name, estimator in estimators.items():
        start, found = time.perf_counter(), 0
        for frame in frames:  # all of them once: what is found is compared with what it takes
            found += _timed(estimator, frame)[1]
        people[name] = found / len(frames)
        while time.perf_counter() - start < _WARM_UP_S:
            _timed(estimator, frames[0])
    rng = np.random.default_rng(seed)
    names = list(estimators)
    marks: dict[str, list[tuple[int, ...]]] = {name: [] for name in names}
    end, done = time.perf_counter() + seconds, 0
    while done < _FEWEST_ROUNDS or time.perf_counter() < end:
        for index in rng.permutation(len(names)):
            times, _ = _timed(estimators[names[index]], frames[done % len(frames)])
            marks[names[index]].append(times)
        done += 1
    return {name: np.array(found, np.int64) for name, found in marks.items()}, people


def _timed(estimator: Estimator, frame: np.ndarray) -> tuple[tuple[int, ...], int]:
    now = time.perf_counter_ns
    start = now()
    images, box = estimator.preprocess(frame)
    preprocessed = now()
    outputs = estimator.infer(images)
    inferred = now()
    poses = estimator.decode(outputs, box)
    return (start, preprocessed, inferred, now()), len(poses)


def _statistics(marks: np.ndarray) -> dict[str, Any]:
    stages = np.diff(marks, axis=1) / 1e6
    total = (marks[:, 3] - marks[:, 0]) / 1e6
    columns = {**dict(zip(_STAGES, stages.T, strict=True)), "end_to_end": total}
    return {
        f"{stage}_ms": {f"p{q}": round(float(np.percentile(ms, q)), 4) for q in (50, 90, 99)}
        for stage, ms in columns.items()
    }


def _ratios(
    marks: dict[str, np.ndarray],
    ours: list[str],
    peers: dict[str, Any],
    estimators: dict[str, Estimator],
) -> list[dict[str, Any]]:
    """Return ours over every peer on the same engine, end to end, and which is the fastest."""
    total = {name: (m[:, 3] - m[:, 0]).astype(np.float64) for name, m in marks.items()}
    found = []
    for own in ours:
        same = [p for p in peers if estimators[p].runner.engine == estimators[own].runner.engine]
        fastest = min(same, key=lambda p: float(np.median(total[p])), default=None)
        for peer in same:
            ratio, low, high = _paired(total[own], total[peer])
            found.append(
                {
                    "ours": own,
                    "peer": peer,
                    "ratio": round(ratio, 4),
                    "interval": [round(low, 4), round(high, 4)],
                    "fastest_peer": peer == fastest,
                    "unstable": (high - low) / 2 > _UNSTABLE_ABOVE * ratio,
                }
            )
    return found


def _paired(own: np.ndarray, peer: np.ndarray) -> tuple[float, float, float]:
    """Return the median over rounds of own / peer, and its 95 % interval by resampled rounds."""
    parts = own / peer
    rows = np.random.default_rng(0).integers(0, len(parts), (_DRAWS, len(parts)))
    low, high = np.percentile(np.median(parts[rows], axis=1), (2.5, 97.5))
    return float(np.median(parts)), float(low), float(high)


def _input_size(estimator: Any) -> tuple[int, int]:  # noqa: ANN401
    if isinstance(estimator, PeerEstimator):
        return estimator.input_size
    size: tuple[int, int] = estimator.contract.input_size
    return size


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _lines(document: dict[str, Any]) -> list[str]:
    rows = []
    for name, found in document["models"].items():
        size = " x ".join(map(str, found["input_size"]))
        parts = (f"{found[f'{stage}_ms']['p50']:.2f}" for stage in (*_STAGES, "end_to_end"))
        last = f"{found['end_to_end_ms']['p99']:.2f}"
        rows.append([name, found["engine"], size, *parts, last, f"{found['people_per_frame']:.1f}"])
    heads = ["model", "engine", "input", *(f"{s} ms" for s in _STAGES), "end to end ms", "p99 ms",
             "people"]  # fmt: skip
    lines = [*table(heads, rows, left=3), ""]
    for entry in document["ratios"]:
        low, high = entry["interval"]
        lines.append(
            f"{entry['ours']} / {entry['peer']}: {entry['ratio']:.3f} [{low:.3f}, {high:.3f}]"
            + (", the fastest peer" if entry["fastest_peer"] else "")
            + (", unstable" if entry["unstable"] else "")
        )
    place = document["environment"]
    cpu = place["cpu"]
    lines.append(
        f"{document['rounds']} rounds over {document['frames']}; {cpu['model']}, "
        f"{place['threads']} threads, load before {place['load_before'][0]:.2f}"
        if place["load_before"]
        else f"{document['rounds']} rounds over {document['frames']}; {cpu['model']}"
    )
    return lines


if __name__ == "__main__":
    sys.exit(main())
