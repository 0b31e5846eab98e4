"""What is left to do on a device that this machine is not, as lines to type."""

from __future__ import annotations

from erpose_edge.deploy.profile import Profile
from erpose_edge.exporters.runtime_archive import ARCHIVE_NAME
from erpose_edge.runtime.artifact import Artifact


def remaining_steps(profile: Profile, artifact: Artifact) -> list[str]:
    """Return the steps from a chosen artifact to a time measured on its device.

    Args:
        profile: The device.
        artifact: Exported for it.
    """
    folder = artifact.folder
    if profile.engine == "tensorrt":
        from erpose_edge.exporters import tensorrt

        return tensorrt.remaining_steps(profile, artifact)
    if profile.engine == "tflite" and not profile.device_tree:  # a phone has no Python
        model = artifact.file(".tflite")
        threads = profile.threads or 4
        return [
            f"adb push {model} /data/local/tmp/{model.name}",
            f"adb shell /data/local/tmp/benchmark_model --graph=/data/local/tmp/{model.name} "
            f"--num_threads={threads} --use_xnnpack=true --enable_op_profiling=true",
            "keep the artifact if its median is below that of the other precisions",
        ]
    return [
        f"copy the folder {folder} and scripts/benchmark_device.py to the board",
        f"PYTHONPATH={folder.name}/{ARCHIVE_NAME} python3 benchmark_device.py {folder.name}",
    ]
