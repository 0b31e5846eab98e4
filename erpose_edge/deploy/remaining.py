"""What is left to do on a device that this machine is not, as lines to type."""

from __future__ import annotations

from erpose_edge.deploy.profile import Profile
from erpose_edge.runtime.artifact import Artifact


def remaining_steps(profile: Profile, artifact: Artifact) -> list[str]:
    """Return the steps from a chosen artifact to a time measured on its device.

    Args:
        profile: The device.
        artifact: Exported for it.
    """
    if profile.engine == "tflite" and not profile.device_tree:  # a phone has no Python
        model = artifact.file(".tflite")
        threads = profile.threads or 4
        return [
            f"adb push {model} /data/local/tmp/{model.name}",
            f"adb shell /data/local/tmp/benchmark_model --graph=/data/local/tmp/{model.name} "
            f"--num_threads={threads} --use_xnnpack=true --enable_op_profiling=true",
            "keep the artifact if its median is below that of the other precisions",
        ]
    steps = [
        f"erpose-edge deploy --target {profile.name} --host USER@BOARD does the rest over ssh",
        f"or erpose-edge bundle create {artifact.folder} --target {profile.name} --out pose.tar, "
        "unpack it on the board, and there: ./build, ./selftest, ./benchmark",
    ]
    if profile.engine == "tensorrt":
        from erpose_edge.exporters import tensorrt

        steps += tensorrt.remaining_steps(profile, artifact)
    return steps
