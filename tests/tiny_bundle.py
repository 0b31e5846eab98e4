"""A bundle of `tiny_pose` in a real engine: written, verified and run in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tiny_pose import tiny_manifest, tiny_model

from erpose_edge.data.generated.scene import render_scene
from erpose_edge.deploy.bundle.write import write_bundle
from erpose_edge.deploy.profile import Profile, load_profile
from erpose_edge.runtime.artifact import Artifact, write_artifact
from erpose_edge.runtime.bundle import Bundle
from erpose_edge.runtime.estimator import PoseEstimator
from erpose_edge.runtime.manifest import SelfTest

SEED, SIZE = 1, (96, 128)
TARGETS = {"openvino": "openvino-cpu", "tflite": "raspberry-pi5", "tensorrt": "jetson-orin"}


def tiny_profile(engine: str = "openvino", **budget: float | None) -> Profile:
    """Return a bundled profile that any machine is a device of, with another budget."""
    profile = load_profile(TARGETS[engine])
    none = {"min_retention": None, "max_p99_ms": None, "min_speedup_vs_fp32": None}
    changed = profile.budget.model_copy(update={**none, **budget})
    threads = None if engine == "tensorrt" else 1
    return profile.model_copy(
        update={"budget": changed, "device_tree": None, "modules": [], "threads": threads}
    )


def tiny_artifacts(folder: Path, engine: str = "openvino") -> dict[str, Artifact]:
    """Write the network as one artifact whose self-test expects what it finds today."""
    if engine == "tflite":
        from tiny_tflite import MODEL, tiny_tflite, tiny_tflite_manifest

        manifest, files = tiny_tflite_manifest(), {MODEL: tiny_tflite()}
    else:
        manifest = tiny_manifest("compact", engine)
        files = {"model.onnx": tiny_model("compact").SerializeToString()}
    # TensorRT itself is not at hand: ONNX Runtime computes the same graph.
    stand_in = "onnxruntime" if engine == "tensorrt" else engine
    blank = replace(manifest, self_test=None, engine=stand_in)
    blank = write_artifact(folder / "blank", blank, files)
    poses = PoseEstimator(blank, score_threshold=0.0)(render_scene(SEED, SIZE)[0]).to_json()
    expected = SelfTest((SEED,), SIZE, (poses[:1],))
    return {
        "fp32": write_artifact(folder / "fp32", replace(manifest, self_test=expected), files),
    }


def tiny_bundle(folder: Path, engine: str = "openvino", **budget: float | None) -> Bundle:
    """Write a bundle into ``folder / "bundle"``."""
    artifacts = tiny_artifacts(folder, engine)
    return write_bundle(folder / "bundle", artifacts, tiny_profile(engine, **budget))
