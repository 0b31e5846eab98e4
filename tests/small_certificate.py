"""A certificate of made-up measurements: int8 and fp32, all statistics those of its samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scored_people import crowd, noisy_poses
from scripted_latency import document as scenario_document
from scripted_latency import scripted_run, steady
from tiny_pose import write_tiny_artifact

from erpose_edge.machine.cpu import CpuFacts
from erpose_edge.metrics.keypoint_ap import evaluate
from erpose_edge.runtime.artifact import read_artifact
from erpose_edge.runtime.poses import Poses
from erpose_edge.skeleton import COCO_17
from erpose_edge.validate.accuracy import Accuracy
from erpose_edge.validate.accuracy_document import accuracy_document
from erpose_edge.validate.certificate.judged import verdict_of
from erpose_edge.validate.certificate.parts import artifact_facts, code_sha256, generated_data
from erpose_edge.validate.certificate.seal import sealed
from erpose_edge.validate.certificate.statistics import turns_document
from erpose_edge.validate.latency import Latency, Percentiles
from erpose_edge.validate.latency.turns import STAGES, turn_statistics
from erpose_edge.validate.placement import CONVOLUTION, PlacedLayer

IMAGES = 6
ENGINE = "OpenVINO 2026.1"


def small_certificate(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return a sealed certificate of two artifacts, which are written into ``folder``.

    Args:
        folder: Gets ``int8`` and ``fp32``.
        changes: Fields instead of those below, before the verdict.
    """
    artifacts = {}
    for name in ("int8", "fp32"):
        if not (folder / name).is_dir():
            write_tiny_artifact(folder / name, "compact", "openvino", {"named.txt": name.encode()})
        artifacts[name] = artifact_facts(read_artifact(folder / name), ENGINE, 2)
    accuracy = two_accuracies()
    body: dict[str, Any] = {
        "version": "0.1.0",
        "code_sha256": code_sha256(),
        "bundle": {"name": "0123456789ab", "sha256": "0123456789ab".ljust(64, "0")},
        "target": "tiny-test",
        "device": {"description": "a board", "fits": True},
        "artifacts": artifacts,
        "serving": "int8",
        "engine": ENGINE,
        "data": generated_data(IMAGES, 0, (480, 640)),
        "machine": {"architecture": "x86_64", "cpu": {"model": "Some CPU", "threads": 2}},
        "settings": {
            "before": {"power_mode": "15W"},
            "during": {"power_mode": "15W"},
            "after": {"power_mode": "15W"},
            "changes": [],
            "asked": False,
        },
        "self_test": {"passed": True, "reasons": []},
        "reference": None,
        "accuracy": accuracy,
        "latency": {name: latency(speed) for name, speed in (("int8", 1.0), ("fp32", 2.0))},
        "placement": {name: layers(name) for name in artifacts},
        "stability": {},
        "telemetry": {"throttled": [], "notes": ["power: unknown"]},
        "start_to_first_pose_ms": 512.5,
        "budget": {"min_retention": 0.5, "max_p99_ms": 30.0},
        **changes,
    }
    return sealed({**body, "verdict": verdict_of(body)})


def write_certificate(folder: Path, **changes: Any) -> Path:
    """Write `small_certificate` as a file."""
    path = folder / "certificate.json"
    path.write_text(json.dumps(small_certificate(folder, **changes), indent=2))
    return path


def two_accuracies(seed: int = 0) -> dict[str, Any]:
    """Return the accuracy of an int8 that finds nobody in one image, and of its fp32."""
    rng = np.random.default_rng(seed)
    images = [crowd(i + 1, rng) for i in range(IMAGES)]
    poses = {i.image_id: noisy_poses(i, rng, 4) for i in images}
    fewer = {**poses, 2: Poses.nobody(17)}
    fp32, int8 = (Accuracy(evaluate(images, p, COCO_17), p, [], images) for p in (poses, fewer))
    return {
        "int8": accuracy_document(int8, COCO_17, fp32, draws=5),
        "fp32": accuracy_document(fp32, COCO_17, draws=5),
    }


def latency(speed: float, seed: int = 0) -> dict[str, Any]:
    """Return the latency of frames that take 8 ms x ``speed``, more or less."""
    rng = np.random.default_rng(seed)
    stages = (speed * rng.normal((1e6, 6e6, 1e6), 2e4, (40, 3))).astype(np.int64)
    starts = (np.arange(40) * 20_000_000)[:, None] + 1_000
    marks = np.hstack([starts, starts + stages.cumsum(axis=1)])
    frames = (10, 12, 18)
    found = turn_statistics(marks, np.array(frames))
    percentiles = {f"{stage}_ms": Percentiles(**found.pop(f"{stage}_ms")) for stage in STAGES}
    timed = Latency(
        **percentiles,
        **found,
        engine=ENGINE,
        frame_size=(480, 640),
        cpu=CpuFacts("Some CPU", ("avx2",), 2, 2, ()),
        marks_ns=marks,
        turn_frames=frames,
    )
    run = scripted_run("single-stream", steady, seconds=1.0)
    scenario = scenario_document(run, "single-stream")
    return {"turns": turns_document(timed), "scenarios": {"single-stream": scenario}}


def layers(name: str) -> list[dict[str, Any]]:
    """Return four layers: of the three convolutions that int8 asks for, two run in int8."""
    asked = "int8" if name == "int8" else None
    found = [
        PlacedLayer(f"conv_{i}", CONVOLUTION, "int8" if asked and i else "fp32", "cpu", asked)
        for i in range(3)
    ]
    return [layer.to_json() for layer in [*found, PlacedLayer("top", "TopK", "fp32", "cpu")]]
